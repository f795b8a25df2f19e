//! Values of options that have rules of their own.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandboxer_model::duration::Span;
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::lifecycle::State;
use sandboxer_model::profile::Scope;
use sandboxer_model::sandbox::Actor;

fn shortened(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        short
    }
}

/// `key=value` pairs of a repeated option.
///
/// # Errors
/// A pair without `=` or without a key, or a key given twice.
pub(crate) fn pairs(option: &str, texts: &[String]) -> Result<BTreeMap<String, String>, UserError> {
    let mut pairs = BTreeMap::new();
    for text in texts {
        let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(UserError::new(
                ErrorCode::InvalidInput,
                format!("`{option} {}` is not of the form KEY=VALUE", shortened(text)),
            )
            .hint(format!("write for example `{option} name=value`")));
        };
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(UserError::new(
                ErrorCode::InvalidInput,
                format!("`{option}` gives `{}` twice", shortened(key)),
            )
            .hint("give each key once"));
        }
    }
    Ok(pairs)
}

/// Labels.
///
/// # Errors
/// Not `key=value`, or not what a label may hold.
pub(crate) fn labels(texts: &[String]) -> Result<BTreeMap<String, String>, UserError> {
    let labels = pairs("--label", texts)?;
    labels.iter().try_for_each(|(key, value)| label(key, value))?;
    Ok(labels)
}

/// Checks one label: keys are 1 to 63 characters of `a-z A-Z 0-9 . _ / -` that start and end with a letter or digit;
/// values are at most 256 characters without control characters.
///
/// # Errors
/// It is not such a label.
pub(crate) fn label(key: &str, value: &str) -> Result<(), UserError> {
    label_key(key)?;
    if value.chars().count() > 256 || value.chars().any(char::is_control) {
        return Err(UserError::new(
            ErrorCode::InvalidInput,
            format!("the value of label `{key}` is longer than 256 characters or holds control characters"),
        )
        .hint("keep labels short; put longer text into a file of the workspace"));
    }
    Ok(())
}

/// Checks the key of a label.
///
/// # Errors
/// It is not such a key.
pub(crate) fn label_key(key: &str) -> Result<(), UserError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    if key.len() <= 63 && key.chars().all(allowed) && edge(key.chars().next()) && edge(key.chars().last()) {
        return Ok(());
    }
    Err(UserError::new(
        ErrorCode::InvalidInput,
        format!("`{}` is not the key of a label", shortened(key)),
    )
    .hint("keys are 1 to 63 characters of a-z A-Z 0-9 . _ / - and start and end with a letter or digit"))
}

/// A time to live.
///
/// # Errors
/// It is not a duration.
pub(crate) fn ttl(option: &str, text: &str) -> Result<Span, UserError> {
    text.parse::<Span>()
        .map_err(|error| UserError::new(ErrorCode::InvalidTtl, format!("`{option}`: {error}")))
}

/// A point in time.
///
/// # Errors
/// It is not one.
pub(crate) fn time(option: &str, text: &str) -> Result<Timestamp, UserError> {
    text.parse::<Timestamp>().map_err(|_| {
        UserError::new(
            ErrorCode::InvalidTtl,
            format!("`{option} {}` is not a point in time with an offset", shortened(text)),
        )
        .hint("write for example 2031-05-04T12:00:00Z or 2031-05-04T14:00:00+02:00")
    })
}

/// A whole number that is not zero.
///
/// # Errors
/// It is not one, or larger than anything a host has.
pub(crate) fn count(option: &str, text: &str) -> Result<u64, UserError> {
    const MOST: u64 = 1_000_000_000;
    match text.parse::<u64>() {
        Ok(count) if (1..=MOST).contains(&count) && text.bytes().all(|b| b.is_ascii_digit()) => Ok(count),
        _ => Err(UserError::new(
            ErrorCode::InvalidInput,
            format!("`{option} {}` is not a whole number from 1 to {MOST}", shortened(text)),
        )
        .hint("leave it out if it is not to be counted")),
    }
}

