//! Looking at sandboxes, keeping and ending them.

use std::collections::BTreeMap;
use std::time::Duration;

use sandboxer_api::request::{ChangeSandbox, ExtendTtl};
use sandboxer_client::Listing;
use sandboxer_engine::Cancel;
use sandboxer_engine::api::{Destroyed, ExpireAction, Explanation, Extend, ListFilter, Status};
use sandboxer_model::error::UserError;
use sandboxer_model::lifecycle::State;
use sandboxer_model::reachability::Reachability;
use sandboxer_model::sandbox::Sandbox;

use super::Service;
use crate::output::progress::Reporter;

impl Service {
    /// One sandbox.
    pub(crate) async fn get(&self, id: &str) -> Result<Sandbox, UserError> {
        match self {
            Service::Embedded(engine) => engine.get(id).await,
            Service::Remote(client) => client.sandbox(&client.resolve(id).await?).await,
        }
    }

    /// Sandboxes, newest first.
    pub(crate) async fn list(&self, filter: ListFilter) -> Result<Vec<Sandbox>, UserError> {
        match self {
            Service::Embedded(engine) => engine.list(&filter).await,
            Service::Remote(client) => {
                let listing = Listing {
                    states: filter.states,
                    all: filter.all,
                    profile: filter.profile,
                    project: filter.project,
                    labels: filter.labels,
                    ..Listing::default()
                };
                client.list(&listing).await
            }
        }
    }

    /// Waits until a sandbox is in a state.
    pub(crate) async fn wait(&self, id: &str, state: State, timeout: Duration) -> Result<Sandbox, UserError> {
        match self {
            Service::Embedded(engine) => engine.wait(id, state, timeout).await,
            Service::Remote(client) => client.wait(&client.resolve(id).await?, state, timeout).await,
        }
    }

    /// Removes a sandbox.
    pub(crate) async fn destroy(&self, id: &str, reporter: &Reporter) -> Result<Destroyed, UserError> {
        match self {
            Service::Embedded(engine) => engine.destroy(id, reporter).await,
            Service::Remote(client) => client.destroy(&client.resolve(id).await?).await,
        }
    }

    /// Makes a sandbox again. A server goes on with it when nobody waits any more.
    pub(crate) async fn recreate(&self, id: &str, reporter: &Reporter, cancel: &Cancel) -> Result<Sandbox, UserError> {
        match self {
            Service::Embedded(engine) => engine.recreate(id, reporter, cancel).await,
            Service::Remote(client) => {
                let id = client.resolve(id).await?;
                tokio::select! {
                    made = client.recreate(&id) => made,
                    () = cancel.cancelled() => Err(super::remote::left_to_server(&id)),
                }
            }
        }
    }

    /// Moves a deadline.
    pub(crate) async fn extend_ttl(&self, id: &str, by: Extend) -> Result<Sandbox, UserError> {
        match self {
            Service::Embedded(engine) => engine.extend_ttl(id, by).await,
            Service::Remote(client) => {
                let by = match by {
                    Extend::By(duration) => ExtendTtl {
                        duration: Some(duration),
                        ..ExtendTtl::default()
                    },
                    Extend::Until(expires_at) => ExtendTtl {
                        expires_at: Some(expires_at),
                        ..ExtendTtl::default()
                    },
                };
                client.extend(&client.resolve(id).await?, &by).await
            }
        }
    }

    /// Shows or removes what is past its time.
    pub(crate) async fn expire(&self, apply: bool, reporter: &Reporter) -> Result<Vec<ExpireAction>, UserError> {
        match self {
            Service::Embedded(engine) => engine.expire(apply, reporter).await,
            Service::Remote(client) => client.expire(apply).await,
        }
    }

    /// The seven answers.
    pub(crate) async fn explain(&self, id: &str) -> Result<Explanation, UserError> {
        match self {
            Service::Embedded(engine) => engine.explain(id).await,
            Service::Remote(client) => client.explain(&client.resolve(id).await?).await,
        }
    }

    /// How a sandbox is reached.
    pub(crate) async fn reachability(&self, id: &str) -> Result<Reachability, UserError> {
        match self {
            Service::Embedded(engine) => engine.reachability(id).await,
            Service::Remote(client) => client.reachability(&client.resolve(id).await?).await,
        }
    }

    /// Sets and removes labels.
    pub(crate) async fn label(
        &self,
        id: &str,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    ) -> Result<Sandbox, UserError> {
        match self {
            Service::Embedded(engine) => engine.label(id, set, remove).await,
            Service::Remote(client) => {
                let removed = remove.into_iter().map(|key| (key, None));
                let labels = removed.chain(set.into_iter().map(|(key, value)| (key, Some(value))));
                let change = ChangeSandbox {
                    labels: labels.collect(),
                };
                client.label(&client.resolve(id).await?, &change, None).await
            }
        }
    }

    /// How the whole stands.
    pub(crate) async fn status(&self) -> Result<Status, UserError> {
        match self {
            Service::Embedded(engine) => engine.status().await,
            Service::Remote(client) => client.status().await,
        }
    }
}
