//! Making a sandbox at a server, and undoing that.

use sandboxer_api::request::CreateSandbox;
use sandboxer_client::Client;
use sandboxer_engine::Cancel;
use sandboxer_engine::api::Created;
use sandboxer_model::error::{ErrorCode, UserError};

/// What a request to make a sandbox is called.
pub(crate) enum Key {
    /// By its caller, who can ask again; others may have asked before.
    Given(String),
    /// By us, this once.
    Fresh(String),
}

impl Key {
    /// As it is sent.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Key::Given(key) | Key::Fresh(key) => key,
        }
    }
}

/// Makes a sandbox and waits until it is ready. When somebody does not want it any more meanwhile, or its making cannot be
/// followed, it is removed: it has a key, by which it is found whatever was heard of it. One that its caller gave a key is
/// left to the server, since it may have been there before.
///
/// # Errors
/// Those of the server; `Interrupted` once it is gone.
pub(crate) async fn create(
    client: &Client,
    request: &CreateSandbox,
    key: &Key,
    cancel: &Cancel,
) -> Result<Created, UserError> {
    let outcome = tokio::select! {
        made = client.create(request, key.as_str()) => made,
        () = cancel.cancelled() => {
            return match key {
                Key::Fresh(key) => undo(client, request, key).await.and(Err(interrupted())),
                Key::Given(_) => Err(left_to_key()),
            };
        }
    };
    if let (Err(error), Key::Fresh(key)) = (&outcome, key)
        && matches!(error.code, ErrorCode::Unavailable | ErrorCode::Timeout)
    {
        // Whatever can be done: if the server is away, the time to live of the sandbox ends it.
        let _ = undo(client, request, key).await;
    }
    outcome
}

/// What an interrupted command says once everything is undone.
pub(crate) fn interrupted() -> UserError {
    UserError::new(ErrorCode::Interrupted, "interrupted; what was begun is undone")
}

fn left_to_key() -> UserError {
    UserError::new(
        ErrorCode::Interrupted,
        "interrupted; the server goes on with what has this key",
    )
    .hint("ask again with the same key for what became of it")
}

/// Removes what this key stands for.
async fn undo(client: &Client, request: &CreateSandbox, key: &str) -> Result<(), UserError> {
    let made = client.accept(request, key).await?;
    let id = &made.sandbox.sandbox_id;
    if made.sandbox.state.is_gone() {
        return Ok(());
    }
    let receipt = client.destroy(id).await?;
    if receipt.state.is_gone() {
        return Ok(());
    }
    let what = format!("interrupted, and {id} is still {}", receipt.state);
    Err(UserError::new(ErrorCode::Stuck, what).hint(format!("see `sandboxer explain {id}`, and destroy it again")))
}
