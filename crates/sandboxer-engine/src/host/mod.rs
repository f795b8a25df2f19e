//! Hosts as the engine knows them: what the store says of them, and what extensions see there.
//!
//! | file | does |
//! |---|---|
//! | `register` | register, drain, activate, forget |
//! | `look` | have the backends look at a host: measure it, list what is there |
//! | `drift` | compare what is there with the records: rules only, nobody is asked |
//! | `stale` | what may be left over on hosts, and its removal |
//! | `sweep` | the same for the reconciler: every place that can be seen, complete or not |
//! | `lost` | give a host up for good |

mod drift;
mod look;
mod lost;
mod register;
mod stale;
mod sweep;

use std::collections::BTreeMap;
use std::sync::Arc;

use sandboxer_extension::{Call, Extension};
use sandboxer_model::operation::Epoch;

use crate::engine::Engine;

pub(crate) use drift::{Sighting, is_over};
pub(crate) use register::FARTHEST_PROBE;
pub(crate) use stale::{Around, SECOND_LOOK, is_same};
pub(crate) use sweep::place_name;

/// A host by the name people know it by, and by the one that reaches it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    pub(crate) name: String,
    pub(crate) address: String,
}

impl Engine {
    /// The extensions that have hosts.
    fn hosted(&self) -> BTreeMap<String, Arc<dyn Extension>> {
        self.ports
            .extensions
            .iter()
            .filter(|(_, extension)| extension.capabilities().needs_host)
            .map(|(id, extension)| (id.to_owned(), Arc::clone(extension)))
            .collect()
    }

    /// A call that is about no sandbox.
    pub(crate) fn call_about_host(&self, timeout: std::time::Duration) -> Call {
        Call {
            installation_id: self.ports.store.installation_id().clone(),
            operation_id: None,
            epoch: Epoch(0),
            timeout,
        }
    }
}
