//! Bodies of requests: bounded in size, depth and time. An error says where, and never what was sent.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use sandboxer_extension::port::Clock;
use sandboxer_model::error::{ErrorCode, UserError};
use serde::de::DeserializeOwned;

/// Bytes of a JSON body at most.
pub(crate) const MOST: usize = 1024 * 1024;
/// How long a JSON body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a JSON body whole.
///
/// # Errors
/// `NotAllowed` for other media types and encodings, `TooLarge`, `Timeout`, `Usage` when it breaks off.
pub(crate) async fn read(headers: &HeaderMap, body: Body, clock: &dyn Clock) -> Result<Bytes, UserError> {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if length.is_some_and(|length| length > MOST as u64) {
        return Err(too_large());
    }
    refuse_encodings(headers)?;
    let read = async {
        let mut body = body;
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| UserError::new(ErrorCode::Usage, "the body of the request broke off"))?;
            if let Some(data) = frame.data_ref() {
                if bytes.len() + data.len() > MOST {
                    return Err(too_large());
                }
                bytes.extend_from_slice(data);
            }
        }
        Ok(bytes.freeze())
    };
    let bytes = tokio::select! {
        read = read => read?,
        () = clock.sleep(PATIENCE) => {
            let what = format!("the body of the request was not there after {} s", PATIENCE.as_secs());
            return Err(UserError::new(ErrorCode::Timeout, what));
        }
    };
    if !bytes.is_empty() {
        expect_json(headers)?;
    }
    Ok(bytes)
}

/// No encoding is undone here: what looks small stays small.
///
/// # Errors
/// `NotAllowed`.
pub(crate) fn refuse_encodings(headers: &HeaderMap) -> Result<(), UserError> {
    let plain = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if plain {
        return Ok(());
    }
    Err(UserError::new(ErrorCode::NotAllowed, "no `Content-Encoding` is taken").hint("send the body as it is"))
}

fn expect_json(headers: &HeaderMap) -> Result<(), UserError> {
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"));
    if is_json {
        return Ok(());
    }
    Err(
        UserError::new(ErrorCode::NotAllowed, "the body is not said to be `application/json`")
            .hint("send `Content-Type: application/json`"),
    )
}

fn too_large() -> UserError {
    UserError::new(ErrorCode::TooLarge, format!("the body is over {} KiB", MOST / 1024))
        .hint("files have operations of their own, which take more")
}

/// Reads JSON.
///
/// # Errors
/// `Usage` for what is no JSON, `InvalidInput` for JSON that is not what is wanted.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, UserError> {
    // A list of the same members in their order would do for the reader of a type, and for nobody else.
    if bytes.trim_ascii_start().starts_with(b"[") {
        let what = "the body is not what is wanted: it is a list, and not an object";
        return Err(UserError::new(ErrorCode::InvalidInput, what).hint("see what the operation takes in `/docs`"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let parsed = T::deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    parsed.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let why = without_values(&error);
        let (code, what) = match error.classify() {
            serde_json::error::Category::Data => (ErrorCode::InvalidInput, "the body is not what is wanted"),
            _ => (ErrorCode::Usage, "the body is no JSON"),
        };
        UserError::new(code, format!("{what}: line {line}, column {column}: {why}"))
            .hint("see what the operation takes in `/docs`")
    })
}

/// What a reader says is wrong, without what was sent: names of members and expected values stay, quoted values go.
pub(crate) fn without_values(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    for (begins, says) in [
        ("invalid type", "a value is of the wrong type"),
        ("invalid value", "a value is not one that is taken"),
        ("unknown variant", "a value is not one that is taken"),
        ("invalid length", "a list or object has the wrong length"),
    ] {
        if text.starts_with(begins) {
            return match text.split_once(", expected ") {
                Some((_, expected)) => format!("{says}, expected {expected}"),
                None => says.to_owned(),
            };
        }
    }
    for begins in [
        "unknown field",
        "missing field",
        "duplicate field",
        "expected",
        "EOF",
        "trailing",
        "control",
        "key must",
    ] {
        if text.starts_with(begins) {
            return shortened(text);
        }
    }
    "a value is not one that is taken".to_owned()
}

/// Names come from the request, too.
fn shortened(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Wanted {
        name: String,
        #[serde(default)]
        count: u32,
    }

    #[test]
    fn errors_say_where_and_not_what() {
        let secret = "hunter2hunter2";
        for text in [
            format!("{{\"name\": \"a\", \"count\": \"{secret}\"}}"),
            format!("{{\"name\": [\"{secret}\"]}}"),
            format!("{{\"name\": \"a\", \"count\": -1, \"x\": \"{secret}\"}}"),
            format!("{{\"name\": \"{secret}\""),
            format!("\"{secret}\""),
        ] {
            let error = parse::<Wanted>(text.as_bytes()).unwrap_err();
            assert!(error.message.contains("line 1, column"), "{}", error.message);
            assert!(!error.message.contains(secret), "{}", error.message);
        }
        assert_eq!(parse::<Wanted>(b"{").unwrap_err().code, ErrorCode::Usage);
        assert_eq!(parse::<Wanted>(b"{} x").unwrap_err().code, ErrorCode::InvalidInput);
    }

    #[test]
    fn what_is_deep_is_refused() {
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(
            parse::<serde_json::Value>(deep.as_bytes()).unwrap_err().code,
            ErrorCode::Usage
        );
    }
}
