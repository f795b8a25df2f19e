//! What supervisors, scrapers and readers of the documentation ask for.

use axum::http::Method;
use axum::http::header::CONTENT_SECURITY_POLICY;
use sandboxer_api::identity::Grant;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::answer::Answer;
use crate::call::Call;
use crate::docs;
use crate::route::{Access, NoBody, NoQuery, Route, on};

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        on(Method::GET, "/healthz", "server.health", Access::Public)
            .summary("Whether the server answers.")
            .answers_bytes(200, "text/plain", "`ok`")
            .by(health),
        on(Method::GET, "/readyz", "server.readiness", Access::Public)
            .summary("Whether the server takes work: it is not stopping, and its database answers.")
            .answers_bytes(200, "text/plain", "`ok`")
            .by(readiness),
        on(
            Method::GET,
            "/metrics",
            "server.metrics",
            Access::Grant(Grant::ServerRead),
        )
        .summary("Counters and gauges, as Prometheus reads them.")
        .answers_bytes(200, "text/plain; version=0.0.4", "The metrics.")
        .by(metrics),
        on(Method::GET, "/openapi.json", "server.document", Access::Public)
            .summary("This document.")
            .answers_bytes(200, "application/json", "The document.")
            .by(document),
        on(Method::GET, "/docs", "server.docs", Access::Public)
            .summary("This document, for people.")
            .answers_bytes(200, "text/html; charset=utf-8", "The page.")
            .by(page),
        on(Method::GET, "/docs/errors", "server.errors", Access::Public)
            .summary("Every error code.")
            .answers_bytes(200, "text/html; charset=utf-8", "The page.")
            .by(errors),
    ]
}

async fn health(_: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Ok(Answer::bytes(200, "text/plain", b"ok\n".to_vec()))
}

async fn readiness(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    if call.state.stop.is_set() {
        return Err(UserError::new(ErrorCode::Draining, "the server is stopping"));
    }
    call.engine().data_version().await?;
    Ok(Answer::bytes(200, "text/plain", b"ok\n".to_vec()))
}

async fn metrics(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let sandboxes = call.engine().status().await?.sandboxes;
    let text = call.state.metrics.text(&sandboxes);
    Ok(Answer::bytes(200, "text/plain; version=0.0.4", text.into_bytes()))
}

async fn document(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Ok(Answer::bytes(
        200,
        "application/json",
        call.state.document.as_bytes().to_vec(),
    ))
}

const PAGE: &str = "text/html; charset=utf-8";

async fn page(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Ok(Answer::bytes(200, PAGE, call.state.docs.as_bytes().to_vec()).header(CONTENT_SECURITY_POLICY, POLICY))
}

async fn errors(_: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    Ok(Answer::bytes(200, PAGE, docs::errors().into_bytes()).header(CONTENT_SECURITY_POLICY, POLICY))
}

/// The pages load nothing; their style is within them.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
