//! Durations as people write them: a positive whole number and one of `s`, `m`, `h`, `d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A duration of whole seconds, at least one second and at most ten years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(u64);

/// Why a string is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration: {why}; write a whole number and s, m, h or d, such as 90s, 30m, 4h or 2d")]
pub struct SpanError {
    text: String,
    why: &'static str,
}

impl Span {
    /// Ten years: longer is a slip of the keyboard, and would overflow calendars further on.
    pub const MAX: Span = Span(10 * 365 * 86_400);

    /// A duration of this many seconds; `None` when zero or over ten years.
    pub fn from_secs(seconds: u64) -> Option<Span> {
        (1..=Self::MAX.0).contains(&seconds).then_some(Span(seconds))
    }

    /// Whole hours, for defaults known to be in range.
    pub const fn hours(hours: u32) -> Span {
        Span(hours as u64 * 3600)
    }

    /// Seconds.
    pub fn as_secs(self) -> u64 {
        self.0
    }

    /// The same, for timers.
    pub fn as_std(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0)
    }

    /// The same, for calendars.
    pub fn as_signed(self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_secs(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Span, SpanError> {
        let error = |why| SpanError {
            text: text.chars().take(40).collect(),
            why,
        };
        let unit = match text.chars().last() {
            Some('s') => 1,
            Some('m') => 60,
            Some('h') => 3600,
            Some('d') => 86_400,
            Some(_) => return Err(error("the unit is missing or unknown")),
            None => return Err(error("it is empty")),
        };
        let digits = &text[..text.len() - 1];
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(error("the number is not a positive whole number"));
        }
        let seconds = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        match seconds {
            Some(0) => Err(error("zero is not allowed")),
            Some(n) => Span::from_secs(n).ok_or_else(|| error("it is longer than ten years")),
            None => Err(error("it is longer than ten years")),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            n if n % 86_400 == 0 => format!("{}d", n / 86_400),
            n if n % 3600 == 0 => format!("{}h", n / 3600),
            n if n % 60 == 0 => format!("{}m", n / 60),
            n => format!("{n}s"),
        };
        f.pad(&text)
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;
    fn try_from(text: String) -> Result<Span, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> String {
        span.to_string()
    }
}

impl schemars::JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9]+[smhd]$",
            "description": "A positive whole number and s, m, h or d.",
            "examples": ["90s", "30m", "4h", "2d"]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("30m", 1800),
            ("4h", 14_400),
            ("2d", 172_800),
            ("3650d", 315_360_000),
        ] {
            assert_eq!(text.parse::<Span>().map(Span::as_secs), Ok(seconds));
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "4",
            "h",
            "-1h",
            "+1h",
            "1.5h",
            "4 h",
            "0s",
            "1w",
            "3651d",
            "99999999999999999999s",
            "٣h",
            "1h30m",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn prints_what_it_reads(seconds in 1u64..=315_360_000) {
            let span = Span::from_secs(seconds);
            proptest::prop_assert_eq!(span.map(|s| s.to_string().parse::<Span>()), span.map(Ok));
        }
    }
}
