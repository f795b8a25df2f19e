//! Making sandboxes: for whom the key says, within what the project may have.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use axum::http::Method;
use axum::http::header::RETRY_AFTER;
use sandboxer_api::answer::{Created, Plan};
use sandboxer_api::identity::{Grant, Identity};
use sandboxer_api::request::CreateSandbox;
use sandboxer_engine::api::{Caller, CreateRequest, IfAbandoned};
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::State;
use sandboxer_model::sandbox::{Actor, Consumer};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::{Call, hidden};
use crate::idempotent;
use crate::route::{Access, Keyed, NoQuery, Route, on};
use crate::wait;

/// How long a call waits when the caller does not say.
const WAIT: Duration = Duration::from_secs(60);
/// How long one waits at most: longer ones are asked again.
const MOST_WAIT: Duration = Duration::from_secs(600);

/// Its routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        on(
            Method::POST,
            "/v1/sandboxes",
            "sandbox.create",
            Access::Grant(Grant::SandboxesCreate),
        )
        .summary("Make a sandbox, or get the live one that fits its scope.")
        .notes(
            "Answers as soon as it is on record and will be made whatever happens; with `wait=ready` when it is ready.",
        )
        .keyed(Keyed::ByHandler)
        .query::<CreateQuery>()
        .body::<CreateSandbox>()
        .answers::<Created>(202, "Accepted: it is being made.")
        .answers::<Created>(201, "It is ready.")
        .answers::<Created>(200, "One that was there.")
        .by(create),
        on(
            Method::POST,
            "/v1/plans",
            "sandbox.plan",
            Access::Grant(Grant::SandboxesCreate),
        )
        .summary("What a create would do; touches nothing, and refuses what a create refuses.")
        .keyed(Keyed::No)
        .body::<CreateSandbox>()
        .answers::<Plan>(200, "The plan.")
        .by(plan),
    ]
}

/// What a create may wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum For {
    /// That it is ready.
    Ready,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CreateQuery {
    /// What to wait for; left out: nothing.
    wait: Option<For>,
    /// How long to wait, at most 10 minutes; 60 s when left out.
    timeout: Option<Span>,
}

async fn create(call: Call, query: CreateQuery, body: CreateSandbox) -> Result<Answer, UserError> {
    let mut request = request(&call, body).await?;
    request.idempotency_key = idempotent::key_of(&call)?.map(str::to_owned);
    if let Some(refused) = over_rate(&call, &mut request).await? {
        return Ok(refused);
    }
    let engine = call.engine();
    let created = engine.accept(request).await?;
    call.object.set(created.sandbox.sandbox_id.as_str());
    let was_there = created.reused || created.replayed;
    let begun = match (&created.sandbox.operation_id, was_there) {
        (Some(operation), false) => Some(call.state.driver.start(operation.clone(), &call.state.metrics)),
        _ => None,
    };
    if query.wait.is_none() {
        let status = match created.sandbox.state {
            _ if created.reused => 200,
            State::Requested | State::Provisioning => 202,
            State::Ready | State::Active => 201,
            // Asked for again under its key when it was on its way out.
            _ => 200,
        };
        return answer_created(status, &created);
    }
    let (id, timeout) = (created.sandbox.sandbox_id.clone(), patience(query.timeout));
    let until = call.state.clock.monotonic() + timeout;
    let driven = match begun {
        None => None,
        Some(told) => tokio::select! {
            // What is not told any more is in the store.
            outcome = told => outcome.ok(),
            () = call.state.clock.sleep(timeout) => Some(Ok(())),
        },
    };
    let made = match driven {
        Some(Ok(())) => Ok(true),
        Some(Err(error)) if error.code != ErrorCode::Busy => Err(error),
        // Somebody else makes it: who asked first, or who found it waiting for its turn.
        _ => {
            let left = until.saturating_sub(call.state.clock.monotonic());
            match call.state.waits.take(&call.who()?.key_id).await {
                // It was accepted; that its caller cannot wait for it is no failure of it.
                Err(_) => Ok(false),
                Ok(_turn) => tokio::select! {
                    made = wait::until(&call.state, &id, State::Ready, left) => match made {
                        Err(error) if error.code == ErrorCode::Timeout => Ok(false),
                        other => other.map(|()| true),
                    },
                    () = call.gone() => Ok(false),
                    () = call.state.stop.cancelled() => Ok(false),
                },
            }
        }
    };
    let is_made = made?;
    let sandbox = engine.see(&id, &call.viewer()).await.map_err(hidden)?.sandbox;
    let status = match (is_made && sandbox.state.is_usable(), created.reused) {
        (true, true) => 200,
        (true, false) => 201,
        (false, _) => 202,
    };
    answer_created(status, &Created { sandbox, ..created })
}

