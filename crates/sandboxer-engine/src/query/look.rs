//! Get, list, reachability, events.

use sandboxer_model::error::UserError;
use sandboxer_model::event::Event;
use sandboxer_model::reachability::Reachability;
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::SandboxFilter;

use super::wrong_state;
use crate::api::{ListFilter, Silent};
use crate::engine::Engine;

impl Engine {
    pub(crate) async fn do_get(&self, id: &str) -> Result<Sandbox, UserError> {
        let record = self.ports.store.find_sandbox(id).await?;
        Ok(self.compared(record, &Silent).await?.sandbox)
    }

    pub(crate) async fn do_list(&self, filter: &ListFilter) -> Result<Vec<Sandbox>, UserError> {
        // States are filtered after the comparison, since it may change them.
        let asked = SandboxFilter {
            states: Vec::new(),
            destroyed: filter.all || filter.states.iter().any(|state| state.is_gone()),
            profile: filter.profile.clone(),
            project: filter.project.clone(),
        };
        let mut records = self.ports.store.sandboxes(&asked).await?;
        records.retain(|record| {
            filter
                .labels
                .iter()
                .all(|(key, value)| record.sandbox.labels.get(key) == Some(value))
        });
        let records = self.compared_all(records, &Silent).await?;
        let wanted = |sandbox: &Sandbox| match filter.states.as_slice() {
            [] => filter.all || !sandbox.state.is_gone(),
            states => states.contains(&sandbox.state),
        };
        Ok(records
            .into_iter()
            .map(|record| record.sandbox)
            .filter(wanted)
            .collect())
    }

    pub(crate) async fn do_reachability(&self, id: &str) -> Result<Reachability, UserError> {
        let sandbox = self.do_get(id).await?;
        match &sandbox.reachability {
            Some(reachability) if sandbox.state.is_usable() => Ok(reachability.clone()),
            _ => Err(wrong_state(&sandbox, "reach")),
        }
    }

    pub(crate) async fn do_events(&self, id: Option<&str>) -> Result<Vec<Event>, UserError> {
        let sandbox = match id {
            Some(id) => Some(self.ports.store.find_sandbox(id).await?.sandbox.sandbox_id),
            None => None,
        };
        Ok(self.ports.store.events(sandbox.as_ref()).await?)
    }
}
