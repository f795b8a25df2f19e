//! What a create learns about its host.

use sandboxer_extension::{Extension, Ready};
use sandboxer_model::host::{IntrospectionReport, ProvisionDelta};

use super::job::Job;
use crate::host::Around;
use crate::prepare::DEFAULT_PROFILE;

/// Version of the report's form.
const FORM: &str = "0.1";

/// What else is on the host, for the profile that is there to find out: it costs a call.
pub(super) async fn look_around(job: &Job<'_>, extension: &dyn Extension, ready: &Ready) -> Around {
    let wanted = ready.delta.is_some() && job.frozen.profile.id == DEFAULT_PROFILE;
    match (wanted, job.target().host) {
        (true, Some(host)) => {
            let call = job.call(job.engine.settings.timeouts.probe);
            let seen = extension.inventory_at(&call, &host).await;
            job.engine.around(&job.record, seen).await
        }
        _ => Around::default(),
    }
}

/// The report of a create that changed this much.
pub(super) fn report(job: &Job<'_>, delta: ProvisionDelta, around: Around) -> IntrospectionReport {
    let sandbox = &job.record.sandbox;
    IntrospectionReport {
        schema_version: FORM.to_owned(),
        host: sandbox.host.clone().unwrap_or_default(),
        sandbox_id: sandbox.sandbox_id.clone(),
        profile_id: sandbox.profile_id.clone(),
        collected_at: job.engine.ports.clock.now(),
        provision_delta: delta,
        inventory: around.inventory,
        stale_candidates: around.stale,
    }
}