fn answer_created(status: u16, created: &Created) -> Result<Answer, UserError> {
    let place = format!("/v1/sandboxes/{}", created.sandbox.sandbox_id);
    let answer = Answer::json(status, created)?.location(&place);
    Ok(if created.replayed {
        idempotent::replayed(answer)
    } else {
        answer
    })
}

async fn plan(call: Call, _: NoQuery, body: CreateSandbox) -> Result<Answer, UserError> {
    let request = request(&call, body).await?;
    Answer::json(200, &call.engine().plan(&request).await?)
}

/// A request of the engine, in which everything about the caller comes from the key.
async fn request(call: &Call, body: CreateSandbox) -> Result<CreateRequest, UserError> {
    let who = call.who()?;
    let asked = body.consumer.unwrap_or_default();
    let tenant = if who.role == Actor::Adm {
        Caller::Operator
    } else {
        Caller::Tenant
    };
    if body.profile.as_deref().is_some_and(is_file) {
        return Err(UserError::new(
            ErrorCode::InvalidInput,
            "over HTTP a profile is named, not given as a file",
        ));
    }
    let mut inputs = body.inputs;
    let directories = uploaded(call, &mut inputs)?;
    Ok(CreateRequest {
        profile: body.profile,
        inputs,
        directories,
        consumer: consumer(who, asked.actor, asked.project, asked.run_id)?,
        owner: Some(who.name.clone()),
        caller: tenant,
        scope: body.scope,
        ttl: body.ttl,
        host: body.host,
        labels: body.labels,
        working_dir: PathBuf::from("/"),
        if_abandoned: IfAbandoned::Finish,
        ..CreateRequest::default()
    })
}

/// Whether a profile is given as a file, as it can be where the files are.
fn is_file(profile: &str) -> bool {
    profile.contains('/') || profile.ends_with(".yaml") || profile.ends_with(".yml")
}

/// Inputs that name an upload, as the directories they stand for.
fn uploaded(call: &Call, inputs: &mut BTreeMap<String, String>) -> Result<BTreeMap<String, PathBuf>, UserError> {
    let mut directories = BTreeMap::new();
    for (name, id) in inputs
        .iter()
        .filter_map(|(name, value)| Some((name, value.strip_prefix("upload:")?)))
    {
        directories.insert(name.clone(), call.state.uploads.resolve(&call.viewer(), id)?);
    }
    inputs.retain(|name, _| !directories.contains_key(name));
    Ok(directories)
}

/// On whose behalf: never more than the key has.
fn consumer(
    who: &Identity,
    actor: Option<Actor>,
    project: Option<String>,
    run_id: Option<String>,
) -> Result<Consumer, UserError> {
    let rank = |actor: Actor| match actor {
        Actor::Agt => 0,
        Actor::Atm => 1,
        Actor::Adm => 2,
    };
    let actor = actor.unwrap_or(who.role);
    let is_more = rank(actor) > rank(who.role);
    let is_foreign = who.project.is_some() && project.is_some() && project != who.project;
    if is_more || is_foreign {
        return Err(UserError::new(
            ErrorCode::Forbidden,
            "`consumer` claims more than the key has: who a sandbox is for comes from the key",
        )
        .hint("leave `actor` and `project` out"));
    }
    Ok(Consumer {
        actor,
        project: who.project.clone().or(project),
        run_id,
    })
}

/// An answer when the project makes too many sandboxes in a short time. Otherwise the request knows how many may live.
async fn over_rate(call: &Call, request: &mut CreateRequest) -> Result<Option<Answer>, UserError> {
    let Some(name) = request.consumer.project.clone() else {
        return Ok(None);
    };
    let limits = call.engine().limits_of(&name).await?;
    request.max_live = Some(limits.max_live);
    let Err(wait) = call.state.limits.create(&name, limits) else {
        return Ok(None);
    };
    let error = UserError::new(
        ErrorCode::RateLimited,
        format!(
            "the project makes more than {} sandboxes a second",
            limits.creates_per_second
        ),
    )
    .hint("wait as long as `Retry-After` says");
    let seconds = wait.as_secs() + 1;
    Ok(Some(Answer::problem(&error).header(RETRY_AFTER, &seconds.to_string())))
}

/// How long a caller waits at most.
pub(super) fn patience(timeout: Option<Span>) -> Duration {
    timeout.map_or(WAIT, Span::as_std).min(MOST_WAIT)
}
