//! Who does the work: the engine in this process, or a server. Verbs see the same either way.
//!
//! | module | holds |
//! |---|---|
//! | `open` | which of the two, and how it is reached |
//! | `sandboxes` | looking at sandboxes, keeping and ending them |
//! | `files`, `here` | files of a workspace |
//! | `hosts` | machines, and what is left over on them |
//! | `sinks` | events, and who is told |
//! | `catalog` | profiles and extensions |
//! | `admin` | keys, projects, the audit log |
//! | `remote` | what is done in another way at a server: making sandboxes, commands inside |

mod admin;
mod catalog;
mod files;
mod here;
mod hosts;
mod open;
pub(crate) mod remote;
mod sandboxes;
mod sinks;

use sandboxer_client::Client;
use sandboxer_engine::Engine;
use sandboxer_model::error::{ErrorCode, UserError};

pub(crate) use catalog::Catalogue;
pub(crate) use files::{Shape, Source};

/// Who does the work.
#[derive(Clone)]
pub(crate) enum Service {
    /// The engine in this process.
    Embedded(&'static Engine),
    /// A server.
    Remote(Client),
}

/// What is done on the machine of the server only.
pub(crate) fn only_there(what: &str) -> UserError {
    UserError::new(ErrorCode::Unsupported, format!("{what} is not done through a server"))
        .hint("do it on the machine of the server, with SANDBOXER_API unset")
}
