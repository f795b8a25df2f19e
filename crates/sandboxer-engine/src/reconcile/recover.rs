//! The first two reconcilers for a command: bounded, and one indexed query when there is nothing to do.

use sandboxer_model::error::UserError;
use sandboxer_store::Due;

use super::{expire_ttl, recover_operations};
use crate::api::{Progress, Recovered};
use crate::engine::Engine;
use crate::faults::Safeguard;

/// Things looked at per run: many may belong to live processes.
pub(super) const LOOKED_AT: u32 = 256;
/// Things worked on per run, so that no command is kept long from its own work.
pub(super) const WORKED_ON: usize = 16;

impl Engine {
    pub(crate) async fn do_recover(&self, progress: &dyn Progress) -> Result<Recovered, UserError> {
        let mut recovered = Recovered::default();
        let mut work = 0;
        for id in self.dropped.some(WORKED_ON) {
            work += recover_operations::take(self, id, &mut recovered, progress).await;
        }
        for due in self.ports.store.due(self.me(), LOOKED_AT).await? {
            if work >= WORKED_ON {
                break;
            }
            match due {
                Due::Operation {
                    operation_id,
                    lease_owner,
                    lease_until,
                } => {
                    if self.owner_is_gone(&lease_owner, lease_until) && !self.is_off(Safeguard::Recovery) {
                        work += recover_operations::take(self, operation_id, &mut recovered, progress).await;
                    }
                }
                Due::Deadline(id) => {
                    // A removal that does not come off is stored as stuck, and its operation is tried again later.
                    let outcome = expire_ttl::expire(self, &id, progress).await;
                    work += usize::from(!expire_ttl::is_damage(&outcome));
                    if let Ok(true) = outcome {
                        recovered.expired.push(id);
                    }
                }
            }
        }
        Ok(recovered)
    }
}
