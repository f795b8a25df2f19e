//! One problem of a document, and how it is shown.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tree::Place;

/// One problem of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnostic {
    /// The document, as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Which key, such as `ttl.max`; empty for the document as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The line it is on with a caret below, made safe to print.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excerpt: Option<String>,
}

/// Characters of a source line that are shown.
const SHOWN: usize = 96;

impl Diagnostic {
    /// A problem at `place` of `text`.
    pub fn new(
        file: &str,
        text: &str,
        place: Place,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Diagnostic {
        Diagnostic {
            file: file.to_owned(),
            line: place.line.max(1),
            column: place.column.max(1),
            path: path.into(),
            message: printable(&message.into()),
            help: None,
            excerpt: excerpt(text, place),
        }
    }

    /// The same problem with what to do about it.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(printable(&help.into()));
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if let Some(excerpt) = &self.excerpt {
            for line in excerpt.lines() {
                write!(f, "\n  {line}")?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

/// What a user wrote, short enough for a message and without anything a terminal would obey.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    printable(&short)
}

/// Without anything a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().map(|c| if hostile(c) { '\u{fffd}' } else { c }).collect()
}

/// Control characters, and those that turn the direction of writing around to make a line look like another.
fn hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn excerpt(text: &str, place: Place) -> Option<String> {
    let line = text.lines().nth(place.line.checked_sub(1)? as usize)?;
    let column = place.column.max(1) as usize - 1;
    let long = line.chars().take(SHOWN + 1).count() > SHOWN;
    let skip = if long { column.saturating_sub(SHOWN * 2 / 3) } else { 0 };
    let shown: String = line.chars().skip(skip).take(SHOWN).collect();
    if shown.trim().is_empty() {
        return None;
    }
    let at = column - skip;
    let room = shown.chars().count().saturating_sub(at).max(1);
    let carets = "^".repeat((place.width.max(1) as usize).min(room));
    // A tab is as wide as one space here, so that the caret stays under its character.
    let shown: String = shown.chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    Some(format!(
        "{number} | {}\n{margin} | {}{carets}",
        printable(&shown).trim_end(),
        " ".repeat(at)
    ))
}
