//! A tree against the JSON schema of the type it should become: finds every unknown key, wrong type, wrong word and
//! missing key at once, where a deserialiser stops at the first.

use serde_json::Value as Json;

use super::diagnostic::{Diagnostic, shorten};
use super::suggest::nearest;
use super::tree::{Entry, Node, Place, Value};
use super::yaml::join;
use crate::duration::Span;

/// Most problems that are reported for one document.
const MAX_FOUND: usize = 50;

/// Every mismatch between `tree` and `schema`, in the order of the text.
pub(crate) fn check(file: &str, text: &str, tree: &Node, schema: &Json) -> Vec<Diagnostic> {
    let mut checker = Checker {
        file,
        text,
        root: schema,
        found: Vec::new(),
    };
    checker.node(tree, tree.place, schema, "", None);
    checker
        .found
        .sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    checker.found.truncate(MAX_FOUND);
    checker.found
}

struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    root: &'a Json,
    found: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    /// `place` is where to point when the value itself is nothing (then it is its key); `about` is what the schema says
    /// of this key.
    fn node(&mut self, node: &Node, place: Place, schema: &'a Json, path: &str, about: Option<&'a str>) {
        if self.found.len() >= MAX_FOUND {
            return;
        }
        if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
            let short = name.rsplit('/').next().unwrap_or(name);
            if short == "Duration" {
                return self.duration(node, place, path, about);
            }
            let Some(target) = self.root.get("$defs").and_then(|defs| defs.get(short)) else {
                return;
            };
            return self.node(node, place, target, path, about);
        }
        if let Some(options) = schema.get("anyOf").and_then(Json::as_array) {
            let is_null = |option: &&Json| option.get("type").and_then(Json::as_str) == Some("null");
            if matches!(node.value, Value::Null) && options.iter().any(|option| is_null(&option)) {
                return;
            }
            if let Some(other) = options.iter().find(|option| !is_null(option)) {
                self.node(node, place, other, path, about);
            }
            return;
        }
        if let Some(words) = words(schema) {
            return self.word(node, place, path, &words);
        }
        let types: Vec<&str> = match schema.get("type") {
            Some(Json::String(one)) => vec![one],
            Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
            _ => return,
        };
        let fits = types.iter().any(|kind| match (*kind, &node.value) {
            ("null", Value::Null)
            | ("boolean", Value::Bool(_))
            | ("number", Value::Number(..))
            | ("string", Value::Text(_))
            | ("array", Value::List(_))
            | ("object", Value::Map(_)) => true,
            ("integer", Value::Number(number, _)) => whole(number, schema),
            _ => false,
        });
        if !fits {
            return self.wrong_type(node, place, &types, schema, path, about);
        }
        match &node.value {
            Value::Map(entries) => self.map(entries, node.place, schema, path),
            Value::List(items) => {
                if let Some(of) = schema.get("items") {
                    for (at, item) in items.iter().enumerate() {
                        self.node(item, item.place, of, &join(path, &at.to_string()), about);
                    }
                }
            }
            _ => {}
        }
    }

    fn map(&mut self, entries: &[Entry], place: Place, schema: &'a Json, path: &str) {
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties");
        for entry in entries {
            if self.found.len() >= MAX_FOUND {
                return;
            }
            let here = join(path, &entry.key);
            let at = if matches!(entry.value.value, Value::Null) {
                entry.place
            } else {
                entry.value.place
            };
            match (properties.and_then(|known| known.get(&entry.key)), others) {
                (Some(property), _) => {
                    let about = property.get("description").and_then(Json::as_str);
                    self.node(&entry.value, at, property, &here, about);
                }
                (None, Some(Json::Bool(false))) => self.unknown(entry, properties, &here),
                (None, Some(other)) => self.node(&entry.value, at, other, &here, None),
                (None, None) => {}
            }
        }
        let required = schema
            .get("required")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str);
        // A misspelt key was reported above with the right one; saying that this one is missing would be noise.
        let keys = || {
            properties
                .into_iter()
                .flat_map(|known| known.keys())
                .map(String::as_str)
        };
        let misspelt = |name: &str| {
            let unknown = |entry: &&Entry| properties.is_some_and(|known| !known.contains_key(&entry.key));
            entries
                .iter()
                .filter(unknown)
                .any(|entry| nearest(&entry.key, keys()) == Some(name))
        };
        for name in required.filter(|name| entries.iter().all(|entry| entry.key != **name) && !misspelt(name)) {
            let about = properties
                .and_then(|known| known.get(name))
                .and_then(|known| known.get("description"));
            let mut problem = self.problem(
                place,
                &join(path, name),
                format!("the key `{}` is missing", join(path, name)),
            );
            if let Some(about) = about.and_then(Json::as_str) {
                problem = problem.with_help(format!("`{name}`: {}", first_line(about)));
            }
            self.found.push(problem);
        }
    }

    fn unknown(&mut self, entry: &Entry, properties: Option<&'a serde_json::Map<String, Json>>, path: &str) {
        let keys: Vec<&str> = properties
            .into_iter()
            .flat_map(|known| known.keys())
            .map(String::as_str)
            .collect();
        let key = shorten(&entry.key);
        let (message, help) = if let Some(near) = nearest(&entry.key, keys.iter().copied()) {
            (format!("unknown key `{key}`; did you mean `{near}`?"), None)
        } else if let Some(home) = self.home_of(&entry.key) {
            (
                format!("unknown key `{key}`"),
                Some(format!("`{key}` belongs under `{home}`")),
            )
        } else {
            (
                format!("unknown key `{key}`"),
                Some(format!("valid keys here: {}", keys.join(", "))),
            )
        };
        let mut problem = self.problem(entry.place, path, message);
        if let Some(help) = help {
            problem = problem.with_help(help);
        }
        self.found.push(problem);
    }

    /// The top-level key under which `key` would be valid.
    fn home_of(&self, key: &str) -> Option<&'a str> {
        let tops = self.root.get("properties")?.as_object()?;
        tops.iter().find_map(|(top, schema)| {
            let name = schema.get("$ref")?.as_str()?.rsplit('/').next()?;
            self.root.get("$defs")?.get(name)?.get("properties")?.get(key)?;
            Some(top.as_str())
        })
    }

    fn word(&mut self, node: &Node, place: Place, path: &str, words: &[&str]) {
        let list = words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let Value::Text(text) = &node.value else {
            let message = format!("`{path}` must be one of {list}, found {}", node.describe());
            self.found.push(self.problem(place, path, message));
            return;
        };
        if words.contains(&text.as_str()) {
            return;
        }
        let near =
            nearest(text, words.iter().copied()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let problem = self.problem(place, path, format!("`{path}` cannot be `{}`{near}", shorten(text)));
        self.found.push(problem.with_help(format!("it is one of {list}")));
    }

    fn duration(&mut self, node: &Node, place: Place, path: &str, about: Option<&str>) {
        let Value::Text(text) = &node.value else {
            let mut message = format!("`{path}` must be a duration, found {}", node.describe());
            if matches!(node.value, Value::Number(..)) {
                message.push_str(" without a unit");
            }
            let mut problem = self.problem(place, path, message);
            problem = problem.with_help("write a whole number and s, m, h or d, such as 90s, 30m, 4h or 2d");
            self.found.push(problem);
            return;
        };
        if let Err(error) = text.parse::<Span>() {
            let mut problem = self.problem(place, path, format!("`{path}`: {error}"));
            if let Some(about) = about {
                problem = problem.with_help(format!("`{path}`: {}", first_line(about)));
            }
            self.found.push(problem);
        }
    }

    fn wrong_type(
        &mut self,
        node: &Node,
        place: Place,
        types: &[&str],
        schema: &Json,
        path: &str,
        about: Option<&str>,
    ) {
        let kind = types.iter().find(|kind| **kind != "null").copied().unwrap_or("null");
        let expected = match kind {
            "boolean" => "`true` or `false`".to_owned(),
            "integer" => match bounds(schema) {
                (Some(0), None) | (None, None) => "a whole number, not negative".to_owned(),
                (low, high) => format!(
                    "a whole number from {} to {}",
                    low.unwrap_or(0),
                    high.map_or_else(|| "any".to_owned(), |high| high.to_string())
                ),
            },
            "number" => "a number".to_owned(),
            "string" => "text".to_owned(),
            "array" => "a list".to_owned(),
            "object" => "a mapping".to_owned(),
            other => other.to_owned(),
        };
        let what = if path.is_empty() {
            "the document".to_owned()
        } else {
            format!("`{path}`")
        };
        let problem = self.problem(
            place,
            path,
            format!("{what} must be {expected}, found {}", node.describe()),
        );
        let help = match (kind, &node.value) {
            ("string", Value::Number(_, written)) => Some(format!("put it in quotes: \"{}\"", shorten(written))),
            ("string", Value::Bool(value)) => Some(format!("put it in quotes: \"{value}\"")),
            ("array", Value::Text(text)) => Some(format!("write a list: [{}]", shorten(text))),
            (_, Value::Null) => Some("fill it in, or remove the line to get the default".to_owned()),
            _ => about.map(|about| format!("`{path}`: {}", first_line(about))),
        };
        self.found.push(match help {
            Some(help) => problem.with_help(help),
            None => problem,
        });
    }

    fn problem(&self, place: Place, path: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(self.file, self.text, place, path, message)
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

/// The words of an enumeration; `None` when the schema is none.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(list) = schema.get("enum").and_then(Json::as_array) {
        return Some(list.iter().filter_map(Json::as_str).collect());
    }
    let options = schema.get("oneOf").and_then(Json::as_array)?;
    let mut words = Vec::new();
    for option in options {
        match (
            option.get("const").and_then(Json::as_str),
            option.get("enum").and_then(Json::as_array),
        ) {
            (Some(word), _) => words.push(word),
            (None, Some(list)) => words.extend(list.iter().filter_map(Json::as_str)),
            (None, None) => return None,
        }
    }
    Some(words)
}

/// The least and greatest value of an integer, from the schema's bounds and the width of the type.
fn bounds(schema: &Json) -> (Option<i128>, Option<i128>) {
    let number = |key: &str| schema.get(key).and_then(Json::as_i64).map(i128::from);
    let (low, high) = match schema.get("format").and_then(Json::as_str) {
        Some("uint32") => (Some(0), Some(i128::from(u32::MAX))),
        Some("uint64") => (Some(0), None),
        _ => (None, None),
    };
    (number("minimum").or(low), number("maximum").or(high))
}

fn whole(number: &serde_json::Number, schema: &Json) -> bool {
    let Some(value) = number
        .as_i64()
        .map(i128::from)
        .or_else(|| number.as_u64().map(i128::from))
    else {
        return false;
    };
    let (low, high) = bounds(schema);
    low.is_none_or(|low| value >= low) && high.is_none_or(|high| value <= high)
}
