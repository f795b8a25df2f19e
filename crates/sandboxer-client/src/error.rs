//! What failed, as users see it.

use sandboxer_api::problem::Problem;
use sandboxer_model::error::{ERROR_CODES, ErrorCode, UserError};
use serde_json::Value;

use crate::address::Address;

/// The error that an answer says. A server may be newer and know codes that we do not; something between may answer in its place.
pub(crate) fn refused(address: &Address, what: &str, status: u16, body: &[u8]) -> UserError {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return problem.into();
    }
    let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
    if let Some(detail) = told["detail"].as_str() {
        let code = told["code"].as_str().and_then(named).unwrap_or(of_status(status));
        let hints = told["hints"].as_array().into_iter().flatten();
        return hints
            .filter_map(Value::as_str)
            .fold(UserError::new(code, detail), |error, hint| error.hint(hint));
    }
    let error = UserError::new(
        of_status(status),
        format!("{address} answered {what} with HTTP {status} and no reason"),
    );
    match status {
        502..=504 => error.hint("something between here and the server answers in its place: ask whoever runs it"),
        _ => error.hint("see whether that is the address of a sandboxer server: SANDBOXER_API or `--api`"),
    }
}

fn named(name: &str) -> Option<ErrorCode> {
    ERROR_CODES.iter().copied().find(|code| code.name() == name)
}

fn of_status(status: u16) -> ErrorCode {
    match status {
        400 => ErrorCode::Usage,
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        405 | 415 => ErrorCode::NotAllowed,
        408 | 504 => ErrorCode::Timeout,
        409 => ErrorCode::WrongState,
        412 => ErrorCode::PreconditionFailed,
        413 => ErrorCode::TooLarge,
        422 => ErrorCode::InvalidInput,
        429 => ErrorCode::RateLimited,
        500 => ErrorCode::Internal,
        _ => ErrorCode::Unavailable,
    }
}

/// Nobody answered.
pub(crate) fn unreachable(address: &Address, what: &str, why: &str, tries: u32) -> UserError {
    let times = if tries > 1 {
        format!(", {tries} times")
    } else {
        String::new()
    };
    let error = UserError::new(
        ErrorCode::Unavailable,
        format!("{address} does not answer {what}: {why}{times}"),
    );
    match address.socket() {
        Some(_) => error.hint("see whether `sandboxer serve` runs and listens there, and who may use the socket"),
        None => error.hint("see whether `sandboxer serve` runs there, and whether SANDBOXER_API or `--api` is right"),
    }
}

/// The answer did not come in time.
pub(crate) fn late(address: &Address, what: &str, seconds: u64) -> UserError {
    UserError::new(
        ErrorCode::Timeout,
        format!("{address} did not answer {what} within {seconds} s"),
    )
    .hint("it may have been done all the same: look before you ask again")
}

/// The answer came and makes no sense.
pub(crate) fn garbled(address: &Address, what: &str, why: &str) -> UserError {
    UserError::new(
        ErrorCode::BackendFailed,
        format!("{address} answered {what} with something that is not understood: {why}"),
    )
    .hint("see whether client and server are of the same release: `sandboxer --version`")
}

/// Why a request failed, to the innermost cause, without the address that is named beside it.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_become_errors_whoever_wrote_them() {
        let address = Address::parse("http://127.0.0.1:1").unwrap();
        let said = UserError::new(ErrorCode::QuotaExceeded, "too many").hint("destroy one");
        let body = serde_json::to_vec(&Problem::from(&said)).unwrap();
        assert_eq!(refused(&address, "POST v1/x", 429, &body), said);
        let newer =
            br#"{"type":"x","title":"t","status":409,"detail":"d","code":"not_yet_known","hints":["h"],"more":1}"#;
        let error = refused(&address, "POST v1/x", 409, newer);
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::WrongState, "d"));
        assert_eq!(error.hints, ["h"]);
        let proxy = refused(&address, "GET v1/x", 502, b"<html>");
        assert_eq!(proxy.code, ErrorCode::Unavailable);
        assert!(
            proxy.message.contains("HTTP 502") && proxy.message.contains("GET v1/x"),
            "{proxy}"
        );
    }
}
