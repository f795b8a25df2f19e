//! Drift: where what is stored and what is true differ. Everything is looked at and nothing changed; what is safe to do
//! about it is done only when asked for, each by the mechanism that does it anyway, under the same proof.
//!
//! | file | does |
//! |---|---|
//! | `find` | what the store alone tells: operations, deadlines, rows, sinks, hosts, reconcilers |
//! | `look` | what backends tell: records of what is gone, things without a record, room that is held |
//! | `fix` | one remedy each |

mod find;
mod fix;
mod look;

use sandboxer_model::error::UserError;
use sandboxer_model::id::{OperationId, SandboxId};

use crate::api::{Drift, DriftClass, DriftReport, DriftResult, Progress, Remedy};
use crate::engine::Engine;
use crate::host::Sighting;
use crate::reconcile::Reconciler;

/// Something that is not as it should be, and what can be done about it.
struct Finding {
    drift: Drift,
    fix: Fix,
}

/// What can be done.
enum Fix {
    /// Only a person can.
    None,
    TakeOver(OperationId),
    Expire(SandboxId),
    Conclude(SandboxId),
    Reap(Box<Sighting>),
    Release(SandboxId),
    ForgetTurn(String),
    Redeliver(String),
    Probe(String),
    Run(&'static Reconciler),
}

impl Finding {
    fn new(
        class: DriftClass,
        on: impl ToString,
        found: impl Into<String>,
        action: impl Into<String>,
        fix: Fix,
    ) -> Finding {
        let by = match fix {
            Fix::None => Remedy::Person,
            _ => Remedy::Doctor,
        };
        Finding {
            drift: Drift {
                class,
                on: on.to_string(),
                found: found.into(),
                action: action.into(),
                by,
                result: DriftResult::Proposed,
                outcome: None,
            },
            fix,
        }
    }
}

/// Everything that was found.
#[derive(Default)]
struct Findings {
    all: Vec<Finding>,
    /// What could not be seen.
    unseen: Vec<String>,
}

impl Engine {
    /// Everything that is not as it should be, and what is to be done about it. Changes nothing.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn drift(&self) -> Result<DriftReport, UserError> {
        let at = self.ports.clock.now();
        let findings = self.findings().await?;
        Ok(report(at, findings))
    }

    /// The same, and does what is safe to do about it.
    ///
    /// # Errors
    /// Those of the store. What could not be fixed is in the answer.
    pub async fn fix_drift(&self, progress: &dyn Progress) -> Result<DriftReport, UserError> {
        let at = self.ports.clock.now();
        let mut findings = self.findings().await?;
        let again = self.second_look(&findings).await?;
        for finding in &mut findings.all {
            let outcome = self.fix(&finding.fix, again.as_deref(), progress).await;
            let Some(outcome) = outcome else { continue };
            let (result, words) = match outcome {
                Ok(words) => (DriftResult::Fixed, words),
                Err(words) => (DriftResult::Left, words),
            };
            finding.drift.result = result;
            finding.drift.outcome = Some(words);
        }
        for finding in &mut findings.all {
            if finding.drift.by == Remedy::Person {
                finding.drift.result = DriftResult::Left;
            }
        }
        Ok(report(at, findings))
    }

    async fn findings(&self) -> Result<Findings, UserError> {
        let mut findings = Findings::default();
        self.find_in_store(&mut findings).await?;
        self.find_at_backends(&mut findings).await?;
        findings.all.sort_by_key(|finding| finding.drift.class);
        Ok(findings)
    }
}

fn report(at: jiff::Timestamp, findings: Findings) -> DriftReport {
    DriftReport {
        at,
        drifts: findings.all.into_iter().map(|finding| finding.drift).collect(),
        unseen: findings.unseen,
    }
}
