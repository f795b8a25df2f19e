//! The extension SDK: what a backend must do, the data that crosses that line, and the ports every effect goes through.
//!
//! | module | holds |
//! |---|---|
//! | [`contract`] | the [`Extension`] trait and what its calls take and give |
//! | [`capability`] | the flat list of what a backend can do: read by routing, API, docs and the conformance suite |
//! | [`manifest`] | `ext.<name>.yaml` |
//! | [`error`] | errors that carry their kind and whether trying again can help |
//! | [`exec`] | running a command inside |
//! | [`inventory`] | tri-state lists of what exists |
//! | [`port`] | clock, ids, host execution, outbound calls |
//! | [`mod@cut`] | places where a crash matters, reachable by tests |
//! | [`registry`] | the extensions of one process |

pub mod capability;
pub mod contract;
pub mod cut;
pub mod error;
pub mod exec;
pub mod inventory;
pub mod manifest;
pub mod port;
pub mod registry;

pub use capability::Capabilities;
pub use contract::{
    Call, Ended, Extension, Handle, HostProbe, Observation, ProvisionRequest, Ready, Removal, Target, Validation,
};
pub use error::{ErrorKind, ExtensionError, Retry};
pub use exec::{ExecExit, ExecRequest, ExecSession, ExecStdio, Follow, LogsRequest, Signaller, WindowSize};
pub use inventory::{Inventory, InventoryItem};
pub use manifest::Manifest;
pub use registry::Registry;

/// Implementors write `#[async_trait]` on their `impl Extension`.
pub use async_trait::async_trait;
