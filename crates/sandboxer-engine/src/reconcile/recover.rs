//! Takes over what dead processes left, and removes what is past its time: bounded, and one indexed query when there is
//! nothing to do.

use sandboxer_model::error::UserError;
use sandboxer_model::lifecycle::Reason;
use sandboxer_store::Due;

use crate::api::{Progress, Recovered};
use crate::engine::Engine;
use crate::faults::Safeguard;
use crate::operation::Taken;

/// Things looked at per call: many may belong to live processes.
const LOOKED_AT: u32 = 256;
/// Things worked on per call, so that no command is kept long from its own work.
const WORKED_ON: usize = 16;

impl Engine {
    pub(crate) async fn do_recover(&self, progress: &dyn Progress) -> Result<Recovered, UserError> {
        let mut recovered = Recovered::default();
        let mut work = 0;
        for due in self.ports.store.due(self.me(), LOOKED_AT).await? {
            if work == WORKED_ON {
                break;
            }
            match due {
                Due::Operation {
                    operation_id,
                    lease_owner,
                    lease_until,
                } => {
                    if self.is_off(Safeguard::Recovery) || !self.owner_is_gone(&lease_owner, lease_until) {
                        continue;
                    }
                    work += 1;
                    match self.take_over(&operation_id, progress).await {
                        Ok(Taken::Finished(id)) => recovered.finished.push(id),
                        Ok(Taken::Undone(id)) => recovered.undone.push(id),
                        Ok(Taken::Stuck(id, why)) => recovered.stuck.push((id, why)),
                        Ok(Taken::Elsewhere) => {}
                        Err(error) => recovered.stuck.push((operation_id, error.message)),
                    }
                }
                Due::Deadline(id) => {
                    let record = self.ports.store.sandbox(&id).await?;
                    if self.past_deadline(&record).is_none() {
                        continue;
                    }
                    work += 1;
                    // A removal that does not come off is stored as stuck, and its operation is tried again later.
                    if let Ok(Some(_)) = self.expire_one(record, Reason::Ttl, progress).await {
                        recovered.expired.push(id);
                    }
                }
            }
        }
        Ok(recovered)
    }
}
