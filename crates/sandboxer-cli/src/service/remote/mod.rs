//! What is done in another way at a server: making sandboxes, and commands inside with their input and output here.
//!
//! | module | holds |
//! |---|---|
//! | `inputs` | directories of this machine, sent along |
//! | `create` | making a sandbox, and undoing that |
//! | `command` | a command inside: bytes both ways, signals, its end |
//! | `feed` | standard input, output and errors, each with a thread |

pub(crate) mod command;
pub(crate) mod create;
mod feed;
pub(crate) mod inputs;

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;

/// Somebody left while a server was at work, and the server goes on.
pub(crate) fn left_to_server(id: &SandboxId) -> UserError {
    UserError::new(
        ErrorCode::Interrupted,
        format!("interrupted; the server goes on with {id}"),
    )
    .hint(format!("see `sandboxer get {id}` for what becomes of it"))
}
