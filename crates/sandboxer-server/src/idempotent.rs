//! `Idempotency-Key` on operations that are not idempotent by themselves: the first answer is kept and given again. Creating a
//! sandbox is not among them: the engine knows its key, and a retry finds the sandbox.

use std::time::Duration;

use axum::http::header::HeaderName;
use sandboxer_api::identity::Identity;
use sandboxer_engine::api::{Begun, RequestKey};
use sandboxer_model::error::{ErrorCode, UserError};
use serde_json::json;

use crate::answer::Answer;
use crate::call::Call;
use crate::route::{Keyed, Route};
use crate::state::State;

/// The key of a request.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Told with an answer that is given again.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// How long the first request of a key is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at it: the first, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// Characters of a key at most.
const MOST: usize = 255;

/// Whether a request is to be carried out.
pub(crate) enum Turn {
    /// It is, and nothing is kept of it.
    Free,
    /// It is, and its answer is kept.
    Begun(Kept),
    /// It was: this came of it.
    Answered(Answer),
}

/// A request whose answer is to be kept, or only that there was one.
pub(crate) struct Kept {
    request: RequestKey,
    keyed: Keyed,
}

/// The answer, as one that is given again.
pub(crate) fn replayed(answer: Answer) -> Answer {
    answer.header(REPLAYED, "true")
}

/// What the caller calls this request; `None`: nothing.
///
/// # Errors
/// `InvalidInput` when it is no key.
pub(crate) fn key_of(call: &Call) -> Result<Option<&str>, UserError> {
    let mut values = call.headers().get_all(KEY).iter();
    let Some(first) = values.next() else { return Ok(None) };
    let text = first.to_str().ok().filter(|_| values.next().is_none());
    text.filter(|text| (1..=MOST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()))
        .map(Some)
        .ok_or_else(|| {
            UserError::new(
                ErrorCode::InvalidInput,
                format!("`Idempotency-Key` is not 1 to {MOST} visible ASCII characters without spaces"),
            )
            .hint("a random UUID is a good one")
        })
}

/// The key of a request as it is stored: subjects do not see each other's. `None` without one.
///
/// # Errors
/// `InvalidInput` when it is no key.
pub(crate) fn request_of(route: &Route, call: &Call, who: &Identity) -> Result<Option<RequestKey>, UserError> {
    let Some(key) = key_of(call)? else { return Ok(None) };
    let asked = json!([
        route.id,
        call.path,
        call.parts.uri.query(),
        digest(call.json.as_deref().unwrap_or_default())
    ]);
    Ok(Some(RequestKey {
        key: json!([who.project, who.name, key]).to_string(),
        digest: digest(asked.to_string().as_bytes()),
    }))
}

/// Looks whether the request was made before; waits while it is being carried out, as one of the waits of its key.
///
/// # Errors
/// `KeyConflict`, `AlreadyDone`, `Busy`, `InDoubt`, `RateLimited`, and those of the store.
pub(crate) async fn begin(
    state: &State,
    who: &Identity,
    request: Option<RequestKey>,
    keyed: Keyed,
) -> Result<Turn, UserError> {
    let Some(request) = request else {
        return Ok(Turn::Free);
    };
    let from = state.clock.monotonic();
    let [mut pause, longest] = PAUSES;
    let mut wait = None;
    loop {
        match state.engine.begin_request(&request).await? {
            Begun::New => return Ok(Turn::Begun(Kept { request, keyed })),
            Begun::Answered { .. } if keyed == Keyed::Once => {
                return Err(UserError::new(
                    ErrorCode::AlreadyDone,
                    "this request was carried out, and what it showed is shown only once",
                )
                .hint("if its answer was lost, look for what it made, remove it, and use another key"));
            }
            Begun::Answered { status, body } => {
                let media = if status < 400 {
                    "application/json"
                } else {
                    sandboxer_api::problem::MEDIA_TYPE
                };
                let answer = match body.is_empty() {
                    true => Answer::empty(status),
                    false => Answer::bytes(status, media, body.into_bytes()),
                };
                return Ok(Turn::Answered(replayed(answer)));
            }
            Begun::Conflict => {
                return Err(UserError::new(
                    ErrorCode::KeyConflict,
                    "this idempotency key was used for another request",
                )
                .hint("use another key for another request"));
            }
            Begun::InDoubt => {
                return Err(UserError::new(
                    ErrorCode::InDoubt,
                    "the server died while it carried this request out, and whether it was done cannot be told",
                )
                .hint("look what became of it; to do it again, use another key"));
            }
            Begun::InFlight => {
                if state.clock.monotonic().saturating_sub(from) > PATIENCE {
                    return Err(
                        UserError::new(ErrorCode::Busy, "the first request with this key is still under way")
                            .hint("ask again with the same key"),
                    );
                }
                if wait.is_none() {
                    wait = Some(state.waits.take(&who.key_id).await?);
                }
                state.clock.sleep(pause).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}

impl Kept {
    /// Keeps what came of the request. What was refused before anything was done, or may pass, is not kept: the same key may
    /// try again.
    ///
    /// # Errors
    /// The outcome's own.
    pub(crate) async fn end(self, state: &State, outcome: Result<Answer, UserError>) -> Result<Answer, UserError> {
        let kept = match &outcome {
            Ok(answer) if answer.status() < 400 => answer.whole().and_then(|bytes| std::str::from_utf8(bytes).ok()),
            _ => None,
        };
        let stored = match (kept, &outcome) {
            (Some(body), Ok(answer)) => {
                let body = if self.keyed == Keyed::Once { "" } else { body };
                state.engine.end_request(&self.request.key, answer.status(), body).await
            }
            _ => state.engine.drop_request(&self.request.key).await,
        };
        match (stored, outcome) {
            (Ok(()), outcome) => outcome,
            // The work was done, and its caller hears of it; only a retry would be told that it is in doubt.
            (Err(error), Ok(answer)) => {
                let why = [("why", error.message.as_str())];
                state.log.line(crate::log::Level::Error, "an answer was not kept", &why);
                Ok(answer)
            }
            (Err(_), Err(error)) => Err(error),
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}
