//! What the store alone tells.

use std::collections::BTreeSet;

use sandboxer_model::error::UserError;
use sandboxer_model::sink::SinkState;
use sandboxer_store::{Damage, Due, StoreError};

use super::{Finding, Findings, Fix};
use crate::api::DriftClass;
use crate::engine::Engine;
use crate::reconcile::reconcilers;

/// Things of one class that are looked at at most.
const MOST: u32 = 10_000;

impl Engine {
    pub(super) async fn find_in_store(&self, findings: &mut Findings) -> Result<(), UserError> {
        self.find_silent_hosts(findings).await?;
        self.find_operations(findings).await?;
        self.find_overdue(findings).await?;
        self.find_damage(findings).await?;
        self.find_sinks(findings).await?;
        self.find_reconcilers(findings).await
    }

    async fn find_silent_hosts(&self, findings: &mut Findings) -> Result<(), UserError> {
        for status in self.ports.store.hosts().await? {
            let (host, many) = (status.host, status.sandboxes);
            let Some(since) = host.unreachable_since.filter(|_| many > 0) else {
                continue;
            };
            let why = host.unreachable.unwrap_or_default();
            findings.all.push(Finding::new(
                DriftClass::HostUnreachable,
                &host.name,
                format!("it has {many} sandboxes and does not answer since {since}: {why}"),
                format!(
                    "ask it again; should it be gone for good, `sandboxer hosts remove {} --lost`",
                    host.name
                ),
                Fix::Probe(host.name.clone()),
            ));
        }
        Ok(())
    }

    async fn find_operations(&self, findings: &mut Findings) -> Result<(), UserError> {
        let mut named = BTreeSet::new();
        for operation in self.ports.store.stuck(MOST).await? {
            let id = operation.operation_id;
            findings.all.push(Finding::new(
                DriftClass::StuckOperation,
                &id,
                format!(
                    "{} of {} is stuck: {}",
                    operation.kind.name(),
                    operation.sandbox_id,
                    operation.error.unwrap_or_default()
                ),
                "try it again now",
                Fix::TakeOver(id.clone()),
            ));
            named.insert(id);
        }
        for due in self.ports.store.due(self.me(), MOST).await? {
            let Due::Operation {
                operation_id,
                lease_owner,
                lease_until,
            } = due
            else {
                continue;
            };
            if named.contains(&operation_id) || !self.owner_is_gone(&lease_owner, lease_until) {
                continue;
            }
            let operation = match self.ports.store.operation(&operation_id).await {
                Ok(operation) => operation,
                // It ended, or is among the damaged rows.
                Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let who = match lease_owner.as_str() {
                "" => "nobody took it up".to_owned(),
                owner => format!("its process {owner} is gone"),
            };
            findings.all.push(Finding::new(
                DriftClass::DroppedOperation,
                &operation_id,
                format!("{} of {}: {who}", operation.kind.name(), operation.sandbox_id),
                "take it over: finish it, or undo it",
                Fix::TakeOver(operation_id.clone()),
            ));
        }
        Ok(())
    }

    async fn find_overdue(&self, findings: &mut Findings) -> Result<(), UserError> {
        for id in self.ports.store.overdue(MOST).await? {
            let record = match self.ports.store.sandbox(&id).await {
                Ok(record) => record,
                Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            // What is being worked on is found with its operation, if nobody lives who does.
            let (Some(deadline), None) = (self.past_deadline(&record), &record.sandbox.operation_id) else {
                continue;
            };
            findings.all.push(Finding::new(
                DriftClass::PastDeadline,
                &id,
                format!("it is {} although its time passed at {deadline}", record.sandbox.state),
                "remove it, with proof",
                Fix::Expire(id.clone()),
            ));
        }
        Ok(())
    }

    async fn find_damage(&self, findings: &mut Findings) -> Result<(), UserError> {
        let path = self.ports.store.path();
        for damage in self.ports.store.examine().await? {
            let Damage { table, row, why } = damage;
            let (action, fix) = match table {
                "reconciler" => (
                    "forget it: it only says who looked last".to_owned(),
                    Fix::ForgetTurn(row.clone()),
                ),
                "frozen" => (
                    format!("restore {path} from a backup; until then it can be destroyed and not made again"),
                    Fix::None,
                ),
                "sandbox" | "operation" | "operation_step" => (
                    format!(
                        "restore {path} from a backup; until then no command changes this sandbox, and its guard ends it \
                         in time"
                    ),
                    Fix::None,
                ),
                _ => (
                    format!("restore {path} from a backup; until then the row is left out"),
                    Fix::None,
                ),
            };
            let on = format!("{table} {row}");
            findings
                .all
                .push(Finding::new(DriftClass::DamagedRow, on, why, action, fix));
        }
        Ok(())
    }

    async fn find_sinks(&self, findings: &mut Findings) -> Result<(), UserError> {
        for status in self.ports.store.sinks().await? {
            let id = &status.sink.sink_id;
            if status.sink.state == SinkState::Disabled {
                let why = status.sink.reason.as_deref().unwrap_or("somebody disabled it");
                findings.all.push(Finding::new(
                    DriftClass::SinkDisabled,
                    id,
                    format!("nothing is sent to {}: {why}", status.sink.url),
                    format!("enable it with `sandboxer events redeliver --sink {id}`, or remove it"),
                    Fix::None,
                ));
            } else if status.dead > 0 {
                let why = status.last_error.as_deref().unwrap_or("the last tries failed");
                findings.all.push(Finding::new(
                    DriftClass::DeadLetters,
                    id,
                    format!("events of {} sandboxes were given up: {why}", status.dead),
                    "make them due again",
                    Fix::Redeliver(id.clone()),
                ));
            }
        }
        Ok(())
    }

    async fn find_reconcilers(&self, findings: &mut Findings) -> Result<(), UserError> {
        let status = self.status().await?;
        for one in &status.reconcilers {
            let broke_off = one.last.as_ref().and_then(|last| last.error.as_ref());
            let found = match (broke_off, one.due_at) {
                (Some(error), _) => format!("its last run broke off: {error}"),
                // Where nobody serves, commands do what is needed, and nothing else is expected to run.
                (None, Some(due)) if one.overdue && status.served_by.is_some() => {
                    format!("it was due at {due} and did not run")
                }
                _ => continue,
            };
            let Some(known) = reconcilers().iter().find(|known| known.name == one.name) else {
                continue;
            };
            findings.all.push(Finding::new(
                DriftClass::ReconcilerLate,
                &one.name,
                found,
                "run it now",
                Fix::Run(known),
            ));
        }
        Ok(())
    }
}
