//! Data for programs.

use std::io::Write as _;

use sandboxer_model::error::{ErrorCode, UserError};
use serde::Serialize;

use super::shown;

/// Prints one value as JSON.
///
/// # Errors
/// Standard output cannot be written. A reader that went away is no error: there is nobody to tell.
pub(crate) fn print<T: Serialize + ?Sized>(value: &T) -> Result<(), UserError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| UserError::new(ErrorCode::Internal, format!("cannot print the answer as JSON: {error}")))?;
    text.push('\n');
    write(&text)
}

/// Prints text for people on standard output.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_text(text: &str) -> Result<(), UserError> {
    write(&shown::painted(text))
}

fn write(text: &str) -> Result<(), UserError> {
    print_bytes(text.as_bytes())
}

/// Passes on what somebody else printed, as it is.
///
/// # Errors
/// As [`print()`].
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), UserError> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(UserError::new(
            ErrorCode::Internal,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
