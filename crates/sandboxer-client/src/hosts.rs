//! The machines of a server, and what is left over on them.

use std::time::Duration;

use reqwest::Method;
use sandboxer_api::hosts::{AddHost, HostInspection, ReapReport, StaleReport};
use sandboxer_model::error::UserError;
use sandboxer_model::registry::HostStatus;

use crate::address::part;
use crate::call::Call;
use crate::transport::Client;

/// Looking at machines takes its time.
const SLOW: Duration = Duration::from_secs(10 * 60);

fn at(name: &str) -> String {
    format!("v1/hosts/{}", part(name))
}

impl Client {
    /// The hosts there are, in order of name.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn hosts(&self) -> Result<Vec<HostStatus>, UserError> {
        self.ask(Call::get("v1/hosts")).await
    }

    /// Measures a host, and lists what looks like a sandbox there.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn inspect_host(&self, name: &str) -> Result<HostInspection, UserError> {
        self.ask(Call::get(at(name)).timeout(SLOW)).await
    }

    /// Looks at a host and registers it.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn add_host(&self, new: &AddHost) -> Result<HostStatus, UserError> {
        self.ask(Call::post("v1/hosts").json(new)?.timeout(SLOW)).await
    }

    /// Forgets a host on which no sandbox is.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`.
    pub async fn remove_host(&self, name: &str) -> Result<HostStatus, UserError> {
        self.ask(Call::other(Method::DELETE, at(name))).await
    }

    /// Looks at a host again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn probe_host(&self, name: &str) -> Result<HostStatus, UserError> {
        self.ask(Call::post(format!("{}/probe", at(name))).timeout(SLOW)).await
    }

    /// Lets nothing new on a host.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn drain_host(&self, name: &str) -> Result<HostStatus, UserError> {
        self.ask(Call::post(format!("{}/drain", at(name)))).await
    }

    /// Lets a host take sandboxes again.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn activate_host(&self, name: &str) -> Result<HostStatus, UserError> {
        self.ask(Call::post(format!("{}/activate", at(name)))).await
    }

    /// What may be left over on hosts, or on one.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn stale(&self, host: Option<&str>, older_than_hours: Option<u64>) -> Result<StaleReport, UserError> {
        let call = Call::get("v1/stale")
            .query_if("host", host)
            .query_if("older_than", older_than_hours.map(|hours| format!("{hours}h")));
        self.ask(call.timeout(SLOW)).await
    }

    /// Shows what is left over on hosts, or removes it.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn reap_stale(
        &self,
        apply: bool,
        host: Option<&str>,
        older_than_hours: Option<u64>,
    ) -> Result<ReapReport, UserError> {
        let call = Call::post("v1/stale/reap")
            .query_if("apply", apply.then_some("true"))
            .query_if("host", host)
            .query_if("older_than", older_than_hours.map(|hours| format!("{hours}h")));
        self.ask(call.timeout(SLOW)).await
    }
}
