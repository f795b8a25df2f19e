//! Who is told what happens.

use reqwest::Method;
use sandboxer_api::sinks::{AddWebhook, AddedWebhook, Redelivered, TestedWebhook};
use sandboxer_model::error::UserError;
use sandboxer_model::sink::SinkStatus;

use crate::address::part;
use crate::call::Call;
use crate::transport::Client;

impl Client {
    /// Every place that events are sent to.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn sinks(&self) -> Result<Vec<SinkStatus>, UserError> {
        self.ask(Call::get("v1/sinks")).await
    }

    /// The webhooks there are.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn webhooks(&self) -> Result<Vec<SinkStatus>, UserError> {
        self.ask(Call::get("v1/webhooks")).await
    }

    /// Sends what happens from now on to an address. Its answer shows a secret, once, so it is not tried again where the server may
    /// have heard it.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn add_webhook(&self, new: &AddWebhook) -> Result<AddedWebhook, UserError> {
        self.ask(Call::once("v1/webhooks").json(new)?).await
    }

    /// Forgets a webhook.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_webhook(&self, id: &str) -> Result<SinkStatus, UserError> {
        let path = format!("v1/webhooks/{}", part(id));
        self.ask(Call::other(Method::DELETE, path)).await
    }

    /// Sends a webhook a message that tells of nothing.
    ///
    /// # Errors
    /// `NotFound`; nobody answers there.
    pub async fn test_webhook(&self, id: &str) -> Result<TestedWebhook, UserError> {
        self.ask(Call::post(format!("v1/webhooks/{}/test", part(id)))).await
    }

    /// Sends again what was given up, and at once what waits.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn redeliver(&self, sink: Option<&str>, sandbox: Option<&str>) -> Result<Redelivered, UserError> {
        let call = Call::post("v1/events/redeliver")
            .query_if("sink", sink)
            .query_if("sandbox", sandbox);
        self.ask(call).await
    }
}
