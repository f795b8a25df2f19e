//! From text to a typed value, or to every problem there is.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::diagnostic::Diagnostic;
use super::tree::{Node, Place};
use super::{check, yaml};

/// What a rule found, by key. Kept apart from places, so that rules are plain functions over the typed value.
#[derive(Debug, Default)]
pub struct Findings {
    list: Vec<(Vec<String>, String, Option<String>)>,
}

impl Findings {
    /// A problem of the value at `path`.
    pub fn add(&mut self, path: &[&str], message: impl Into<String>) {
        self.list.push((
            path.iter().map(|part| (*part).to_owned()).collect(),
            message.into(),
            None,
        ));
    }

    /// A problem of the value at `path`, and what to do about it.
    pub fn add_with_help(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.list.push((
            path.iter().map(|part| (*part).to_owned()).collect(),
            message.into(),
            Some(help.into()),
        ));
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn locate(self, file: &str, text: &str, tree: &Node) -> Vec<Diagnostic> {
        let mut located: Vec<Diagnostic> = self
            .list
            .into_iter()
            .map(|(path, message, help)| {
                let parts: Vec<&str> = path.iter().map(String::as_str).collect();
                let mut diagnostic = Diagnostic::new(file, text, tree.locate(&parts), path.join("."), message);
                if let Some(help) = help {
                    diagnostic = diagnostic.with_help(help);
                }
                diagnostic
            })
            .collect();
        located.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        located
    }
}

/// Reads `text` as a `T` and applies `rules` to it. `file` is only used to name the document.
///
/// # Errors
/// Every problem that could be found, in the order of the text.
pub fn read<T: DeserializeOwned + JsonSchema + 'static>(
    file: &str,
    text: &str,
    rules: impl FnOnce(&T, &mut Findings),
) -> Result<T, Vec<Diagnostic>> {
    let tree = yaml::parse(file, text)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Always, since deserialisers take more than people should write: a list of fields for a struct, for one.
    let found = check::check(file, text, &tree, schema_of::<T>().as_value());
    if !found.is_empty() {
        return Err(found);
    }
    let value = serde_json::from_value::<T>(tree.to_json())
        .map_err(|error| vec![Diagnostic::new(file, text, tree.place, "", error.to_string())])?;
    let mut findings = Findings::default();
    rules(&value, &mut findings);
    if findings.is_empty() {
        Ok(value)
    } else {
        Err(findings.locate(file, text, &tree))
    }
}

/// The schema of a type, made once: there are few of them, and making one takes longer than checking a document.
fn schema_of<T: JsonSchema + 'static>() -> &'static Schema {
    static MADE: Mutex<Option<HashMap<TypeId, &'static Schema>>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    made.get_or_insert_default()
        .entry(TypeId::of::<T>())
        .or_insert_with(|| Box::leak(Box::new(SchemaGenerator::default().into_root_schema_for::<T>())))
}

/// Reads a document that was read with [`read`] by a test of this build, without checking it again.
///
/// # Errors
/// It is not a `T`.
pub fn read_checked<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, Vec<Diagnostic>> {
    let tree = yaml::parse(file, text)?;
    serde_json::from_value(tree.to_json())
        .map_err(|error| vec![Diagnostic::new(file, text, tree.place, "", error.to_string())])
}

/// The bytes of a file as text.
///
/// # Errors
/// It is too long, or not UTF-8.
pub fn decode<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Vec<Diagnostic>> {
    if bytes.len() > yaml::MAX_BYTES {
        let message = format!("the document has more than {} bytes", yaml::MAX_BYTES);
        return Err(vec![Diagnostic::new(file, "", Place::default(), "", message)]);
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        let place = Place {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            width: 1,
        };
        vec![Diagnostic::new(file, "", place, "", "the document is not UTF-8 text")]
    })
}
