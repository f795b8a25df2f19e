//! Have the backends look at a host.

use std::collections::BTreeMap;

use sandboxer_extension::{Inventory, InventoryItem};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::registry::{BackendView, Probed};
use tokio::task::JoinSet;

use super::{Spot, drift};
use crate::api::HostInspection;
use crate::engine::Engine;
use crate::error::user_error;

/// Everything one backend has on one host, as far as it could be seen.
pub(super) struct Seen {
    pub(super) spot: Spot,
    pub(super) extension_id: String,
    pub(super) items: Vec<InventoryItem>,
    /// Why there may be more.
    pub(super) incomplete: Option<String>,
}

impl Seen {
    pub(super) fn new(spot: Spot, extension_id: String, inventory: Inventory) -> Seen {
        let (items, incomplete) = match inventory {
            Inventory::Complete(items) => (items, None),
            Inventory::Partial { items, why } => (items, Some(why)),
            Inventory::Unknown { why } => (Vec::new(), Some(why)),
        };
        Seen {
            spot,
            extension_id,
            items,
            incomplete,
        }
    }
}

impl Engine {
    /// What a host is like right now, and what looks like a sandbox there. It need not be registered.
    ///
    /// # Errors
    /// `InvalidInput`, `Unsupported` without a backend that has hosts, and why it could not be looked at.
    pub async fn inspect_host(&self, host: &str) -> Result<HostInspection, UserError> {
        let (spot, registered) = self.spot(host).await?;
        let probed = self.look_at(&spot.address).await?;
        let seen = self.list_things(vec![spot.clone()]).await;
        let records = self.records_of(&seen).await?;
        Ok(HostInspection {
            host: spot.name.clone(),
            address: spot.address,
            registered,
            snapshot: probed.snapshot,
            backends: probed.backends,
            inventory: drift::inventory(&spot.name, &seen, &records, self.ports.clock.now()),
        })
    }

    /// Has every backend that has hosts measure one. The first that does decides the figures.
    pub(super) async fn look_at(&self, address: &str) -> Result<Probed, UserError> {
        let hosted = self.hosted();
        if hosted.is_empty() {
            return Err(UserError::new(
                ErrorCode::Unsupported,
                "no backend of this build has hosts",
            ));
        }
        let mut asked = JoinSet::new();
        for (id, extension) in hosted {
            let (call, address) = (self.call_about_host(self.settings.timeouts.probe), address.to_owned());
            asked.spawn(async move { (id, extension.probe_host(&call, &address).await) });
        }
        let mut answers = BTreeMap::new();
        while let Some(answer) = asked.join_next().await {
            answers.extend(answer.ok());
        }
        let (mut snapshot, mut backends, mut first_error) = (None, BTreeMap::new(), None);
        for (id, answer) in answers {
            let view = match answer {
                Ok(probe) => {
                    snapshot.get_or_insert(probe.snapshot);
                    BackendView {
                        facts: probe.facts,
                        missing: probe.missing,
                    }
                }
                Err(error) => {
                    let view = BackendView {
                        facts: BTreeMap::new(),
                        missing: vec![error.message.clone()],
                    };
                    first_error.get_or_insert(error);
                    view
                }
            };
            backends.insert(id, view);
        }
        match (snapshot, first_error) {
            (Some(snapshot), _) => Ok(Probed {
                at: self.ports.clock.now(),
                snapshot,
                backends,
            }),
            (None, Some(error)) => Err(user_error(&error)),
            (None, None) => Err(UserError::new(
                ErrorCode::Internal,
                format!("no backend answered for host `{address}`"),
            )),
        }
    }

    /// Has every backend that has hosts list what is on these.
    pub(super) async fn list_things(&self, spots: Vec<Spot>) -> Vec<Seen> {
        let mut asked = JoinSet::new();
        for spot in spots {
            for (id, extension) in self.hosted() {
                let (call, spot) = (self.call_about_host(self.settings.timeouts.other), spot.clone());
                asked.spawn(async move {
                    let inventory = extension.inventory_at(&call, &spot.address).await;
                    Seen::new(spot, id, inventory)
                });
            }
        }
        let mut seen: Vec<Seen> = Vec::new();
        while let Some(answer) = asked.join_next().await {
            seen.extend(answer.ok());
        }
        seen.sort_by(|a, b| (&a.spot, &a.extension_id).cmp(&(&b.spot, &b.extension_id)));
        seen
    }
}
