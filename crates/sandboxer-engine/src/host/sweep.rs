//! What is left over anywhere, for the reconciler: every place, with whether it could be seen completely.

use std::collections::BTreeSet;

use sandboxer_model::error::UserError;

use super::Spot;
use super::drift::{self, Sighting};
use super::look::Seen;
use crate::engine::Engine;

/// What one look at every place saw.
pub(crate) struct Leftovers {
    /// Everything that does not agree with the records.
    pub(crate) sightings: Vec<Sighting>,
    /// Places of which everything was seen, by [`place_name`].
    pub(crate) complete: BTreeSet<String>,
    /// Why some could not be seen.
    pub(crate) incomplete: Vec<String>,
    /// Things that were looked at.
    pub(crate) seen: u64,
}

/// One backend on one host, as the beginning of the names of what is there.
pub(crate) fn place_name(extension_id: &str, address: &str) -> String {
    format!("{extension_id} {} ", if address.is_empty() { "here" } else { address })
}

impl Engine {
    /// Looks at every host that is registered or has sandboxes, and at the backends of this machine.
    pub(crate) async fn leftovers(&self) -> Result<Leftovers, UserError> {
        let spots = self.spots(None).await?;
        let mut seen = self.list_things(spots.into_iter().collect()).await;
        seen.extend(self.list_things_here().await);
        // Read after the look: whatever was seen was on record before it existed.
        let records = self.records_of(&seen).await?;
        let (now, me) = (self.ports.clock.now(), self.ports.store.installation_id());
        let mut leftovers = Leftovers {
            sightings: Vec::new(),
            complete: BTreeSet::new(),
            incomplete: Vec::new(),
            seen: 0,
        };
        for seen in &seen {
            let place = place_name(&seen.extension_id, &seen.spot.address);
            leftovers.seen += seen.items.len() as u64;
            leftovers
                .sightings
                .extend(drift::compare(seen, &records, me, now, None));
            match &seen.incomplete {
                None => {
                    leftovers.complete.insert(place);
                }
                Some(why) => leftovers.incomplete.push(format!("{}: {why}", place.trim_end())),
            }
        }
        Ok(leftovers)
    }

    /// What the backends of this machine have, as far as they can list it.
    async fn list_things_here(&self) -> Vec<Seen> {
        let mut seen = Vec::new();
        for (id, extension) in self.ports.extensions.iter() {
            let has = extension.capabilities();
            if has.needs_host || !has.inventory_complete {
                continue;
            }
            let call = self.call_about_host(self.settings.timeouts.other);
            let spot = Spot {
                name: "local".to_owned(),
                address: String::new(),
            };
            seen.push(Seen::new(spot, id.to_owned(), extension.inventory(&call).await));
        }
        seen
    }
}
