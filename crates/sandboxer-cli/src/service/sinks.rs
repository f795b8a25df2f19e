//! Events, and who is told.

use sandboxer_engine::api::{AddWebhook, AddedWebhook, ListedEvent, Redelivered, TestedWebhook};
use sandboxer_model::error::UserError;
use sandboxer_model::sink::SinkStatus;

use super::Service;

impl Service {
    /// What happened to one sandbox, or to all, in order.
    pub(crate) async fn events(&self, id: Option<&str>) -> Result<Vec<ListedEvent>, UserError> {
        match (self, id) {
            (Service::Embedded(engine), id) => engine.listed_events(id).await,
            (Service::Remote(client), Some(id)) => client.events_of(&client.resolve(id).await?).await,
            (Service::Remote(client), None) => client.all_events(None).await,
        }
    }

    /// Every place that events are sent to.
    pub(crate) async fn sinks(&self) -> Result<Vec<SinkStatus>, UserError> {
        match self {
            Service::Embedded(engine) => engine.sinks().await,
            Service::Remote(client) => client.sinks().await,
        }
    }

    /// Sends again what was given up.
    pub(crate) async fn redeliver(&self, sink: Option<&str>, sandbox: Option<&str>) -> Result<Redelivered, UserError> {
        match (self, sandbox) {
            (Service::Embedded(engine), sandbox) => engine.redeliver(sink, sandbox).await,
            (Service::Remote(client), None) => client.redeliver(sink, None).await,
            (Service::Remote(client), Some(id)) => {
                let id = client.resolve(id).await?;
                client.redeliver(sink, Some(id.as_str())).await
            }
        }
    }

    /// The webhooks there are.
    pub(crate) async fn webhooks(&self) -> Result<Vec<SinkStatus>, UserError> {
        match self {
            Service::Embedded(engine) => engine.list_webhooks().await,
            Service::Remote(client) => client.webhooks().await,
        }
    }

    /// Sends what happens from now on to an address.
    pub(crate) async fn add_webhook(&self, new: &AddWebhook) -> Result<AddedWebhook, UserError> {
        match self {
            Service::Embedded(engine) => engine.add_webhook(new).await,
            Service::Remote(client) => client.add_webhook(new).await,
        }
    }

    /// Forgets a webhook.
    pub(crate) async fn remove_webhook(&self, id: &str) -> Result<SinkStatus, UserError> {
        match self {
            Service::Embedded(engine) => engine.remove_webhook(id).await,
            Service::Remote(client) => client.remove_webhook(id).await,
        }
    }

    /// Sends a webhook a message that tells of nothing.
    pub(crate) async fn test_webhook(&self, id: &str) -> Result<TestedWebhook, UserError> {
        match self {
            Service::Embedded(engine) => engine.test_webhook(id).await,
            Service::Remote(client) => client.test_webhook(id).await,
        }
    }
}
