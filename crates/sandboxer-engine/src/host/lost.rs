//! Give a host up for good, because an operator says so: nothing can be asked of it or proven there any more.
//!
//! Its sandboxes end as `failed` with the reason `host_lost`, never as `destroyed`: absence was not proven. What they held of
//! the host is released, and their meters stop at the last proof of life. Should the host come back, the sweep of leftovers
//! finds what is still on it: ours by its mark, its record over.

use jiff::Timestamp;
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;
use sandboxer_model::lifecycle::State;
use sandboxer_store::{SandboxFilter, SandboxRecord, StoreError};

use crate::api::{HostLoss, Progress};
use crate::engine::Engine;
use crate::operation::job::reached_by;
use crate::reconcile::{Evidence, HostFact, Verdict, decide};

/// Times another process may change a sandbox between reading and writing before this is called busy.
const ATTEMPTS: u32 = 50;

impl Engine {
    /// Gives a host up for good: ends its sandboxes, releases what they held, forgets the host. Doing it again goes on where
    /// it broke off.
    ///
    /// # Errors
    /// `InvalidInput` when that is no host, `NotFound` when it is neither registered nor has sandboxes, and those of the
    /// store.
    pub async fn lose_host(&self, host: &str, progress: &dyn Progress) -> Result<HostLoss, UserError> {
        let (spot, registered) = self.spot(host).await?;
        // Nothing new goes there from now on.
        if registered {
            self.drain_host(&spot.name).await?;
        }
        let mut loss = HostLoss {
            host: spot.name.clone(),
            ..HostLoss::default()
        };
        let mut records = self.ports.store.sandboxes(&SandboxFilter::default()).await?;
        records.retain(|record| {
            record.sandbox.host.as_deref() == Some(spot.name.as_str())
                || reached_by(record).as_deref() == Some(spot.address.as_str())
        });
        if records.is_empty() && !registered {
            return Err(StoreError::NotFound {
                what: "host",
                name: spot.name,
            }
            .into());
        }
        for record in records {
            let id = record.sandbox.sandbox_id.clone();
            if self.lose_with_host(record, &spot.name, progress).await? {
                loss.ended.push(id);
            }
        }
        if registered {
            self.ports.store.remove_host(&spot.name).await?;
            loss.forgotten = true;
        }
        Ok(loss)
    }

    /// Ends one sandbox on a host that is gone. `false`: it was at its end already.
    async fn lose_with_host(
        &self,
        mut record: SandboxRecord,
        host: &str,
        progress: &dyn Progress,
    ) -> Result<bool, UserError> {
        let id = record.sandbox.sandbox_id.clone();
        for _ in 0..ATTEMPTS {
            if decide(&evidence(&record)) != Verdict::GiveUp {
                return Ok(false);
            }
            let lived_until = self.last_proof_of_life(&record).await?;
            match self.give_up(record, host, lived_until, progress).await {
                Ok(()) => return Ok(true),
                Err(error) if error.code == sandboxer_model::error::ErrorCode::Fenced => {
                    record = self.ports.store.sandbox(&id).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Stale(id).into())
    }

    /// The last time anybody knew that it lived: a sweep saw it, a command ran in it, or it became ready.
    async fn last_proof_of_life(&self, record: &SandboxRecord) -> Result<Option<Timestamp>, UserError> {
        let sandbox = &record.sandbox;
        let seen = self.ports.store.last_seen_alive(&sandbox.sandbox_id).await?;
        // An earlier life's proof is older than the beginning of this one.
        Ok([seen, sandbox.ready_at, sandbox.active_at, record.facts.last_used_at]
            .into_iter()
            .flatten()
            .max())
    }
}

/// What is known of a sandbox whose host is gone: nothing but what is stored.
fn evidence(record: &SandboxRecord) -> Evidence {
    let sandbox = &record.sandbox;
    // A failed one that is still being removed holds its share, and waits for a proof that never comes.
    let stored = match sandbox.state {
        State::Failed if sandbox.operation_id.is_some() => State::Destroying,
        state => state,
    };
    Evidence {
        stored,
        host: HostFact::Lost,
        past_deadline: false,
        ended: None,
        presence: Presence::Unknown,
        usable: None,
    }
}
