//! A document as values that know where they were written.

use serde_json::Number;

/// Where something was written. Lines and columns count from 1; columns and widths count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// Characters on that line.
    pub width: u32,
}

/// One value of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, and how it was written.
    Number(Number, String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order written. Keys are unique.
    Map(Vec<Entry>),
}

/// One line of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key was written.
    pub place: Place,
    /// What it maps to.
    pub value: Node,
}

impl Node {
    /// The same without places. The reader bounds depth, so this does too.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number, _) => Json::Number(number.clone()),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => Json::Array(items.iter().map(Node::to_json).collect()),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect(),
            ),
        }
    }

    /// The place of `path` (keys, and list positions as digits), or of the last part of it that exists.
    pub fn locate(&self, path: &[&str]) -> Place {
        let Some((first, rest)) = path.split_first() else {
            return self.place;
        };
        match &self.value {
            Value::Map(entries) => match entries.iter().find(|entry| entry.key == *first) {
                // The key is the better place for a mapping or a list, the value for anything written on one line.
                Some(entry) if rest.is_empty() => match entry.value.value {
                    Value::Map(_) | Value::List(_) | Value::Null => entry.place,
                    _ => entry.value.place,
                },
                Some(entry) => match entry.value.value {
                    Value::Map(_) | Value::List(_) if entry.value.get(rest[0]).is_none() => entry.place,
                    _ => entry.value.locate(rest),
                },
                None => self.place,
            },
            Value::List(items) => match first.parse::<usize>().ok().and_then(|at| items.get(at)) {
                Some(item) => item.locate(rest),
                None => self.place,
            },
            _ => self.place,
        }
    }

    fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == name).map(|entry| &entry.value),
            Value::List(items) => name.parse::<usize>().ok().and_then(|at| items.get(at)),
            _ => None,
        }
    }

    /// What it is, for people: "the number 4", "a list".
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(_, written) => format!("the number {}", super::diagnostic::shorten(written)),
            Value::Text(text) => format!("the text `{}`", super::diagnostic::shorten(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}
