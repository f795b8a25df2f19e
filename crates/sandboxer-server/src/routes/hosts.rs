//! Registered hosts, and what is left over on them.

use axum::http::Method;
use sandboxer_api::hosts::{AddHost, HostInspection, ReapReport, StaleReport};
use sandboxer_api::identity::Grant;
use sandboxer_model::duration::Span;
use sandboxer_model::error::UserError;
use sandboxer_model::registry::HostStatus;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::{Call, hidden};
use crate::route::{Access, NoBody, NoQuery, Route, on};

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    let read = Access::Grant(Grant::HostsRead);
    let admin = Access::Grant(Grant::HostsAdmin);
    vec![
        on(Method::GET, "/v1/hosts", "host.list", read)
            .summary("Registered hosts and what is held of each.")
            .answers::<Vec<HostStatus>>(200, "Every host.")
            .by(list),
        on(Method::POST, "/v1/hosts", "host.add", admin)
            .summary("Register a host.")
            .body::<AddHost>()
            .answers::<HostStatus>(201, "The host.")
            .by(add),
        on(Method::GET, "/v1/hosts/{name}", "host.inspect", read)
            .summary("What a host is like right now, and what looks like a sandbox there.")
            .answers::<HostInspection>(200, "What was seen.")
            .by(inspect),
        on(Method::DELETE, "/v1/hosts/{name}", "host.remove", admin)
            .summary("Forget a host that holds nothing.")
            .answers::<HostStatus>(200, "The host as it was.")
            .by(remove),
        on(Method::POST, "/v1/hosts/{name}/probe", "host.probe", admin)
            .summary("Measure a host.")
            .answers::<HostStatus>(200, "The host.")
            .by(probe),
        on(Method::POST, "/v1/hosts/{name}/drain", "host.drain", admin)
            .summary("Put no more sandboxes on a host.")
            .answers::<HostStatus>(200, "The host.")
            .by(drain),
        on(Method::POST, "/v1/hosts/{name}/activate", "host.activate", admin)
            .summary("Put sandboxes on a host again.")
            .answers::<HostStatus>(200, "The host.")
            .by(activate),
        on(Method::GET, "/v1/stale", "stale.list", read)
            .summary("What is left over on hosts.")
            .query::<StaleQuery>()
            .answers::<StaleReport>(200, "What was seen.")
            .by(stale),
        on(Method::POST, "/v1/stale/reap", "stale.reap", admin)
            .summary("Remove what is left over on hosts, with proof, with `apply=true`.")
            .query::<ReapQuery>()
            .answers::<ReapReport>(200, "What was done, or would be.")
            .by(reap),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StaleQuery {
    /// Only on this host, a registered one.
    host: Option<String>,
    /// Only what is older than this, in whole hours.
    older_than: Option<Span>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReapQuery {
    /// Only on this host, a registered one.
    host: Option<String>,
    /// Only what is older than this, in whole hours.
    older_than: Option<Span>,
    /// Whether to do it, or only to tell.
    apply: Option<bool>,
}

fn hours(span: Option<Span>) -> Option<u64> {
    span.map(|span| span.as_secs().div_ceil(3600))
}

async fn list(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().hosts().await?)
}

async fn add(call: Call, _: NoQuery, body: AddHost) -> Result<Answer, UserError> {
    let added = call.engine().add_host(&body).await?;
    call.object.set(&body.name);
    Answer::json(201, &added)
}

/// A host by its name, which must be a registered one: over HTTP nobody has the server go elsewhere.
async fn known(call: &Call, name: &str) -> Result<String, UserError> {
    Ok(call.engine().host(name).await.map_err(hidden)?.host.name)
}

/// The host in the path.
async fn registered(call: &Call) -> Result<String, UserError> {
    let host = known(call, call.parameter("name")).await?;
    call.object.set(&host);
    Ok(host)
}

/// The host in the query, if one is.
async fn only(call: &Call, host: Option<&str>) -> Result<Option<String>, UserError> {
    match host {
        None => Ok(None),
        Some(name) => known(call, name).await.map(Some),
    }
}

async fn inspect(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let name = registered(&call).await?;
    Answer::json(200, &call.engine().inspect_host(&name).await?)
}

async fn remove(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let name = registered(&call).await?;
    Answer::json(200, &call.engine().remove_host(&name).await?)
}

async fn probe(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let name = registered(&call).await?;
    Answer::json(200, &call.engine().probe_host(&name).await?)
}

async fn drain(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let name = registered(&call).await?;
    Answer::json(200, &call.engine().drain_host(&name).await?)
}

async fn activate(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let name = registered(&call).await?;
    Answer::json(200, &call.engine().activate_host(&name).await?)
}

async fn stale(call: Call, query: StaleQuery, _: NoBody) -> Result<Answer, UserError> {
    let host = only(&call, query.host.as_deref()).await?;
    let report = call.engine().stale(host.as_deref(), hours(query.older_than)).await?;
    Answer::json(200, &report)
}

async fn reap(call: Call, query: ReapQuery, _: NoBody) -> Result<Answer, UserError> {
    let apply = query.apply.unwrap_or(false);
    let host = only(&call, query.host.as_deref()).await?;
    let report = call
        .engine()
        .reap_stale(apply, host.as_deref(), hours(query.older_than))
        .await?;
    Answer::json(200, &report)
}
