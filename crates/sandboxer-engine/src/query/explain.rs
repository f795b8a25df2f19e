//! The seven questions, answered from stored evidence; alive or gone.

use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::UserError;
use sandboxer_store::{SandboxRecord, StepPhase, StepStatus};

use crate::api::{Cost, Explanation, History, Location, OperationTrace, Recipe, Silent, StepTrace};
use crate::engine::Engine;
use crate::operation::job::target;

impl Engine {
    pub(crate) async fn do_explain(&self, id: &str) -> Result<Explanation, UserError> {
        let record = self.ports.store.find_sandbox(id).await?;
        let record = self.compared(record, &Silent).await?;
        let id = record.sandbox.sandbox_id.clone();
        let frozen = self.ports.store.frozen(&id).await?;
        let events = self.ports.store.events(Some(&id)).await?;
        let operations = self.traces(&record).await?;
        let observed = self.observed(&record).await;
        let sandbox = record.sandbox;
        Ok(Explanation {
            sandbox_id: sandbox.sandbox_id,
            state: sandbox.state,
            recipe: Recipe {
                profile: frozen.profile,
                digest: sandbox.profile_digest,
                source: frozen.profile_source,
                inputs: sandbox.inputs,
            },
            backend: frozen.route,
            location: Location {
                host: sandbox.host,
                handle: record.facts.handle.unwrap_or_default(),
                observed,
            },
            isolation: sandbox.isolation,
            reachability: sandbox.reachability,
            history: History {
                events,
                operations,
                reason: sandbox.reason,
                error: sandbox.error,
                cleanup: sandbox.cleanup,
            },
            cost: Cost {
                quote: record.facts.quote,
                meter: sandbox.meter,
            },
        })
    }

    async fn traces(&self, record: &SandboxRecord) -> Result<Vec<OperationTrace>, UserError> {
        let mut traces = Vec::new();
        for operation in self.ports.store.operations(&record.sandbox.sandbox_id).await? {
            let steps = self.ports.store.steps(&operation.operation_id).await?;
            let steps = steps.into_iter().map(|step| StepTrace {
                status: match (step.phase, step.status) {
                    (StepPhase::Undo, StepStatus::Done) => "undone".to_owned(),
                    (_, status) => status.name().to_owned(),
                },
                name: step.name,
                attempt: step.attempt,
                duration_ms: step.duration_us.map(|us| us as f64 / 1000.0),
                error: step.error,
            });
            traces.push(OperationTrace {
                operation_id: operation.operation_id,
                kind: operation.kind,
                status: operation.status.name().to_owned(),
                steps: steps.collect(),
            });
        }
        Ok(traces)
    }

    /// What the backend says at this moment, in words.
    async fn observed(&self, record: &SandboxRecord) -> Option<String> {
        let sandbox = &record.sandbox;
        if sandbox.state.is_gone() {
            return None;
        }
        let extension = self.ports.extensions.get(sandbox.extension_id.as_deref()?)?;
        let call = self.call_for(record, self.settings.timeouts.observe);
        let seen = extension.observe(&call, &target(record)).await;
        let presence = match (seen.presence, seen.usable) {
            (Presence::Present, Some(true)) => "present, usable",
            (Presence::Present, Some(false)) => "present, not usable",
            (Presence::Present, None) => "present",
            (Presence::Absent, _) => "absent",
            (Presence::Unknown, _) => "unknown",
        };
        Some(match seen.detail.as_str() {
            "" => presence.to_owned(),
            detail => format!("{presence}: {detail}"),
        })
    }
}
