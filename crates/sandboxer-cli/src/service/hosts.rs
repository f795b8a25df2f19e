//! Machines, and what is left over on them.

use sandboxer_engine::api::{AddHost, HostInspection, HostLoss, ReapReport, StaleReport};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::registry::HostStatus;

use super::{Service, only_there};
use crate::output::progress::Reporter;

impl Service {
    /// Every host, in order of name.
    pub(crate) async fn hosts(&self) -> Result<Vec<HostStatus>, UserError> {
        match self {
            Service::Embedded(engine) => engine.hosts().await,
            Service::Remote(client) => client.hosts().await,
        }
    }

    /// One host, by name or address.
    pub(crate) async fn host(&self, name: &str) -> Result<HostStatus, UserError> {
        match self {
            Service::Embedded(engine) => engine.host(name).await,
            Service::Remote(client) => client
                .hosts()
                .await?
                .into_iter()
                .find(|one| one.host.name == name || one.host.address.to_string() == name)
                .ok_or_else(|| {
                    UserError::new(ErrorCode::NotFound, format!("there is no host `{name}`"))
                        .hint("see what is registered with `sandboxer hosts list`")
                }),
        }
    }

    /// Looks at a host and registers it.
    pub(crate) async fn add_host(&self, new: &AddHost) -> Result<HostStatus, UserError> {
        match self {
            Service::Embedded(engine) => engine.add_host(new).await,
            Service::Remote(client) => client.add_host(new).await,
        }
    }

    /// Looks at a host again.
    pub(crate) async fn probe_host(&self, name: &str) -> Result<HostStatus, UserError> {
        match self {
            Service::Embedded(engine) => engine.probe_host(name).await,
            Service::Remote(client) => client.probe_host(name).await,
        }
    }

    /// Lets nothing new on a host.
    pub(crate) async fn drain_host(&self, name: &str) -> Result<HostStatus, UserError> {
        match self {
            Service::Embedded(engine) => engine.drain_host(name).await,
            Service::Remote(client) => client.drain_host(name).await,
        }
    }

    /// Lets a host take sandboxes again.
    pub(crate) async fn activate_host(&self, name: &str) -> Result<HostStatus, UserError> {
        match self {
            Service::Embedded(engine) => engine.activate_host(name).await,
            Service::Remote(client) => client.activate_host(name).await,
        }
    }

    /// Forgets a host on which no sandbox is.
    pub(crate) async fn remove_host(&self, name: &str) -> Result<HostStatus, UserError> {
        match self {
            Service::Embedded(engine) => engine.remove_host(name).await,
            Service::Remote(client) => client.remove_host(name).await,
        }
    }

    /// Gives a host up for good, with what was on it.
    pub(crate) async fn lose_host(&self, name: &str, reporter: &Reporter) -> Result<HostLoss, UserError> {
        match self {
            Service::Embedded(engine) => engine.lose_host(name, reporter).await,
            Service::Remote(_) => Err(only_there("giving a host up for good")),
        }
    }

    /// Measures a host, and lists what looks like a sandbox there.
    pub(crate) async fn inspect_host(&self, host: &str) -> Result<HostInspection, UserError> {
        match self {
            Service::Embedded(engine) => engine.inspect_host(host).await,
            Service::Remote(client) => client.inspect_host(host).await,
        }
    }

    /// What may be left over.
    pub(crate) async fn stale(&self, host: Option<&str>, hours: Option<u64>) -> Result<StaleReport, UserError> {
        match self {
            Service::Embedded(engine) => engine.stale(host, hours).await,
            Service::Remote(client) => client.stale(host, hours).await,
        }
    }

    /// Shows what is left over, or removes it.
    pub(crate) async fn reap_stale(
        &self,
        apply: bool,
        host: Option<&str>,
        hours: Option<u64>,
    ) -> Result<ReapReport, UserError> {
        match self {
            Service::Embedded(engine) => engine.reap_stale(apply, host, hours).await,
            Service::Remote(client) => client.reap_stale(apply, host, hours).await,
        }
    }
}