/// A number of processors with at most three decimal places, as thousandths.
///
/// # Errors
/// It is not one.
pub(crate) fn thousandths(option: &str, text: &str) -> Result<u64, UserError> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let milli = match format!("{part:0<3}").parse::<u64>() {
        Ok(part_milli) if !whole.is_empty() && whole.len() <= 6 && digits(whole) && digits(part) && part.len() <= 3 => {
            whole.parse::<u64>().ok().map(|whole| whole * 1000 + part_milli)
        }
        _ => None,
    };
    milli.filter(|milli| *milli > 0).ok_or_else(|| {
        UserError::new(
            ErrorCode::InvalidInput,
            format!("`{option} {}` is not a number of processors", shortened(text)),
        )
        .hint("write for example 4 or 2.5")
    })
}

/// A number of hours.
///
/// # Errors
/// It is not one.
pub(crate) fn hours(option: &str, text: &str) -> Result<u64, UserError> {
    let plain = !text.is_empty() && text.len() <= 7 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse::<u64>().ok().filter(|_| plain).ok_or_else(|| {
        UserError::new(
            ErrorCode::InvalidInput,
            format!("`{option} {}` is not a number of hours", shortened(text)),
        )
        .hint("write a whole number of hours, such as 24")
    })
}

/// A state.
///
/// # Errors
/// There is no such state.
pub(crate) fn state(option: &str, text: &str) -> Result<State, UserError> {
    State::from_name(text).ok_or_else(|| {
        let names: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
        UserError::new(
            ErrorCode::InvalidInput,
            format!("`{option} {}` is not a state", shortened(text)),
        )
        .hint(format!("states are {}", names.join(", ")))
    })
}

/// A scope.
///
/// # Errors
/// There is no such scope.
pub(crate) fn scope(text: &str) -> Result<Scope, UserError> {
    [Scope::Session, Scope::Agent, Scope::Shared]
        .into_iter()
        .find(|scope| scope.name() == text)
        .ok_or_else(|| {
            UserError::new(
                ErrorCode::InvalidInput,
                format!("`--scope {}` is not a scope", shortened(text)),
            )
            .hint("scopes are session, agent and shared")
        })
}

/// An actor.
///
/// # Errors
/// There is no such kind of actor.
pub(crate) fn actor(text: &str) -> Result<Actor, UserError> {
    role("--actor", text)
}

/// The same by another name.
///
/// # Errors
/// There is no such kind of caller.
pub(crate) fn role(option: &str, text: &str) -> Result<Actor, UserError> {
    [Actor::Adm, Actor::Agt, Actor::Atm]
        .into_iter()
        .find(|actor| actor.name() == text)
        .ok_or_else(|| {
            UserError::new(
                ErrorCode::InvalidInput,
                format!("`{option} {}` is not a kind of caller", shortened(text)),
            )
            .hint("write adm (a person), agt (an agent) or atm (an automation)")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_split_at_the_first_equals_sign() {
        let pairs = pairs("--input", &["a=b=c".to_owned(), "empty=".to_owned()]).unwrap();
        assert_eq!(pairs["a"], "b=c");
        assert_eq!(pairs["empty"], "");
    }

    #[test]
    fn numbers_are_plain() {
        assert_eq!(thousandths("--cpu", "2.5").unwrap(), 2500);
        assert_eq!(thousandths("--cpu", "4").unwrap(), 4000);
        for text in ["", "0", "0.000", ".5", "-1", "1e3", "2.0005", "NaN", "9999999"] {
            assert!(thousandths("--cpu", text).is_err(), "{text}");
        }
        for text in ["", "0", "-1", "+1", "1.5", "1e3", "99999999999999999999"] {
            assert!(count("--slots", text).is_err(), "{text}");
        }
        assert_eq!(
            (count("--slots", "8").unwrap(), hours("--older-than", "0").unwrap()),
            (8, 0)
        );
        for text in ["", "1h", "+1", "-1", "99999999"] {
            assert!(hours("--older-than", text).is_err(), "{text}");
        }
    }

    #[test]
    fn label_keys_are_names() {
        for key in ["a", "team", "example.org/team-1"] {
            assert!(label_key(key).is_ok(), "{key}");
        }
        for key in ["", "-a", "a-", "a b", "é", &"x".repeat(64)] {
            assert!(label_key(key).is_err(), "{key}");
        }
    }
}
