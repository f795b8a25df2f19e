//! Words, pairs, numbers, sizes, durations and paths of Compose.

use std::collections::BTreeMap;

use sandboxer_model::document::Value;
use serde_json::json;

use super::fields::At;

/// A name of a service, volume, network or alias.
pub(super) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && text.len() <= 63
}

/// A command: one text, split as a shell splits it by Compose itself, or a list of words.
pub(super) fn words(at: &At<'_>) -> Option<serde_json::Value> {
    match &at.node.value {
        Value::List(_) => {
            let items: Option<Vec<String>> = at.items()?.iter().map(At::text).collect();
            items.map(|items| json!(items))
        }
        _ => at.text().map(|text| json!(text)),
    }
}

/// `NAME=value` items or a mapping. A name without a value would be filled in from the caller's environment: it is left
/// out.
pub(super) fn pairs(at: &At<'_>) -> Option<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    let mut put = |at: &At<'_>, name: &str, value: Option<String>| -> Option<()> {
        let plain = !name.is_empty() && !name.chars().any(|c| c.is_control() || c == '=' || c.is_whitespace());
        if !plain || name.len() > 256 {
            return at.refuse("is not the name of a variable");
        }
        match value {
            Some(value) => {
                all.insert(name.to_owned(), value);
            }
            None => at.found.note(format!(
                "`{}` has no value: nothing of the caller's environment is passed on",
                at.path.join(".")
            )),
        }
        Some(())
    };
    match &at.node.value {
        Value::List(_) => {
            for item in at.items()? {
                let text = item.text()?;
                match text.split_once('=') {
                    Some((name, value)) => put(&item, name, Some(value.to_owned()))?,
                    None => put(&item, &text, None)?,
                }
            }
        }
        _ => {
            for (name, item) in at.entries()? {
                let value = if item.is_null() { None } else { Some(item.text()?) };
                put(&item, name, value)?;
            }
        }
    }
    Some(all)
}

/// A duration of Compose such as `1m30s`, `1.5s` or `500ms`, in milliseconds.
pub(super) fn duration(at: &At<'_>) -> Option<u64> {
    let text = at.text()?;
    milliseconds(&text).or_else(|| at.refuse(format!("is `{text}`, not a duration such as 30s or 1m30s")))
}

fn milliseconds(text: &str) -> Option<u64> {
    if text.len() > 32 {
        return None;
    }
    if text == "0" {
        return Some(0);
    }
    let mut total = 0f64;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let number: f64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match rest.get(..letters)? {
            "us" => 0.001,
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return None,
        };
        total += number * unit;
        rest = rest.get(letters..)?;
    }
    (total.is_finite() && total <= 86_400_000.0).then_some(total.round() as u64)
}

/// A duration as every Compose reads it: the first generation makes a whole number only of whole seconds.
pub(super) fn written(milliseconds: u64) -> String {
    if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    }
}

/// A size of Compose such as `512m`, `1gb` or a number of bytes, in bytes.
pub(super) fn size(at: &At<'_>) -> Option<u64> {
    let text = at.text()?;
    bytes(&text).or_else(|| at.refuse(format!("is `{text}`, not a size such as 512m or 1g")))
}

fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let number: f64 = lower.get(..digits)?.parse().ok()?;
    let unit = match lower.get(digits..)?.trim() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1_048_576.0,
        "g" | "gb" | "gib" => 1_073_741_824.0,
        "t" | "tb" | "tib" => 1_099_511_627_776.0,
        _ => return None,
    };
    let bytes = number * unit;
    (bytes.is_finite() && bytes <= 1e15).then_some(bytes.round() as u64)
}

/// A number of processors.
pub(super) fn cpus(at: &At<'_>) -> Option<f64> {
    let text = at.text()?;
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 && number <= 1024.0 && !text.starts_with('+') => Some(number),
        _ => at.refuse(format!("is `{text}`, not a number of processors such as 0.5")),
    }
}

/// A path inside a container where something may be put.
pub(super) fn target(at: &At<'_>, text: &str) -> Option<String> {
    let plain = !text.chars().any(char::is_control) && !text.contains([':', '\\', ',']) && text.len() <= 1024;
    if !text.starts_with('/') || !plain {
        return at.refuse(format!(
            "has the target `{text}`: a target is an absolute path inside the container"
        ));
    }
    let mut clean = String::new();
    for part in text.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            return at.refuse("has a target with `..` in it");
        }
        clean.push('/');
        clean.push_str(part);
    }
    let kernel = ["/proc", "/sys", "/dev"];
    let beneath = |top: &str| clean == top || clean.starts_with(&format!("{top}/"));
    if clean.is_empty() {
        return at.refuse("has the container's root as its target");
    }
    if kernel.iter().any(|top| beneath(top)) && !beneath("/dev/shm") {
        return at.refuse(format!("has the target `{clean}`, which is the kernel's"));
    }
    Some(clean)
}

/// A directory inside a container that a command starts in.
pub(super) fn working_dir(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    if text == "/" {
        return Some(text);
    }
    target(at, &text)
}

/// An image, as its reference is written: `[registry[:port]/]path[:tag][@digest]`.
pub(super) fn image(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/:@".contains(&b);
    let starts = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !starts || text.len() > 255 || !text.bytes().all(plain) || text.contains("//") {
        return at.refuse(format!("is `{text}`, not the name of an image"));
    }
    // What another sandbox built is on the same host, under its name and under its id.
    let bare = text.split([':', '@']).next().unwrap_or("");
    let is_id = bare.len() >= 6 && bare.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase());
    if text.starts_with("sbx-") || text.starts_with("localhost/") || text.starts_with("sha256:") || is_id {
        return at.refuse(format!(
            "is `{text}`: an image of another sandbox, or one that only its id names"
        ));
    }
    let registry = text.split_once('/').map_or("", |(first, _)| first);
    let host = registry.split(':').next().unwrap_or("");
    let numeric = !host.is_empty() && host.bytes().all(|b| b.is_ascii_digit() || b == b'.') && host.contains('.');
    if host == "localhost" || numeric {
        return at.refuse_with(
            format!("is from `{registry}`: an image comes from a registry with a name"),
            "the host would be made to call an address of the file's choosing",
        );
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("1m30s", Some(90_000)),
            ("1.5s", Some(1500)),
            ("500ms", Some(500)),
            ("0", Some(0)),
            ("5", None),
            ("", None),
            ("s", None),
            ("1x", None),
            ("99999999h", None),
            ("-1s", None),
            ("1e3s", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
        for (text, expected) in [
            ("512m", Some(536_870_912)),
            ("1gb", Some(1_073_741_824)),
            ("1024", Some(1024)),
            ("-1", None),
            ("1q", None),
            ("inf", None),
            ("", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
