//! Errors of a backend: what kind, and whether trying again can help.

use serde::{Deserialize, Serialize};

/// What went wrong, in words routing and retries understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Profile or inputs are wrong for this extension.
    Invalid,
    /// A limit or rule that was asked for cannot be enforced here.
    CannotEnforce,
    /// The extension does not have this capability.
    Unsupported,
    /// The machine or account lacks something.
    MissingPrerequisite,
    /// No room.
    Capacity,
    /// The backend cannot be reached or answered with a passing failure.
    Unavailable,
    /// The call's deadline passed; whether it had an effect is unknown.
    Timeout,
    /// There is no such sandbox.
    NotFound,
    /// A newer epoch was seen.
    Fenced,
    /// What came up is not what was asked for.
    Policy,
    /// The backend failed for good.
    Failed,
}

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The same call may succeed later.
    Temporary,
    /// Another candidate may have room.
    Capacity,
    /// The same call will fail again.
    Permanent,
}

/// An error of a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ExtensionError {
    /// What kind.
    pub kind: ErrorKind,
    /// Whether trying again can help.
    pub retry: Retry,
    /// What was tried, on what, and why it failed; a lower-case fragment without secrets.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Whether it is certain that the backend was asked for nothing, so that there is nothing to undo. Where it is `false`,
    /// anything may have been done.
    #[serde(default)]
    pub untouched: bool,
}

impl ExtensionError {
    /// An error of this kind, with the retry class that kind usually has.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ExtensionError {
        let retry = match kind {
            ErrorKind::Unavailable | ErrorKind::Timeout => Retry::Temporary,
            ErrorKind::Capacity => Retry::Capacity,
            _ => Retry::Permanent,
        };
        ExtensionError {
            kind,
            retry,
            message: message.into(),
            hint: None,
            untouched: false,
        }
    }

    /// The same error of a call that certainly asked the backend for nothing.
    #[must_use]
    pub fn untouched(mut self) -> ExtensionError {
        self.untouched = true;
        self
    }

    /// The same error with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> ExtensionError {
        self.hint = Some(hint.into());
        self
    }

    /// `extension` does not have `capability`.
    pub fn unsupported(extension: &str, capability: &str) -> ExtensionError {
        ExtensionError::new(
            ErrorKind::Unsupported,
            format!("{extension} does not have the capability `{capability}`"),
        )
    }
}
