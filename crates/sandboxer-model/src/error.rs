//! The errors users see: one closed list of codes, each with its exit code, and one shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Machine-readable kind of an error. `docs/reference/errors.md` documents each once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// A bug of ours.
    Internal,
    /// The command line or request makes no sense.
    Usage,
    /// A profile, manifest or configuration file is wrong.
    InvalidProfile,
    /// An input, label or option has a wrong value.
    InvalidInput,
    /// A time to live is wrong or over the profile's maximum.
    InvalidTtl,
    /// No sandbox, profile, extension or host of this name.
    NotFound,
    /// A prefix fits several ids.
    Ambiguous,
    /// The sandbox is in a state that does not allow it.
    WrongState,
    /// An idempotency key was used for another request.
    KeyConflict,
    /// Somebody else is working on it.
    Busy,
    /// A newer owner took over; this process may not write any more.
    Fenced,
    /// What was asked for cannot be enforced here.
    CannotEnforce,
    /// The extension does not have this capability.
    Unsupported,
    /// Every candidate was ruled out, or no extension fits.
    NoRoute,
    /// The machine lacks something the backend needs.
    MissingPrerequisite,
    /// The backend failed in a way that may pass.
    Unavailable,
    /// The backend failed for good.
    BackendFailed,
    /// A deadline passed.
    Timeout,
    /// A teardown could not prove absence.
    Stuck,
    /// The state directory or database cannot be used.
    StoreUnavailable,
    /// The database is damaged.
    StoreCorrupt,
    /// The database was written by a newer release, or is not ours.
    StoreForeign,
    /// The user interrupted it; what it had done was undone.
    Interrupted,
    /// There is no API key with the request, or none that is valid.
    Unauthenticated,
    /// The API key does not allow it.
    Forbidden,
    /// Too many requests in a short time.
    RateLimited,
    /// The project has as much as it may have.
    QuotaExceeded,
    /// It was changed since it was read (`If-Match`).
    PreconditionFailed,
    /// The request is larger than it may be.
    TooLarge,
    /// The method, media type or encoding of a request is not one that is taken there.
    NotAllowed,
    /// The server died while it did this before, and whether it was done cannot be told.
    InDoubt,
    /// It was done before, and what it showed is shown only once.
    AlreadyDone,
    /// The server is stopping and takes no more work.
    Draining,
}

/// Every code, in documentation order.
pub const ERROR_CODES: &[ErrorCode] = &[
    ErrorCode::Internal,
    ErrorCode::Usage,
    ErrorCode::InvalidProfile,
    ErrorCode::InvalidInput,
    ErrorCode::InvalidTtl,
    ErrorCode::NotFound,
    ErrorCode::Ambiguous,
    ErrorCode::WrongState,
    ErrorCode::KeyConflict,
    ErrorCode::Busy,
    ErrorCode::Fenced,
    ErrorCode::CannotEnforce,
    ErrorCode::Unsupported,
    ErrorCode::NoRoute,
    ErrorCode::MissingPrerequisite,
    ErrorCode::Unavailable,
    ErrorCode::BackendFailed,
    ErrorCode::Timeout,
    ErrorCode::Stuck,
    ErrorCode::StoreUnavailable,
    ErrorCode::StoreCorrupt,
    ErrorCode::StoreForeign,
    ErrorCode::Interrupted,
    ErrorCode::Unauthenticated,
    ErrorCode::Forbidden,
    ErrorCode::RateLimited,
    ErrorCode::QuotaExceeded,
    ErrorCode::PreconditionFailed,
    ErrorCode::TooLarge,
    ErrorCode::NotAllowed,
    ErrorCode::InDoubt,
    ErrorCode::AlreadyDone,
    ErrorCode::Draining,
];

