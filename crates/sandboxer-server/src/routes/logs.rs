//! What the services of a sandbox print.

use std::sync::Arc;

use axum::http::Method;
use sandboxer_api::identity::Grant;
use sandboxer_extension::{Follow, LogsRequest};
use sandboxer_model::error::{ErrorCode, UserError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::Call;
use crate::files::outgoing;
use crate::route::{Access, NoBody, Route, on};
use crate::session::leash::Leash;
use crate::session::streams::source;
use crate::session::unary::no_pipes;

/// Lines of each service when nothing is said.
const USUAL: u32 = 100;
/// Lines of each service at most.
const MOST: u32 = 100_000;
/// Bytes at most.
const MOST_BYTES: u64 = 256 << 20;

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        on(
            Method::GET,
            "/v1/sandboxes/{id}/logs",
            "sandbox.logs",
            Access::Grant(Grant::SandboxesExec),
        )
        .summary("What its services printed last.")
        .query::<LogsQuery>()
        .answers_bytes(200, "text/plain; charset=utf-8", "The lines.")
        .by(logs),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogsQuery {
    /// The last lines of each service, at most 100000; 100 when left out.
    #[schemars(range(max = 100_000))]
    tail: Option<u32>,
    /// Of which service; all when left out.
    service: Option<String>,
}

async fn logs(call: Call, query: LogsQuery, _: NoBody) -> Result<Answer, UserError> {
    let id = call.sandbox().await?.sandbox.sandbox_id;
    let tail = query.tail.unwrap_or(USUAL);
    if tail > MOST {
        return Err(UserError::new(
            ErrorCode::InvalidInput,
            format!("`tail` is more than {MOST}"),
        ));
    }
    let (source, far) = source().map_err(no_pipes)?;
    // What is wrong belongs to the same text.
    let errors = far.try_clone().map_err(no_pipes)?;
    let request = LogsRequest {
        service: query.service,
        tail,
        follow: Follow::No,
        output: [far, errors],
    };
    let clock = Arc::clone(&call.state.clock);
    let mut leash = Leash::new(call.engine().logs(id.as_str(), request).await?, Arc::clone(&clock));
    let end = async move {
        match leash.wait().await?.shell_code() {
            0 => Ok(()),
            code => Err(UserError::new(
                ErrorCode::BackendFailed,
                format!("what shows the logs ended with {code}"),
            )),
        }
    };
    let body = outgoing::body(source, Box::pin(end), MOST_BYTES, clock).await?;
    Ok(Answer::stream(200, "text/plain; charset=utf-8", body))
}
