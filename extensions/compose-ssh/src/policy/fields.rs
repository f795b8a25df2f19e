//! Taking a mapping apart. What is taken is understood by whoever took it; what nobody took is refused.

use std::cell::RefCell;

use sandboxer_model::document::{Entry, Node, Value, nearest};

use super::refusal::Refusal;

/// What is found wrong and what is changed, gathered over a whole file.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) file: &'a str,
    refusals: RefCell<Vec<Refusal>>,
    notes: RefCell<Vec<String>>,
}

impl<'a> Found<'a> {
    pub(super) fn new(file: &'a str, notes: Vec<String>) -> Found<'a> {
        Found {
            file,
            refusals: RefCell::new(Vec::new()),
            notes: RefCell::new(notes),
        }
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        // A thousand reasons are no better than a hundred.
        if self.refusals.borrow().len() < 100 {
            self.refusals.borrow_mut().push(refusal);
        }
    }

    pub(super) fn note(&self, note: String) {
        self.notes.borrow_mut().push(note);
    }

    /// The notes, or everything that was refused.
    pub(super) fn finish(self) -> Result<Vec<String>, Vec<Refusal>> {
        let refusals = self.refusals.into_inner();
        if refusals.is_empty() {
            Ok(self.notes.into_inner())
        } else {
            Err(refusals)
        }
    }
}

/// A value and the way to it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    pub(super) path: Vec<String>,
    pub(super) found: &'a Found<'a>,
}

impl<'a> At<'a> {
    pub(super) fn new(node: &'a Node, path: Vec<String>, found: &'a Found<'a>) -> At<'a> {
        At { node, path, found }
    }

    /// Refuses it; gives nothing, so that a reader can end with it.
    pub(super) fn refuse<T>(&self, why: impl Into<String>) -> Option<T> {
        self.found
            .refuse(Refusal::new(self.found.file, self.node.place, &self.path, why));
        None
    }

    pub(super) fn refuse_with<T>(&self, why: impl Into<String>, help: &str) -> Option<T> {
        self.found
            .refuse(Refusal::new(self.found.file, self.node.place, &self.path, why).help(help));
        None
    }

    /// Something inside it.
    pub(super) fn child(&self, key: &str, node: &'a Node) -> At<'a> {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        At::new(node, path, self.found)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// A mapping; an empty value counts as one without entries.
    pub(super) fn fields(&self) -> Option<Fields<'a>> {
        match &self.node.value {
            Value::Map(entries) => Some(Fields::new(entries, self)),
            Value::Null => Some(Fields::new(&[], self)),
            _ => self.refuse(format!("is {}, not a mapping", self.node.describe())),
        }
    }

    /// Every entry of a mapping whose keys are free.
    pub(super) fn entries(&self) -> Option<Vec<(&'a str, At<'a>)>> {
        match &self.node.value {
            Value::Map(entries) => Some(
                entries
                    .iter()
                    .map(|entry| (entry.key.as_str(), self.child(&entry.key, &entry.value)))
                    .collect(),
            ),
            Value::Null => Some(Vec::new()),
            _ => self.refuse(format!("is {}, not a mapping", self.node.describe())),
        }
    }

    /// Every item of a list.
    pub(super) fn items(&self) -> Option<Vec<At<'a>>> {
        match &self.node.value {
            Value::List(items) => Some(
                items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.child(&at.to_string(), item))
                    .collect(),
            ),
            Value::Null => Some(Vec::new()),
            _ => self.refuse(format!("is {}, not a list", self.node.describe())),
        }
    }

    /// One text or a list of them.
    pub(super) fn one_or_more(&self) -> Option<Vec<At<'a>>> {
        match &self.node.value {
            Value::List(_) => self.items(),
            _ => Some(vec![self.clone()]),
        }
    }

    /// Text, or what is written without quotes and is as good as text.
    pub(super) fn text(&self) -> Option<String> {
        match &self.node.value {
            Value::Text(text) => {
                if text.contains('\0') {
                    return self.refuse("holds a NUL byte");
                }
                Some(text.clone())
            }
            Value::Number(_, written) => Some(written.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => {
                self.refuse(format!("is {}, not text", self.node.describe()))
            }
        }
    }

    /// True or false.
    pub(super) fn truth(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            // Compose's own reader takes these words of YAML 1.1 for truths.
            Value::Text(text) if matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on") => Some(true),
            Value::Text(text) if matches!(text.to_ascii_lowercase().as_str(), "false" | "no" | "off") => Some(false),
            _ => self.refuse(format!("is {}, not `true` or `false`", self.node.describe())),
        }
    }

    /// A whole number.
    pub(super) fn count(&self) -> Option<u64> {
        self.text()?
            .parse()
            .ok()
            .or_else(|| self.refuse(format!("is {}, not a whole number", self.node.describe())))
    }

    /// Text that is one of these.
    pub(super) fn one_of(&self, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text()?;
        match words.iter().find(|word| **word == text) {
            Some(word) => Some(word),
            None => self.refuse(format!("is `{text}`; accepted: {}", words.join(", "))),
        }
    }
}

/// A mapping of which entries are taken one by one.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    entries: &'a [Entry],
    taken: Vec<&'a str>,
    known: Vec<&'static str>,
    at: At<'a>,
}

impl<'a> Fields<'a> {
    fn new(entries: &'a [Entry], at: &At<'a>) -> Fields<'a> {
        Fields {
            entries,
            taken: Vec::new(),
            known: Vec::new(),
            at: at.clone(),
        }
    }

    /// The value of a key; a key without a value counts as not there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<At<'a>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        self.taken.push(&entry.key);
        let at = self.at.child(key, &entry.value);
        if at.is_null() { None } else { Some(at) }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Accepts keys without a look at their value, since nothing of it is used.
    pub(super) fn drop_keys(&mut self, keys: &[&'static str], what: &str) {
        for key in keys {
            if self.take(key).is_some() {
                self.at.found.note(format!("`{}.{key}` {what}", self.at.path.join(".")));
            }
        }
    }

    /// Accepts `x-…` keys: they mean nothing.
    pub(super) fn drop_extensions(&mut self) {
        for entry in self.entries {
            if entry.key.starts_with("x-") {
                self.taken.push(&entry.key);
            }
        }
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) {
        for entry in self.entries {
            if self.taken.contains(&entry.key.as_str()) {
                continue;
            }
            let at = self.at.child(&entry.key, &entry.value);
            let place = entry.place;
            let why = super::refusal::reason(&entry.key)
                .unwrap_or("is not something a sandbox's Compose file can ask for")
                .to_owned();
            let mut refusal = Refusal::new(self.at.found.file, place, &at.path, why);
            if let Some(near) = nearest(&entry.key, self.known.iter().copied())
                && near != entry.key
            {
                refusal = refusal.help(format!("did you mean `{near}`?"));
            }
            self.at.found.refuse(refusal);
        }
    }
}