impl ErrorCode {
    /// The name used in JSON and documentation.
    pub fn name(self) -> &'static str {
        match self {
            ErrorCode::Internal => "internal",
            ErrorCode::Usage => "usage",
            ErrorCode::InvalidProfile => "invalid_profile",
            ErrorCode::InvalidInput => "invalid_input",
            ErrorCode::InvalidTtl => "invalid_ttl",
            ErrorCode::NotFound => "not_found",
            ErrorCode::Ambiguous => "ambiguous",
            ErrorCode::WrongState => "wrong_state",
            ErrorCode::KeyConflict => "key_conflict",
            ErrorCode::Busy => "busy",
            ErrorCode::Fenced => "fenced",
            ErrorCode::CannotEnforce => "cannot_enforce",
            ErrorCode::Unsupported => "unsupported",
            ErrorCode::NoRoute => "no_route",
            ErrorCode::MissingPrerequisite => "missing_prerequisite",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::BackendFailed => "backend_failed",
            ErrorCode::Timeout => "timeout",
            ErrorCode::Stuck => "stuck",
            ErrorCode::StoreUnavailable => "store_unavailable",
            ErrorCode::StoreCorrupt => "store_corrupt",
            ErrorCode::StoreForeign => "store_foreign",
            ErrorCode::Interrupted => "interrupted",
            ErrorCode::Unauthenticated => "unauthenticated",
            ErrorCode::Forbidden => "forbidden",
            ErrorCode::RateLimited => "rate_limited",
            ErrorCode::QuotaExceeded => "quota_exceeded",
            ErrorCode::PreconditionFailed => "precondition_failed",
            ErrorCode::TooLarge => "too_large",
            ErrorCode::NotAllowed => "not_allowed",
            ErrorCode::InDoubt => "in_doubt",
            ErrorCode::AlreadyDone => "already_done",
            ErrorCode::Draining => "draining",
        }
    }

    /// The process exit code: one per family. `run` and `exec` use 125 for all of these, since the command inside
    /// owns the rest of the range.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorCode::Internal => 1,
            ErrorCode::Usage => 2,
            ErrorCode::InvalidProfile | ErrorCode::InvalidInput | ErrorCode::InvalidTtl | ErrorCode::KeyConflict => 3,
            ErrorCode::NotFound | ErrorCode::Ambiguous => 4,
            ErrorCode::WrongState | ErrorCode::Busy | ErrorCode::Fenced => 5,
            ErrorCode::CannotEnforce | ErrorCode::Unsupported | ErrorCode::NoRoute | ErrorCode::MissingPrerequisite => {
                6
            }
            ErrorCode::Unavailable | ErrorCode::BackendFailed => 7,
            ErrorCode::StoreUnavailable | ErrorCode::StoreCorrupt | ErrorCode::StoreForeign => 8,
            ErrorCode::Timeout => 9,
            ErrorCode::Stuck => 10,
            ErrorCode::Interrupted => 130,
            ErrorCode::Unauthenticated | ErrorCode::Forbidden => 11,
            ErrorCode::RateLimited | ErrorCode::QuotaExceeded => 12,
            ErrorCode::PreconditionFailed | ErrorCode::InDoubt | ErrorCode::AlreadyDone => 5,
            ErrorCode::TooLarge | ErrorCode::NotAllowed => 3,
            ErrorCode::Draining => 7,
        }
    }

    /// The status of an answer over HTTP that carries it.
    pub fn http_status(self) -> u16 {
        match self {
            ErrorCode::Internal => 500,
            ErrorCode::Usage => 400,
            ErrorCode::InvalidProfile | ErrorCode::InvalidInput | ErrorCode::InvalidTtl | ErrorCode::KeyConflict => 422,
            ErrorCode::NotFound => 404,
            ErrorCode::Ambiguous | ErrorCode::WrongState | ErrorCode::Busy | ErrorCode::Fenced => 409,
            ErrorCode::CannotEnforce | ErrorCode::Unsupported | ErrorCode::NoRoute | ErrorCode::MissingPrerequisite => {
                422
            }
            ErrorCode::Unavailable | ErrorCode::StoreUnavailable | ErrorCode::Draining => 503,
            ErrorCode::BackendFailed => 502,
            ErrorCode::Timeout => 504,
            ErrorCode::Stuck | ErrorCode::Interrupted | ErrorCode::InDoubt | ErrorCode::AlreadyDone => 409,
            ErrorCode::StoreCorrupt | ErrorCode::StoreForeign => 500,
            ErrorCode::Unauthenticated => 401,
            ErrorCode::Forbidden => 403,
            ErrorCode::RateLimited | ErrorCode::QuotaExceeded => 429,
            ErrorCode::PreconditionFailed => 412,
            ErrorCode::TooLarge => 413,
            ErrorCode::NotAllowed => 415,
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// An error as a user sees it: what was tried, on what, why it failed, what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct UserError {
    /// Machine-readable kind.
    pub code: ErrorCode,
    /// What was tried, on what, and why it failed; a lower-case fragment.
    pub message: String,
    /// What to do next, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl UserError {
    /// An error without a hint.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> UserError {
        UserError {
            code,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// The same error with one more line of what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> UserError {
        self.hints.push(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_names_and_documented_names_agree() {
        for code in ERROR_CODES {
            assert_eq!(serde_json::to_value(code).ok(), Some(serde_json::json!(code.name())));
        }
    }
}
