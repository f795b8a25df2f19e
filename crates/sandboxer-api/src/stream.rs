//! A command inside, over a WebSocket.
//!
//! The client's first message is a text [`Start`]. From then on binary messages carry bytes behind one byte that names the stream,
//! and text messages are a [`ToCommand`] or a [`FromCommand`]. The server closes after [`FromCommand::Exit`] or
//! [`FromCommand::Error`]. When the client goes away, the command is killed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// First byte of a binary message to the command: what it reads.
pub const STDIN: u8 = 0;
/// First byte of a binary message from the command: what it prints, or all of its terminal.
pub const STDOUT: u8 = 1;
/// First byte of a binary message from the command: its errors.
pub const STDERR: u8 = 2;
/// Bytes of a message at most, in both directions.
pub const MESSAGE_LEN: usize = 64 * 1024;

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Program and arguments; at least one.
    pub argv: Vec<String>,
    /// Variables on top of the sandbox's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Where to start; left out: in the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// In which service, where a sandbox has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// A terminal of this size; left out: three streams without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<Size>,
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// What a client says while the command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToCommand {
    /// Nothing more is to be read.
    StdinEnd,
    /// The terminal has another size.
    Resize {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// Send it a signal.
    Signal {
        /// Its number on Linux, such as 15.
        signal: u8,
    },
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromCommand {
    /// It runs.
    Started {
        /// Its process id inside.
        pid: u32,
    },
    /// It ended; everything it printed was sent before.
    Exit {
        /// What a shell would report.
        exit_code: u8,
    },
    /// It could not be started, or its end cannot be told.
    Error {
        /// Why.
        problem: Problem,
    },
}
