//! Durable operations.

use axum::http::Method;
use sandboxer_api::identity::Grant;
use sandboxer_api::request::Operation;
use sandboxer_model::error::UserError;
use sandboxer_model::id::OperationId;

use crate::answer::Answer;
use crate::call::{Call, hidden};
use crate::route::{Access, NoBody, NoQuery, Route, on};

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        on(
            Method::GET,
            "/v1/operations/{id}",
            "operation.get",
            Access::Grant(Grant::SandboxesRead),
        )
        .summary("How far an operation got.")
        .answers::<Operation>(200, "The operation.")
        .by(get),
    ]
}

async fn get(call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let id: OperationId = call.id()?;
    let operation = call.engine().operation(&id).await.map_err(hidden)?;
    // An operation is seen by who sees its sandbox.
    call.engine()
        .find(&operation.sandbox_id, &call.viewer())
        .await
        .map_err(hidden)?;
    Answer::json(200, &operation)
}
