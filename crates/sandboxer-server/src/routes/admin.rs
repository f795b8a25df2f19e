//! Reading about the server itself: the audit log and the reconcilers.

use axum::http::Method;
use sandboxer_api::audit::{AuditRow, AuditVerdict};
use sandboxer_api::identity::Grant;
use sandboxer_api::page::Page;
use sandboxer_api::status::Status;
use sandboxer_model::error::{ErrorCode, UserError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::sandboxes::page_limit;
use crate::answer::Answer;
use crate::call::Call;
use crate::route::{Access, NoBody, NoQuery, Route, on};

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    let read = Access::Grant(Grant::ServerRead);
    vec![
        on(Method::GET, "/v1/audit", "audit.list", read)
            .summary("Who did what, newest first.")
            .query::<AuditQuery>()
            .reads_much()
            .answers::<Page<AuditRow>>(200, "One page.")
            .by(list),
        on(Method::POST, "/v1/audit/verify", "audit.verify", read)
            .summary("Look whether every row of the audit log is there, unchanged.")
            .reads_much()
            .answers::<AuditVerdict>(200, "What was found.")
            .by(verify),
        on(Method::GET, "/v1/status", "server.status", read)
            .summary("How reconcilers and hosts stand.")
            .answers::<Status>(200, "The status.")
            .by(status),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// Items of a page, 1 to 200; 100 when left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u32>,
    /// Where to go on: `next_cursor` of the page before.
    cursor: Option<String>,
}

async fn list(call: Call, query: AuditQuery, _: NoBody) -> Result<Answer, UserError> {
    let limit = page_limit(query.limit)?;
    let before = query
        .cursor
        .map(|text| {
            text.parse::<u64>()
                .map_err(|_| UserError::new(ErrorCode::InvalidInput, "the parameter `cursor` is not one of ours"))
        })
        .transpose()?;
    // One more than is shown tells whether there is another page.
    let mut items = call.engine().audit(before, limit + 1).await?;
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next_cursor = items.last().filter(|_| has_more).map(|row| row.seq.to_string());
    Answer::json(200, &Page { items, next_cursor })
}

async fn verify(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().verify_audit().await?)
}

async fn status(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Answer::json(200, &call.engine().status().await?)
}
