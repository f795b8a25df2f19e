//! What happens to each request, in this order: its name, its caller, the caller's rights and limits, its body, its key for
//! doing it once, the work, the audit log, the numbers. Every rule that all operations share is here and nowhere else.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawPathParams, Request};
use axum::http::header::{ALLOW, AUTHORIZATION, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Response};
use sandboxer_api::identity::Identity;
use sandboxer_model::error::{ErrorCode, UserError};
use tokio::sync::watch;

use crate::answer::Answer;
use crate::audit::{self, Object};
use crate::body;
use crate::call::Call;
use crate::idempotent::{self, Turn};
use crate::limit::Standing;
use crate::log::Level;
use crate::route::{Access, Effort, Keyed, Route, Takes};
use crate::state::State;

/// What the caller calls a request, and what it is called here otherwise.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The status of what a limit refuses. The numbers tell of it.
const TOO_MANY: u16 = 429;
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// From where a request came; nothing for a local socket.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) Option<IpAddr>);

/// One request, from its head to the head of its answer. What may change something goes on to its end whatever becomes of the
/// connection.
pub(crate) async fn dispatch(
    state: Arc<State>,
    route: Arc<Route>,
    params: Option<RawPathParams>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // Lives as long as somebody waits for the answer.
    let (_here, caller) = watch::channel(());
    let path = params
        .iter()
        .flatten()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let call = Call {
        state: Arc::clone(&state),
        identity: None,
        path: path.collect(),
        request_id: request_id(&parts.headers, &state),
        parts,
        json: None,
        stream: Mutex::new(Some(body)),
        caller,
        object: Object::default(),
    };
    if !route.changes() {
        return carry_out(state, route, call).await;
    }
    let work = carry_out(Arc::clone(&state), route, call);
    match state.driver.keep(work).await {
        Ok(response) => response,
        Err(error) => refusal(&error, None).into_response(),
    }
}

async fn carry_out(state: Arc<State>, route: Arc<Route>, call: Call) -> Response<Body> {
    let began = state.clock.monotonic();
    let (request_id, object) = (call.request_id.clone(), call.object.clone());
    let address = call
        .parts
        .extensions
        .get::<Peer>()
        .and_then(|peer| peer.0)
        .map(|ip| ip.to_string());
    let mut whose = Whose::default();
    let answer = match answer(&state, &route, call, &mut whose).await {
        Ok(answer) => answer,
        Err(error) => refusal(&error, whose.standing),
    };
    let status = answer.status();
    // A key that asks too often is refused without a trace: else it would write as often as it asks.
    if let Some(identity) = &whose.identity
        && status != TOO_MANY
        && (route.changes() || matches!(status, 401 | 403))
    {
        let entry = audit::entry(route.id, &object, identity, address, &request_id, status);
        if let Err(error) = state.engine.record(entry).await {
            state.log.line(
                Level::Error,
                "not in the audit log",
                &[("why", &error.message), ("request", &request_id)],
            );
        }
    }
    if route.changes() && status < 400 {
        state.changed.notify_waiters();
    }
    let took = state.clock.monotonic().saturating_sub(began);
    state.metrics.answered(route.id, status, took);
    tell(&state, &route, &whose, &request_id, status, took, &object);
    with_standing(answer, whose.standing)
        .header(REQUEST_ID, &request_id)
        .into_response()
}

/// Who calls, and how much they have left.
#[derive(Default)]
struct Whose {
    identity: Option<Identity>,
    standing: Option<Standing>,
}

async fn answer(state: &Arc<State>, route: &Route, mut call: Call, whose: &mut Whose) -> Result<Answer, UserError> {
    if needs_key(state, route) {
        let identity = state.engine.authenticate(token(call.headers())).await?;
        whose.identity = Some(identity.clone());
        let standing = state.limits.request(&identity.key_id);
        whose.standing = Some(standing);
        if standing.wait > Duration::ZERO {
            return Err(
                UserError::new(ErrorCode::RateLimited, "this key makes too many requests")
                    .hint("wait as long as `Retry-After` says"),
            );
        }
        may(route, &identity)?;
        call.identity = Some(identity);
    }
    if state.stop.is_set() && route.changes() {
        return Err(
            UserError::new(ErrorCode::Draining, "the server is stopping and takes no more work")
                .hint("try again in a moment"),
        );
    }
    take_body(state, route, &mut call).await?;
    let _in_turn = match (route.effort, call.identity.as_ref()) {
        (Effort::Much, Some(identity)) => Some(state.readers.take(&identity.key_id).await?),
        (Effort::Waits, Some(identity)) => Some(state.waits.take(&identity.key_id).await?),
        (Effort::Little, _) | (_, None) => None,
    };
    let turn = match (route.keyed, call.identity.as_ref()) {
        (keyed @ (Keyed::Replayed | Keyed::Once), Some(identity)) => {
            let request = idempotent::request_of(route, &call, identity)?;
            idempotent::begin(state, identity, request, keyed).await?
        }
        _ => Turn::Free,
    };
    let kept = match turn {
        Turn::Answered(answer) => return Ok(answer),
        Turn::Free => None,
        Turn::Begun(kept) => Some(kept),
    };
    let outcome = (route.handler)(call).await;
    match kept {
        None => outcome,
        Some(kept) => kept.end(state, outcome).await,
    }
}

