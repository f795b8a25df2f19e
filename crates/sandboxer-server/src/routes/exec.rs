//! Commands inside: run to their end, or attached to a connection.

use std::sync::Arc;

use axum::extract::FromRequestParts as _;
use axum::extract::ws::WebSocketUpgrade;
use axum::http::Method;
use sandboxer_api::identity::Grant;
use sandboxer_api::request::{ExecRequest, ExecResult};
use sandboxer_api::stream::MESSAGE_LEN;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::answer::Answer;
use crate::call::Call;
use crate::idempotent;
use crate::route::{Access, NoBody, NoQuery, Route, Takes, on};
use crate::session::attached::{self, Surroundings};
use crate::session::unary;

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    let exec = Access::Grant(Grant::SandboxesExec);
    vec![
        on(Method::POST, "/v1/sandboxes/{id}/exec", "sandbox.exec", exec)
            .summary("Run a command inside to its end.")
            .notes(
                "Up to 1 MiB of each stream is answered; the rest is dropped and `truncated` says so. A command that is not \
                 done within `timeout` is ended, and so is one whose caller goes away.",
            )
            .body::<ExecRequest>()
            .answers::<ExecResult>(200, "How it ended and what it printed.")
            .by(run),
        on(Method::GET, "/v1/sandboxes/{id}/exec", "sandbox.attach", exec)
            .summary("Run a command inside over a WebSocket: its streams both ways, or a terminal.")
            .notes(
                "The first message is a text: `{\"argv\": [...], \"env\": {...}, \"cwd\": ..., \"terminal\": {\"rows\": 24, \
                 \"columns\": 80}}`. From then on binary messages carry bytes behind one byte that names the stream (0: input, \
                 1: output, 2: errors), and texts are `{\"type\": \"stdin_end\" | \"resize\" | \"signal\", ...}` to the command \
                 and `{\"type\": \"started\" | \"exit\" | \"error\", ...}` from it. A message has at most 64 KiB. When the client \
                 goes away, the command is ended.",
            )
            .takes(Takes::WebSocket)
            .answers_bytes(101, "", "The connection is a WebSocket from now on.")
            .by(attach),
    ]
}

async fn run(call: Call, _: NoQuery, request: ExecRequest) -> Result<Answer, UserError> {
    let seen = call.sandbox().await?;
    let clock = Arc::clone(&call.state.clock);
    let id = seen.sandbox.sandbox_id;
    // Whoever sends a key comes back for the answer.
    let comes_back = call.headers().contains_key(idempotent::KEY);
    let gone = call.gone();
    let gone = async move {
        match comes_back {
            true => std::future::pending().await,
            false => gone.await,
        }
    };
    Answer::json(
        200,
        &unary::run(call.engine(), clock, id.as_str(), request, gone).await?,
    )
}

async fn attach(mut call: Call, _: NoQuery, _: NoBody) -> Result<Answer, UserError> {
    let seen = call.sandbox().await?;
    let upgrade = WebSocketUpgrade::from_request_parts(&mut call.parts, &())
        .await
        .map_err(|rejection| {
            UserError::new(
                ErrorCode::Usage,
                format!("this is no WebSocket: {}", rejection.body_text()),
            )
            .hint("connect with a WebSocket client, or use `POST` for a command that is run to its end")
        })?;
    if call.state.stop.is_set() {
        return Err(
            UserError::new(ErrorCode::Draining, "the server is stopping and takes no more work")
                .hint("try again in a moment"),
        );
    }
    let turn = call.state.attached.enter()?;
    let state = Arc::clone(&call.state);
    let around = Surroundings {
        engine: call.engine(),
        clock: Arc::clone(&call.state.clock),
        stop: call.state.stop.clone(),
    };
    let id = seen.sandbox.sandbox_id.to_string();
    let response = upgrade
        // One that is a little too long is taken and refused; reading one that is longer is not even begun.
        .max_message_size(4 * MESSAGE_LEN)
        .max_frame_size(4 * MESSAGE_LEN)
        .write_buffer_size(0)
        // Among what the server waits for before it stops.
        .on_upgrade(async move |socket| drop(state.driver.keep(attached::serve(socket, around, id, turn)).await));
    Ok(Answer::ready(response))
}
