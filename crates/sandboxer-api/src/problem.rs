//! Errors as HTTP says them: `application/problem+json` (RFC 9457).

use sandboxer_model::error::{ErrorCode, UserError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Where the code is documented, relative to the server.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What was tried, on what, and why it failed.
    pub detail: String,
    /// Machine-readable kind.
    pub code: ErrorCode,
    /// What to do next, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl From<&UserError> for Problem {
    fn from(error: &UserError) -> Problem {
        Problem {
            kind: format!("/docs/errors#{}", error.code),
            title: error.code.name().replace('_', " "),
            status: error.code.http_status(),
            detail: error.message.clone(),
            code: error.code,
            hints: error.hints.clone(),
        }
    }
}

impl From<Problem> for UserError {
    fn from(problem: Problem) -> UserError {
        UserError {
            code: problem.code,
            message: problem.detail,
            hints: problem.hints,
        }
    }
}
