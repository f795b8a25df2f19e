//! Making a sandbox at a server, and undoing that.

use sandboxer_api::request::CreateSandbox;
use sandboxer_client::Client;
use sandboxer_engine::Cancel;
use sandboxer_engine::api::Created;
use sandboxer_model::error::{ErrorCode, UserError};

/// Makes a sandbox and waits until it is ready. When somebody does not want it any more meanwhile, or its making cannot be
/// followed, it is removed: it has a key, by which it is found whatever was heard of it.
///
/// # Errors
/// Those of the server; `Interrupted` once it is gone.
pub(crate) async fn create(
    client: &Client,
    request: &CreateSandbox,
    key: &str,
    cancel: &Cancel,
) -> Result<Created, UserError> {
    let outcome = tokio::select! {
        made = client.create(request, key) => made,
        () = cancel.cancelled() => {
            undo(client, request, key).await?;
            return Err(interrupted());
        }
    };
    if let Err(error) = &outcome
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

/// Removes what this key stands for, unless it was there before.
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
