//! How the whole stands. Read from the store alone, so that every process says the same.

use std::time::Duration;

use sandboxer_model::error::UserError;

use super::turn::{after, last};
use super::{Effort, reconcilers};
use crate::api::{HostBrief, ReconcilerStatus, Status, StuckOperation};
use crate::engine::Engine;

/// Stuck operations that are named at most.
const NAMED: u32 = 50;
/// How late something may be before anybody is told: a busy machine, a removal under way.
const LATE: Duration = Duration::from_secs(60);
/// How long after its last sign of life a server is taken to be there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

impl Engine {
    /// How the whole stands.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn status(&self) -> Result<Status, UserError> {
        let store = &self.ports.store;
        let now = self.ports.clock.now();
        let turns = store.turns().await?;
        let mut served_by = None;
        let mut all = Vec::new();
        for one in reconcilers() {
            let turn = turns.iter().find(|turn| turn.name == one.name);
            let last = turn.and_then(last);
            if let Some(last) = &last
                && one.effort == Effort::Query
                && after(last.at, SIGN_OF_LIFE) > now
                && self.ports.owners.is_alive(&last.by) != sandboxer_model::cleanup::Presence::Absent
            {
                served_by = Some(last.by.clone());
            }
            all.push(ReconcilerStatus {
                name: one.name.to_owned(),
                does: one.does.to_owned(),
                period_s: one.period.as_secs(),
                running_by: turn
                    .filter(|turn| self.is_held(turn, now))
                    .map(|turn| turn.lease_owner.clone()),
                due_at: turn.map(|turn| turn.due_at),
                overdue: turn.is_some_and(|turn| after(turn.due_at, LATE) < now && !self.is_held(turn, now)),
                last,
            });
        }
        let counts = store.counts().await?;
        let stuck: Vec<StuckOperation> = store
            .stuck(NAMED)
            .await?
            .into_iter()
            .map(|operation| StuckOperation {
                operation_id: operation.operation_id,
                sandbox_id: operation.sandbox_id,
                why: operation.error.unwrap_or_default(),
                next_at: operation.lease_until,
            })
            .collect();
        let hosts: Vec<HostBrief> = store
            .hosts()
            .await?
            .into_iter()
            .map(|status| HostBrief {
                name: status.host.name,
                state: status.host.state,
                sandboxes: status.sandboxes,
                unreachable_since: status.host.unreachable_since,
            })
            .collect();
        let overdue_since = counts.next_deadline.filter(|deadline| *deadline <= now);
        let mut problems = Vec::new();
        if let Some(since) = overdue_since.filter(|since| after(*since, LATE) < now) {
            problems.push(format!("a deadline that passed at {since} is still open"));
        }
        for one in &stuck {
            problems.push(format!(
                "{} on {} is stuck: {}",
                one.operation_id, one.sandbox_id, one.why
            ));
        }
        for one in &all {
            if let Some(error) = one.last.as_ref().and_then(|last| last.error.as_ref()) {
                problems.push(format!("{} broke off: {error}", one.name));
            }
            // Where nobody serves, commands do what is needed, and nothing else is expected to run.
            if one.overdue && served_by.is_some() {
                problems.push(format!("{} did not run when it was due", one.name));
            }
        }
        for host in hosts.iter().filter(|host| host.sandboxes > 0) {
            if let Some(since) = host.unreachable_since {
                problems.push(format!("{} has sandboxes and does not answer since {since}", host.name));
            }
        }
        problems.extend(self.noticed_damage());
        Ok(Status {
            at: now,
            served_by,
            reconcilers: all,
            sandboxes: counts.sandboxes,
            operations: counts.operations,
            stuck,
            hosts,
            undelivered_events: counts.undelivered_events,
            overdue_since,
            problems,
        })
    }

    /// Damaged rows that were come across so far and left out of what was answered, one line for each.
    pub fn noticed_damage(&self) -> Vec<String> {
        let store = &self.ports.store;
        let noticed = store.noticed_damage();
        let lines = noticed
            .iter()
            .map(|damage| format!("the database {} is damaged at {damage}", store.path()));
        lines.collect()
    }

    /// A number that changes when another process wrote to the store: whoever serves looks at once then.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn data_version(&self) -> Result<i64, UserError> {
        Ok(self.ports.store.data_version().await?)
    }
}
