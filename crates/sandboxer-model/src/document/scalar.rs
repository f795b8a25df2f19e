//! What a scalar means.

use std::borrow::Cow;

use granit_parser::ScalarStyle;
use serde_json::Number;

use super::tree::Value;

/// YAML 1.2 core schema. `yes` and `on` are text, as is everything in quotes.
pub(super) fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.into_owned());
    }
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    match number(&text) {
        Some(number) => Value::Number(number, text.into_owned()),
        None => Value::Text(text.into_owned()),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return digits
            .bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then(|| u64::from_str_radix(digits, 16).ok().map(Number::from))?;
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| u64::from_str_radix(digits, 8).ok().map(Number::from))?;
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !digits.bytes().any(|b| b.is_ascii_digit()) {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        if let Ok(whole) = text.trim_start_matches('+').parse::<i64>() {
            return Some(Number::from(whole));
        }
        if let Ok(whole) = digits.parse::<u64>()
            && !text.starts_with('-')
        {
            return Some(Number::from(whole));
        }
    }
    if digits
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        return text.parse::<f64>().ok().and_then(Number::from_f64);
    }
    None
}
