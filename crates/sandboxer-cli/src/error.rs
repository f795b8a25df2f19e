//! How an error reaches people and programs: `error:` and `hint:` lines, one JSON object on request, an exit code.

use std::io::Write as _;

use sandboxer_model::error::{ErrorCode, UserError};

use crate::output::color::Paint;
use crate::output::shown;

/// Exit code of `run` and `exec` for errors of sandboxer itself: the command inside owns the rest of the range.
pub(crate) const OWN_ERROR: u8 = 125;

/// Which exit codes a verb uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitCodes {
    /// One per family of errors.
    ByKind,
    /// The command's own, and 125 for ours.
    OfCommand,
}

impl ExitCodes {
    /// The exit code of this error.
    pub(crate) fn of(self, code: ErrorCode) -> u8 {
        match (self, code) {
            (_, ErrorCode::Interrupted) | (ExitCodes::ByKind, _) => code.exit_code(),
            (ExitCodes::OfCommand, _) => OWN_ERROR,
        }
    }
}

/// Prints an error on standard error; with `json` also as one JSON object on the last line.
pub(crate) fn print(error: &UserError, paint: Paint, json: bool) {
    let mut text = format!("{} {}\n", paint.error("error:"), shown::message(&error.message));
    for hint in &error.hints {
        text.push_str(&format!("{} {}\n", paint.hint("hint:"), shown::message(hint)));
    }
    if json && let Ok(object) = serde_json::to_string(error) {
        text.push_str(&object);
        text.push('\n');
    }
    // One write, so that lines of several processes do not mix.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// An error of the command line.
pub(crate) fn usage(message: impl Into<String>) -> UserError {
    UserError::new(ErrorCode::Usage, message)
}
