//! Sandboxes that are there: looking at them, changing and removing them.

use std::collections::BTreeMap;

use axum::http::Method;
use sandboxer_api::answer::{Destroyed, ExpireAction, Explanation};
use sandboxer_api::identity::Grant;
use sandboxer_api::page::{DEFAULT_LIMIT, MOST, Page};
use sandboxer_api::request::{ChangeSandbox, ExtendTtl};
use sandboxer_api::sinks::ListedEvent;
use sandboxer_engine::Cancel;
use sandboxer_engine::api::{Extend, PageFilter, Silent};
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::reachability::Reachability;
use sandboxer_model::sandbox::{Actor, Sandbox};
use schemars::JsonSchema;
use serde::Deserialize;

use super::create::patience;
use crate::answer::Answer;
use crate::call::{Call, hidden};
use crate::route::{Access, NoBody, NoQuery, Route, Versioned, on};
use crate::wait;

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    let read = Access::Grant(Grant::SandboxesRead);
    vec![
        on(Method::GET, "/v1/sandboxes", "sandbox.list", read)
            .summary("Sandboxes, newest first.")
            .notes("Without `state` and `all`, those that are not destroyed.")
            .query::<ListQuery>()
            .reads_much()
            .answers::<Page<Sandbox>>(200, "One page.")
            .by(list),
        on(
            Method::POST,
            "/v1/sandboxes/expire",
            "sandbox.expire",
            Access::Grant(Grant::SandboxesDestroy),
        )
        .summary("Find sandboxes whose time has passed, and remove them with `apply=true`.")
        .query::<ApplyQuery>()
        .answers::<Vec<ExpireAction>>(200, "What was done, or would be.")
        .by(expire),
        on(Method::GET, "/v1/sandboxes/{id}", "sandbox.get", read)
            .summary("One sandbox, compared with its backend first where that is cheap.")
            .versioned(Versioned::Shows)
            .answers::<Sandbox>(200, "The sandbox.")
            .by(get),
        on(
            Method::PATCH,
            "/v1/sandboxes/{id}",
            "sandbox.label",
            Access::Grant(Grant::SandboxesExec),
        )
        .summary("Set and remove labels.")
        .versioned(Versioned::Checks)
        .body::<ChangeSandbox>()
        .answers::<Sandbox>(200, "The sandbox.")
        .by(label),
        on(
            Method::DELETE,
            "/v1/sandboxes/{id}",
            "sandbox.destroy",
            Access::Grant(Grant::SandboxesDestroy),
        )
        .summary("Remove it, with proof. Doing it again is no error.")
        .notes("`state` is `destroying` where absence could not be proven; `error` says what is in the way.")
        .versioned(Versioned::Checks)
        .answers::<Destroyed>(200, "The receipt.")
        .by(destroy),
        on(Method::GET, "/v1/sandboxes/{id}/wait", "sandbox.wait", read)
            .summary("Wait until it is in a state.")
            .notes("408 when it is not in time; 409 at once when that state can no longer come.")
            .waits()
            .query::<WaitQuery>()
            .answers::<Sandbox>(200, "The sandbox, in that state.")
            .by(wait),
        on(
            Method::PATCH,
            "/v1/sandboxes/{id}/ttl",
            "sandbox.extend",
            Access::Grant(Grant::SandboxesExtend),
        )
        .summary("Give it more time.")
        .versioned(Versioned::Checks)
        .body::<ExtendTtl>()
        .answers::<Sandbox>(200, "The sandbox.")
        .by(extend),
        on(
            Method::POST,
            "/v1/sandboxes/{id}/recreate",
            "sandbox.recreate",
            Access::Grant(Grant::SandboxesCreate),
        )
        .summary("Remove it with proof and make it again from its frozen profile and inputs, under the same id.")
        .versioned(Versioned::Checks)
        .answers::<Sandbox>(200, "The sandbox, ready again.")
        .by(recreate),
        on(
            Method::POST,
            "/v1/sandboxes/{id}/activate",
            "sandbox.activate",
            Access::Grant(Grant::SandboxesExec),
        )
        .summary("Say that it is in use, where that does not happen through a command.")
        .versioned(Versioned::Checks)
        .answers::<Sandbox>(200, "The sandbox.")
        .by(activate),
        on(
            Method::GET,
            "/v1/sandboxes/{id}/reachability",
            "sandbox.reachability",
            read,
        )
        .summary("How it is reached.")
        .answers::<Reachability>(200, "Every way.")
        .by(reachability),
        on(Method::GET, "/v1/sandboxes/{id}/explain", "sandbox.explain", read)
            .summary("The seven questions, each with its evidence; alive or gone.")
            .answers::<Explanation>(200, "The answers.")
            .by(explain),
        on(Method::GET, "/v1/sandboxes/{id}/events", "sandbox.events", read)
            .summary("What happened to it, in order, and who does not know yet.")
            .reads_much()
            .answers::<Vec<ListedEvent>>(200, "Its events.")
            .by(events),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WaitQuery {
    /// The state.
    #[serde(default = "ready")]
    state: State,
    /// How long to wait, at most 10 minutes; 60 s when left out.
    timeout: Option<Span>,
}

fn ready() -> State {
    State::Ready
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApplyQuery {
    /// Whether to do it, or only to tell.
    apply: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only in this state; may be given again.
    #[serde(default)]
    state: Vec<State>,
    /// Destroyed ones too.
    all: Option<bool>,
    /// Only of this profile.
    profile: Option<String>,
    /// Only of this project.
    project: Option<String>,
    /// Only of this kind of caller.
    actor: Option<Actor>,
    /// Only of this run, session or job.
    run_id: Option<String>,
    /// Only with this label, `key=value`; may be given again.
    #[serde(default)]
    label: Vec<String>,
    /// Only those whose id begins like this, with or without `sbx-`.
    id_prefix: Option<String>,
    /// Items of a page, 1 to 200; 100 when left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the page before.
    cursor: Option<String>,
}

async fn list(call: Call, query: ListQuery, _: NoBody) -> Result<Answer, UserError> {
    let limit = page_limit(query.limit)?;
    let filter = PageFilter {
        states: query.state,
        all: query.all.unwrap_or(false),
        profile: query.profile,
        project: query.project,
        actor: query.actor,
        run_id: query.run_id,
        labels: labels(&query.label)?,
        id_prefix: query.id_prefix,
        before: query.cursor.as_deref().map(cursor).transpose()?,
        limit,
    };
    let (items, has_more) = call.engine().page(&filter, &call.viewer()).await?;
    let last = items.last().map(|sandbox| sandbox.sandbox_id.to_string());
    let next_cursor = last.filter(|_| has_more);
    Answer::json(200, &Page { items, next_cursor })
}

/// How many items a page has.
///
/// # Errors
/// `InvalidInput`.
pub(super) fn page_limit(limit: Option<u32>) -> Result<u32, UserError> {
    match limit {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(UserError::new(
            ErrorCode::InvalidInput,
            format!("the parameter `limit` is not 1 to {MOST}"),
        )),
    }
}

/// A cursor is the last id of the page before: what is made meanwhile is newer, and comes on no later page.
fn cursor(text: &str) -> Result<SandboxId, UserError> {
    text.parse()
        .map_err(|_| UserError::new(ErrorCode::InvalidInput, "the parameter `cursor` is not one of ours"))
}

fn labels(pairs: &[String]) -> Result<BTreeMap<String, String>, UserError> {
    pairs
        .iter()
        .map(|pair| {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| UserError::new(ErrorCode::InvalidInput, "the parameter `label` is not `key=value`"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

async fn get(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let seen = call.engine().see(&call.id()?, &call.viewer()).await.map_err(hidden)?;
    Ok(Answer::json(200, &seen.sandbox)?.etag(seen.revision))
}

/// The sandbox as it is now, after a change.
async fn shown(call: &Call, id: &SandboxId) -> Result<Answer, UserError> {
    let seen = call.engine().find(id, &call.viewer()).await.map_err(hidden)?;
    Ok(Answer::json(200, &seen.sandbox)?.etag(seen.revision))
}

async fn label(call: Call, _: NoQuery, body: ChangeSandbox) -> Result<Answer, UserError> {
    let found = call.sandbox_to_change().await?;
    let (mut set, mut remove) = (BTreeMap::new(), Vec::new());
    for (key, value) in body.labels {
        match value {
            Some(value) => drop(set.insert(key, value)),
            None => remove.push(key),
        }
    }
    call.engine().label(found.meant(), set, remove).await?;
    shown(&call, found.id()).await
}

async fn destroy(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let found = call.own_sandbox_to_change().await?;
    Answer::json(200, &call.engine().destroy(found.meant(), &Silent).await?)
}

async fn wait(call: Call, query: WaitQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    let waited = tokio::select! {
        waited = wait::until(&call.state, &id, query.state, patience(query.timeout)) => waited,
        () = call.state.stop.cancelled() => Err(UserError::new(ErrorCode::Draining, "the server is stopping")
            .hint("ask again in a moment")),
    };
    match waited {
        Ok(()) => shown(&call, &id).await,
        // The caller's own time was too short; the server did nothing wrong.
        Err(error) if error.code == ErrorCode::Timeout => Ok(Answer::problem_as(408, &error)),
        Err(error) => Err(error),
    }
}

async fn extend(call: Call, _: NoQuery, body: ExtendTtl) -> Result<Answer, UserError> {
    let by = match (body.duration, body.expires_at) {
        (Some(span), None) => Extend::By(span),
        (None, Some(at)) => Extend::Until(at),
        _ => {
            return Err(UserError::new(
                ErrorCode::InvalidInput,
                "the body has not exactly one of `duration` and `expires_at`",
            ));
        }
    };
    let found = call.own_sandbox_to_change().await?;
    call.engine().extend_ttl(found.meant(), by).await?;
    shown(&call, found.id()).await
}

async fn recreate(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let found = call.own_sandbox_to_change().await?;
    let never = Cancel::new();
    call.engine().recreate(found.meant(), &Silent, &never).await?;
    shown(&call, found.id()).await
}

async fn activate(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let found = call.sandbox_to_change().await?;
    call.engine().activate(found.meant()).await?;
    shown(&call, found.id()).await
}

async fn reachability(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    Answer::json(200, &call.engine().reachability(id.as_str()).await?)
}

async fn explain(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    Answer::json(200, &call.engine().explain(id.as_str()).await?)
}

async fn events(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    Answer::json(200, &call.engine().listed_events(Some(id.as_str())).await?)
}

async fn expire(call: Call, query: ApplyQuery, _: NoBody) -> Result<Answer, UserError> {
    let who = call.who()?;
    if who.role == Actor::Agt {
        return Err(UserError::new(
            ErrorCode::Forbidden,
            "only automations and administrators clear up after others",
        ));
    }
    let apply = query.apply.unwrap_or(false);
    let done = call.engine().expire_seen(apply, &call.viewer(), &Silent).await?;
    Answer::json(200, &done)
}
