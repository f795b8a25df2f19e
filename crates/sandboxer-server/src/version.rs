//! `If-Match`: which version of a thing a change is meant for (RFC 9110 §13.1.1).

use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;
use sandboxer_model::error::{ErrorCode, UserError};

/// The versions that the header names; `None`: any will do. A tag that is none of ours names no version.
///
/// # Errors
/// `InvalidInput` when it is not a list of entity tags.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<Vec<u64>>, UserError> {
    let mut revisions = Vec::new();
    let mut is_there = false;
    for value in headers.get_all(IF_MATCH) {
        is_there = true;
        let text = value.to_str().map_err(|_| wrong())?;
        for tag in text.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(None);
            }
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let inner = opaque
                .strip_prefix('"')
                .and_then(|rest| rest.strip_suffix('"'))
                .ok_or_else(wrong)?;
            // Weak tags never match here.
            if opaque == tag {
                revisions.extend(inner.parse::<u64>().ok());
            }
        }
    }
    Ok(is_there.then_some(revisions))
}

fn wrong() -> UserError {
    UserError::new(ErrorCode::InvalidInput, "`If-Match` is not a list of entity tags")
        .hint("send back the `ETag` of the answer that you read, quotes included")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Result<Option<Vec<u64>>, UserError> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, value.parse().unwrap());
        if_match(&headers)
    }

    #[test]
    fn tags_are_read() {
        assert_eq!(if_match(&HeaderMap::new()), Ok(None));
        assert_eq!(of("*"), Ok(None));
        assert_eq!(of("\"7\", \"8\""), Ok(Some(vec![7, 8])));
        assert_eq!(of("W/\"7\""), Ok(Some(vec![])));
        assert_eq!(of("\"other\""), Ok(Some(vec![])));
        assert!(of("7").is_err());
        assert!(of("\"7").is_err());
    }
}
