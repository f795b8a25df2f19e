//! Reading: what exists, what it is like, what happened.
//!
//! | file | does |
//! |---|---|
//! | `look` | get, list, reachability, events |
//! | `seen` | what a caller may see: one sandbox, pages, operations, events as they happen |
//! | `wait` | wait for a state |
//! | `explain` | the seven questions |
//! | `scope` | the live sandbox a create returns instead of a new one |
//! | `exec` | run a command inside |
//! | `files` | files of the workspace, by processes inside |
//! | `used` | that a sandbox was used |
//! | `label` | set and remove labels |

mod exec;
mod explain;
pub mod files;
mod label;
mod look;
mod scope;
mod seen;
mod used;
mod wait;

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::State;
use sandboxer_model::sandbox::Sandbox;

/// The sandbox is in a state that does not allow it: says which, and why.
pub(crate) fn wrong_state(sandbox: &Sandbox, verb: &str) -> UserError {
    let (id, state) = (&sandbox.sandbox_id, sandbox.state);
    let why = match (&sandbox.error, sandbox.reason) {
        (Some(error), _) => format!(" ({})", error.message),
        (None, Some(reason)) => format!(" ({reason})"),
        (None, None) => String::new(),
    };
    let error = UserError::new(ErrorCode::WrongState, format!("cannot {verb} {id}: it is {state}{why}"));
    match state {
        State::Requested | State::Provisioning => {
            error.hint(format!("wait for it with `sandboxer wait {id} --for ready`"))
        }
        State::Destroying => error.hint(format!("see what is in the way with `sandboxer explain {id}`")),
        State::Expired | State::Failed | State::Destroyed => {
            error.hint(format!("make it again with `sandboxer recreate {id}`"))
        }
        State::Ready | State::Active => error,
    }
}
