//! Where events are sent.

use axum::http::Method;
use sandboxer_api::identity::Grant;
use sandboxer_api::sinks::{AddWebhook, AddedWebhook, Redelivered, TestedWebhook};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::sink::SinkStatus;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::{Call, hidden};
use crate::route::{Access, Keyed, NoBody, NoQuery, Route, on};

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    let admin = Access::Grant(Grant::SinksAdmin);
    vec![
        on(Method::GET, "/v1/sinks", "sink.list", admin)
            .summary("Where events are sent, and how delivery stands.")
            .answers::<Vec<SinkStatus>>(200, "Every sink.")
            .by(list),
        on(Method::POST, "/v1/events/redeliver", "sink.redeliver", admin)
            .summary("Send again what was given up or waits for another try.")
            .query::<RedeliverQuery>()
            .answers::<Redelivered>(200, "What is due again.")
            .by(redeliver),
        on(Method::GET, "/v1/webhooks", "webhook.list", admin)
            .summary("Every webhook.")
            .answers::<Vec<SinkStatus>>(200, "In the order they were added.")
            .by(webhooks),
        on(Method::POST, "/v1/webhooks", "webhook.add", admin)
            .summary("Send events to an address from here on. Shows its secret, once.")
            .keyed(Keyed::Once)
            .body::<AddWebhook>()
            .answers::<AddedWebhook>(201, "The webhook and its secret.")
            .by(add),
        on(Method::DELETE, "/v1/webhooks/{id}", "webhook.remove", admin)
            .summary("Forget a webhook and what was still to be sent there.")
            .answers::<SinkStatus>(200, "The webhook as it was.")
            .by(remove),
        on(Method::POST, "/v1/webhooks/{id}/test", "webhook.test", admin)
            .summary("Send a webhook a message that tells of nothing.")
            .answers::<TestedWebhook>(200, "What was answered.")
            .by(test),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RedeliverQuery {
    /// Only to this sink.
    sink: Option<String>,
    /// Only of this sandbox.
    sandbox: Option<String>,
}

async fn list(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().sinks().await?)
}

async fn redeliver(call: Call, query: RedeliverQuery, _: NoBody) -> Result<Answer, UserError> {
    let done = call
        .engine()
        .redeliver(query.sink.as_deref(), query.sandbox.as_deref())
        .await
        .map_err(hidden)?;
    Answer::json(200, &done)
}

async fn webhooks(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().list_webhooks().await?)
}

async fn add(call: Call, _: NoQuery, body: AddWebhook) -> Result<Answer, UserError> {
    Answer::json(201, &call.engine().add_webhook(&body).await?)
}

async fn remove(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.parameter("id");
    let removed = call.engine().remove_webhook(id).await.map_err(hidden)?;
    call.object.set(id);
    Answer::json(200, &removed)
}

async fn test(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.parameter("id");
    let tested = call.engine().test_webhook(id).await.map_err(hidden);
    // What is no webhook may be anything, and is not written down.
    if !matches!(&tested, Err(error) if error.code == ErrorCode::NotFound) {
        call.object.set(id);
    }
    Answer::json(200, &tested?)
}
