//! What can go wrong in the runtime, as it travels from the shim to its caller.

use serde::{Deserialize, Serialize};

/// What kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request makes no sense here.
    Invalid,
    /// A limit or wall that was asked for cannot be put up on this machine.
    CannotEnforce,
    /// The machine lacks something.
    MissingPrerequisite,
    /// There is no such sandbox, or it has ended.
    NotFound,
    /// A newer epoch was seen.
    Fenced,
    /// Another process works on the same sandbox.
    Busy,
    /// A deadline passed.
    Timeout,
    /// The kernel refused something it should not have.
    Failed,
}

/// A failure of the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct NativeError {
    /// What kind.
    pub kind: Kind,
    /// What was tried, on what, and why it failed.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl NativeError {
    /// A failure of this kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> NativeError {
        NativeError {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// The same failure with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> NativeError {
        self.hint = Some(hint.into());
        self
    }

    /// A kernel or file-system call failed.
    pub(crate) fn io(tried: &str, error: impl Into<std::io::Error>) -> NativeError {
        NativeError::new(Kind::Failed, format!("cannot {tried}: {}", error.into()))
    }
}

/// Says what was tried when a call fails.
pub(crate) trait Tried<T> {
    /// Says what was tried.
    fn tried(self, what: &str) -> Result<T, NativeError>;
}

impl<T, E: Into<std::io::Error>> Tried<T> for Result<T, E> {
    fn tried(self, what: &str) -> Result<T, NativeError> {
        self.map_err(|error| NativeError::io(what, error))
    }
}
