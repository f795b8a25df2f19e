//! Wait for a state.

use std::time::Duration;

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::{State, TRANSITIONS};
use sandboxer_model::sandbox::Sandbox;

use super::wrong_state;
use crate::api::Silent;
use crate::engine::Engine;
use crate::operation::Pause;

impl Engine {
    pub(crate) async fn do_wait(&self, id: &str, state: State, timeout: Duration) -> Result<Sandbox, UserError> {
        let mut record = self.ports.store.find_sandbox(id).await?;
        let id = record.sandbox.sandbox_id.clone();
        let mut pause = Pause::new(self);
        loop {
            record = self.compared(record, &Silent).await?;
            if let Some(operation) = record.sandbox.operation_id.clone() {
                // Nobody would ever finish what a dead process left.
                let operation = self.ports.store.operation(&operation).await?;
                if !operation.status.is_terminal() && !operation.lease_owner.is_empty() && self.is_free(&operation) {
                    self.take_over(&operation.operation_id, &Silent).await?;
                    record = self.ports.store.sandbox(&id).await?;
                }
            }
            if self.past_deadline(&record).is_some() {
                self.expire_one(record, sandboxer_model::lifecycle::Reason::Ttl, &Silent)
                    .await?;
                record = self.ports.store.sandbox(&id).await?;
            }
            let sandbox = &record.sandbox;
            if satisfies(sandbox.state, state) {
                return Ok(record.sandbox);
            }
            // Only an operation under way leads back from `destroying`.
            let remade = sandbox.state == State::Destroying && self.is_being_recreated(&record).await?;
            if !remade && !leads_to(sandbox.state, state) {
                return Err(wrong_state(sandbox, &format!("wait for `{state}` of")));
            }
            if !pause.wait(timeout).await {
                let what = format!(
                    "{id} is still {} after {} s, not {state}",
                    sandbox.state,
                    timeout.as_secs()
                );
                return Err(UserError::new(ErrorCode::Timeout, what).hint("wait longer with --timeout"));
            }
            record = self.ports.store.sandbox(&id).await?;
        }
    }

    async fn is_being_recreated(&self, record: &sandboxer_store::SandboxRecord) -> Result<bool, UserError> {
        let Some(id) = &record.sandbox.operation_id else {
            return Ok(false);
        };
        let operation = self.ports.store.operation(id).await?;
        Ok(operation.kind == sandboxer_model::operation::OperationKind::Recreate && !operation.status.is_terminal())
    }
}

/// What is in use has been ready.
fn satisfies(now: State, wanted: State) -> bool {
    now == wanted || (wanted == State::Ready && now == State::Active)
}

/// Whether `to` may still come after `from` without the sandbox being made again.
fn leads_to(from: State, to: State) -> bool {
    // Nor does anybody wait for a host to be given up.
    let remakes = |(from, to): (State, State)| {
        matches!(from, State::Destroying | State::Destroyed) && matches!(to, State::Provisioning | State::Failed)
    };
    let mut reached = vec![from];
    let mut next = 0;
    while let Some(&at) = reached.get(next) {
        next += 1;
        for &(_, b) in TRANSITIONS.iter().filter(|&&(a, b)| a == at && !remakes((a, b))) {
            if !reached.contains(&b) {
                reached.push(b);
            }
        }
    }
    reached.contains(&to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_does_not_come_back() {
        assert!(leads_to(State::Requested, State::Ready));
        assert!(leads_to(State::Active, State::Destroyed));
        assert!(!leads_to(State::Active, State::Ready));
        assert!(!leads_to(State::Failed, State::Ready));
        assert!(!leads_to(State::Destroyed, State::Ready));
        assert!(!leads_to(State::Expired, State::Failed));
    }
}