fn needs_key(state: &State, route: &Route) -> bool {
    match route.access {
        Access::Public => false,
        Access::AnyKey => true,
        Access::Grant(_) => !(route.id == "server.metrics" && state.metrics_are == crate::state::MetricsAre::Open),
    }
}

/// Reads what the operation takes, as it takes it.
async fn take_body(state: &State, route: &Route, call: &mut Call) -> Result<(), UserError> {
    match route.takes {
        Takes::Json | Takes::MaybeJson => {
            let sent = call.take_stream().unwrap_or_default();
            let bytes = body::read(call.headers(), sent, state.clock.as_ref()).await?;
            if bytes.is_empty() && route.takes == Takes::Json {
                return Err(UserError::new(ErrorCode::Usage, "the request has no body")
                    .hint("see what the operation takes in `/docs`"));
            }
            call.json = Some(bytes);
        }
        Takes::Stream(_) => body::refuse_encodings(call.headers())?,
        Takes::Nothing | Takes::WebSocket => drop(call.take_stream()),
    }
    Ok(())
}

/// What a request says its key is. Whatever else it says is no key, and is refused in the words for a wrong one.
fn token(headers: &HeaderMap) -> &str {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return "";
    };
    match value.to_str().ok().and_then(|text| text.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    }
}

fn may(route: &Route, identity: &Identity) -> Result<(), UserError> {
    match route.access {
        Access::Grant(grant) if !identity.grants.contains(&grant) => Err(UserError::new(
            ErrorCode::Forbidden,
            format!("this key does not have the grant `{}`", grant.name()),
        )),
        _ => Ok(()),
    }
}

/// The name of a request: the caller's, where it is a plain word.
fn request_id(headers: &HeaderMap, state: &State) -> String {
    let plain = |text: &&str| {
        (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(plain)
        .map_or_else(|| format!("req-{}", state.ids.uuid().simple()), str::to_owned)
}

/// A problem, with the headers that belong to its kind.
fn refusal(error: &UserError, standing: Option<Standing>) -> Answer {
    let answer = Answer::problem(error);
    match error.code {
        ErrorCode::Unauthenticated => answer.header(WWW_AUTHENTICATE, "Bearer"),
        ErrorCode::RateLimited => {
            let wait = standing.map_or(Duration::ZERO, |standing| standing.wait);
            answer.header(RETRY_AFTER, &whole_seconds(wait.max(Duration::from_millis(1))))
        }
        ErrorCode::Draining | ErrorCode::Unavailable => answer.header(RETRY_AFTER, "2"),
        _ => answer,
    }
}

fn with_standing(answer: Answer, standing: Option<Standing>) -> Answer {
    match standing {
        None => answer,
        Some(standing) => answer
            .header(LIMIT, &standing.limit.to_string())
            .header(REMAINING, &standing.remaining.to_string())
            .header(RESET, &whole_seconds(standing.wait)),
    }
}

/// Rounded up: who waits so long is let in.
fn whole_seconds(wait: Duration) -> String {
    let full = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    full.max(u64::from(wait > Duration::ZERO)).to_string()
}

fn tell(state: &State, route: &Route, whose: &Whose, id: &str, status: u16, took: Duration, object: &Object) {
    let level = if status >= 500 { Level::Error } else { Level::Info };
    // What only looks, and went well, would drown the rest; and so would who asks too often, and strangers. They are counted.
    let is_stranger = status == 401 && whose.identity.is_none();
    if status == TOO_MANY || is_stranger || (!route.changes() && status < 400) {
        return;
    }
    let (status, took) = (status.to_string(), took.as_millis().to_string());
    let (key, object) = (
        whose.identity.as_ref().map_or("-", |identity| identity.key_id.as_str()),
        object.get().unwrap_or_else(|| "-".to_owned()),
    );
    let fields = [
        ("operation", route.id),
        ("status", status.as_str()),
        ("took_ms", took.as_str()),
        ("key", key),
        ("on", object.as_str()),
        ("request", id),
    ];
    state.log.line(level, "answered", &fields);
}

/// An answer to a request that no route is for.
pub(crate) fn no_route(state: &State, headers: &HeaderMap, allowed: Option<&str>) -> Response<Body> {
    let (error, status) = match allowed {
        None => (
            UserError::new(ErrorCode::NotFound, "there is no such path").hint("see what there is in `/docs`"),
            404,
        ),
        Some(_) => (
            UserError::new(ErrorCode::NotAllowed, "this path does not take this method"),
            405,
        ),
    };
    state.metrics.answered("none", status, Duration::ZERO);
    let mut answer = Answer::problem_as(status, &error).header(REQUEST_ID, &request_id(headers, state));
    if let Some(allowed) = allowed {
        answer = answer.header(ALLOW, allowed);
    }
    answer.into_response()
}

/// Headers that every answer carries: nothing of it is to be framed, guessed at or kept.
pub(crate) fn harden(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        ("referrer-policy", "no-referrer"),
    ] {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The methods of the routes of each path, for `Allow`.
pub(crate) fn allowed(routes: &[Arc<Route>]) -> BTreeMap<&'static str, String> {
    let mut methods: BTreeMap<&'static str, Vec<&str>> = BTreeMap::new();
    for route in routes {
        let of = methods.entry(route.path).or_default();
        if !of.contains(&route.method.as_str()) {
            of.push(route.method.as_str());
        }
    }
    methods.into_iter().map(|(path, of)| (path, of.join(", "))).collect()
}
