//! Errors of backends, as users and records see them: the one place that maps them.

use sandboxer_extension::{ErrorKind, ExtensionError};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::sandbox::Failure;

/// The code of a backend's error.
pub(crate) fn code(kind: ErrorKind) -> ErrorCode {
    match kind {
        ErrorKind::Invalid => ErrorCode::InvalidInput,
        ErrorKind::CannotEnforce => ErrorCode::CannotEnforce,
        ErrorKind::Unsupported => ErrorCode::Unsupported,
        ErrorKind::MissingPrerequisite => ErrorCode::MissingPrerequisite,
        ErrorKind::Capacity | ErrorKind::Unavailable => ErrorCode::Unavailable,
        ErrorKind::Timeout => ErrorCode::Timeout,
        ErrorKind::NotFound => ErrorCode::NotFound,
        ErrorKind::Fenced => ErrorCode::Fenced,
        ErrorKind::Policy | ErrorKind::Failed => ErrorCode::BackendFailed,
    }
}

/// A backend's error as users see it.
pub fn user_error(error: &ExtensionError) -> UserError {
    let out = UserError::new(code(error.kind), error.message.clone());
    match (&error.hint, error.kind) {
        (Some(hint), _) => out.hint(hint.clone()),
        (None, ErrorKind::MissingPrerequisite) => out.hint("see what this machine lacks with `sandboxer doctor`"),
        (None, ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::Capacity) => out.hint("try again"),
        (None, _) => out,
    }
}

/// A backend's error as a record keeps it.
pub(crate) fn failure(step: &str, error: &ExtensionError) -> Failure {
    let shown = user_error(error);
    Failure {
        code: shown.code,
        step: Some(step.to_owned()),
        message: shown.message,
        hint: shown.hints.into_iter().next(),
    }
}

/// A kept failure as users see it.
pub(crate) fn from_failure(failure: &Failure) -> UserError {
    let out = UserError::new(failure.code, failure.message.clone());
    match &failure.hint {
        Some(hint) => out.hint(hint.clone()),
        None => out,
    }
}

/// The operation was told to stop, and what it had done is undone.
pub(crate) fn interrupted() -> UserError {
    UserError::new(ErrorCode::Interrupted, "interrupted; what was begun is undone")
}
