//! JSON Schemas of what the engine and the extension SDK show. Generated, checked in under `docs/schemas/`.

use sandboxer_extension::Manifest;
use sandboxer_model::registry::HostStatus;
use sandboxer_model::schema::of;
use sandboxer_model::sink::SinkStatus;

use crate::api::{
    AddedWebhook, Created, Destroyed, DriftReport, ExpireAction, Explanation, HostInspection, HostLoss, ListedEvent,
    Plan, ReapReport, Redelivered, StaleReport, Status, TestedWebhook,
};
use crate::catalog::Listed;

/// File name and text of each schema that `sandboxer_model::schema::all` does not have.
pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("added-webhook.schema.json", of::<AddedWebhook>()),
        ("created.schema.json", of::<Created>()),
        ("destroyed.schema.json", of::<Destroyed>()),
        ("drift-report.schema.json", of::<DriftReport>()),
        ("expire-action.schema.json", of::<ExpireAction>()),
        ("explanation.schema.json", of::<Explanation>()),
        ("host-inspection.schema.json", of::<HostInspection>()),
        ("host-loss.schema.json", of::<HostLoss>()),
        ("host-status.schema.json", of::<HostStatus>()),
        ("listed-event.schema.json", of::<ListedEvent>()),
        ("listed-profile.schema.json", of::<Listed>()),
        ("manifest.schema.json", of::<Manifest>()),
        ("plan.schema.json", of::<Plan>()),
        ("reap-report.schema.json", of::<ReapReport>()),
        ("redelivered.schema.json", of::<Redelivered>()),
        ("sink-status.schema.json", of::<SinkStatus>()),
        ("stale-report.schema.json", of::<StaleReport>()),
        ("status.schema.json", of::<Status>()),
        ("tested-webhook.schema.json", of::<TestedWebhook>()),
    ]
}
