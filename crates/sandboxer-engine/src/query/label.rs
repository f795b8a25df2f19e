//! Set and remove labels.

use std::collections::{BTreeMap, BTreeSet};

use sandboxer_model::error::UserError;
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::{Change, NewEvent, StoreError};
use serde_json::json;

use crate::api::Meant;
use crate::engine::Engine;
use crate::prepare::check_labels;

impl Engine {
    pub(crate) async fn do_label(
        &self,
        meant: Meant<'_>,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    ) -> Result<Sandbox, UserError> {
        let mut record = self.ports.store.find_sandbox(meant.id).await?;
        loop {
            meant.check(&record)?;
            let mut labels = record.sandbox.labels.clone();
            labels.retain(|key, _| !remove.contains(key));
            labels.extend(set.clone());
            check_labels(&labels)?;
            if labels == record.sandbox.labels {
                return Ok(record.sandbox);
            }
            // Names only: what is in a label is between whoever sets and whoever reads it.
            let before = &record.sandbox.labels;
            let all: BTreeSet<&String> = labels.keys().chain(before.keys()).collect();
            let changed: Vec<String> = all
                .into_iter()
                .filter(|key| labels.get(*key) != before.get(*key))
                .cloned()
                .collect();
            let now = self.ports.clock.now();
            record.sandbox.labels = labels;
            if record.facts.idle_reap.is_some() {
                record.facts.last_used_at = Some(self.time_of(&record));
            }
            record.sandbox.updated_at = now;
            let event = NewEvent {
                event_id: sandboxer_model::id::EventId::from_uuid(self.ports.ids.uuid()),
                at: now,
                kind: "labels.changed".to_owned(),
                state: record.sandbox.state,
                reason: record.sandbox.reason,
                summary: "labels changed".to_owned(),
                detail: json!({ "labels": changed }),
            };
            match self
                .ports
                .store
                .commit(
                    &mut record,
                    &Change {
                        events: vec![event],
                        ..Change::default()
                    },
                )
                .await
            {
                Ok(()) => return Ok(record.sandbox),
                Err(StoreError::Stale(id) | StoreError::Fenced(id)) => record = self.ports.store.sandbox(&id).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }
}
