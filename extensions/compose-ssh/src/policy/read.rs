//! The text as a tree: bounded, merge keys expanded, variables filled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sandboxer_model::document::{Entry, MergeKeys, Node, Place, Value, parse_with};

use super::project::{Project, inside};
use super::refusal::Refusal;

/// Most bytes that filling in may make of one text.
const MOST_TEXT: usize = 64 * 1024;

/// A Compose file that was read.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name, relative to the project.
    pub(super) file: String,
    /// The directory it lies in, relative to the project: where its paths start.
    pub(super) directory: PathBuf,
    pub(super) root: Node,
    pub(super) notes: Vec<String>,
}

/// Reads a Compose file of a project.
pub(super) fn read(project: &Project, file: &str) -> Result<Source, Vec<Refusal>> {
    let refuse = |why: String| vec![Refusal::new(file, Place::default(), &[], why)];
    let path = inside(Path::new(""), file).map_err(|why| refuse(format!("the path of the Compose file {why}")))?;
    let directory = path.parent().map(Path::to_owned).unwrap_or_default();
    let text = project
        .text(&path)
        .map_err(|why| refuse(format!("the Compose file {why}")))?
        .ok_or_else(|| refuse("there is no such Compose file in the project".to_owned()))?;
    let env = directory.join(".env");
    let variables = match project.text(&env) {
        Ok(Some(text)) => variables(&text),
        Ok(None) => BTreeMap::new(),
        Err(why) => {
            return Err(vec![Refusal::new(
                ".env",
                Place::default(),
                &[],
                format!("the file {why}"),
            )]);
        }
    };
    let mut source = of_text(file, &text, variables)?;
    source.directory = directory;
    Ok(source)
}

/// The names of a file's services, whatever else is in it.
pub(super) fn service_names(project: &Project, file: &str) -> Result<Vec<String>, Vec<Refusal>> {
    let refuse = |why: String| vec![Refusal::new(file, Place::default(), &[], why)];
    let path = inside(Path::new(""), file).map_err(|why| refuse(format!("the path of the Compose file {why}")))?;
    let text = project
        .text(&path)
        .map_err(|why| refuse(format!("the Compose file {why}")))?
        .ok_or_else(|| refuse("there is no such Compose file in the project".to_owned()))?;
    let root = parse_with(file, &text, MergeKeys::Kept)
        .map_err(|found| found.into_iter().map(Refusal::from).collect::<Vec<_>>())?;
    let Value::Map(entries) = &root.value else {
        return Err(refuse("is no Compose file".to_owned()));
    };
    let services = entries.iter().find(|entry| entry.key == "services");
    match services.map(|services| &services.value.value) {
        Some(Value::Map(services)) => Ok(services.iter().map(|service| service.key.clone()).collect()),
        _ => Err(refuse("has no services".to_owned())),
    }
}

/// Reads a Compose file from memory, with these variables.
pub(super) fn of_text(file: &str, text: &str, variables: BTreeMap<String, String>) -> Result<Source, Vec<Refusal>> {
    let mut root = parse_with(file, text, MergeKeys::Kept)
        .map_err(|found| found.into_iter().map(Refusal::from).collect::<Vec<_>>())?;
    let mut filling = Filling {
        file,
        variables: &variables,
        refusals: Vec::new(),
        notes: Vec::new(),
        path: Vec::new(),
    };
    filling.walk(&mut root);
    let Filling {
        refusals, mut notes, ..
    } = filling;
    if !refusals.is_empty() {
        return Err(refusals);
    }
    super::extend::extend(&mut root);
    notes.sort();
    notes.dedup();
    Ok(Source {
        file: file.to_owned(),
        directory: PathBuf::new(),
        root,
        notes,
    })
}

struct Filling<'a> {
    file: &'a str,
    variables: &'a BTreeMap<String, String>,
    refusals: Vec<Refusal>,
    notes: Vec<String>,
    path: Vec<String>,
}

impl Filling<'_> {
    fn walk(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::List(items) => {
                for (at, item) in items.iter_mut().enumerate() {
                    self.path.push(at.to_string());
                    self.walk(item);
                    self.path.pop();
                }
            }
            Value::Map(entries) => {
                self.merge(entries);
                for entry in entries {
                    self.path.push(entry.key.clone());
                    if entry.key.contains('$') {
                        self.refuse(entry.place, "is a key with a variable in it: keys are fixed");
                    }
                    self.walk(&mut entry.value);
                    self.path.pop();
                }
            }
            Value::Text(text) if text.contains('$') => match fill(text, self.variables, 0) {
                Ok((filled, unset)) => {
                    *text = filled;
                    for name in unset {
                        self.notes.push(format!(
                            "the variable {name} is set nowhere in the project: taken as empty"
                        ));
                    }
                }
                Err(why) => self.refuse(node.place, &why),
            },
            _ => {}
        }
    }

    /// `<<` gives what the mapping does not have itself; of several, the first that has it.
    fn merge(&mut self, entries: &mut Vec<Entry>) {
        let Some(at) = entries.iter().position(|entry| entry.key == "<<") else {
            return;
        };
        let merged = entries.remove(at);
        let given = match merged.value.value {
            Value::Map(given) => vec![given],
            Value::List(items) => {
                let mut all = Vec::new();
                for item in items {
                    match item.value {
                        Value::Map(given) => all.push(given),
                        _ => return self.refuse(item.place, "merges what is no mapping"),
                    }
                }
                all
            }
            _ => return self.refuse(merged.place, "merges what is no mapping"),
        };
        for mut given in given {
            // What is merged may itself merge.
            self.merge(&mut given);
            for entry in given {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
    }

    fn refuse(&mut self, place: Place, why: &str) {
        self.refusals.push(Refusal::new(self.file, place, &self.path, why));
    }
}

/// Fills in `$NAME`, `${NAME}` and its forms with `-`, `?` and `+`, and `$$`. Gives the names that are set nowhere.
fn fill(text: &str, variables: &BTreeMap<String, String>, depth: usize) -> Result<(String, Vec<String>), String> {
    if depth > 8 {
        return Err("nests variables too deeply".to_owned());
    }
    let mut filled = String::new();
    let mut unset = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            filled.push('$');
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix('{') {
            let end = closing(after).ok_or("has `${` without its `}`")?;
            let (inner, after) = (&after[..end], &after[end + 1..]);
            let length = name_length(inner);
            let (name, form) = inner.split_at(length);
            if name.is_empty() {
                return Err("has a variable without a name".to_owned());
            }
            let value = variables.get(name);
            let (form, empty_counts) = match form.strip_prefix(':') {
                Some(form) => (form, false),
                None => (form, true),
            };
            let there = value.filter(|value| empty_counts || !value.is_empty());
            let mut chars = form.chars();
            let chosen = match (chars.next(), there) {
                (None, _) if !empty_counts => return Err("has a variable of a form that is none".to_owned()),
                (None, Some(value)) => value.clone(),
                (None, None) => {
                    unset.push(name.to_owned());
                    String::new()
                }
                (Some('-'), Some(value)) | (Some('?'), Some(value)) => value.clone(),
                (Some('-'), None) => {
                    let (default, more) = fill(chars.as_str(), variables, depth + 1)?;
                    unset.extend(more);
                    default
                }
                (Some('?'), None) => {
                    return Err(format!(
                        "needs the variable {name}, which is set nowhere in the project"
                    ));
                }
                (Some('+'), Some(_)) => fill(chars.as_str(), variables, depth + 1)?.0,
                (Some('+'), None) => String::new(),
                _ => return Err("has a variable of a form that is none".to_owned()),
            };
            filled.push_str(&chosen);
            rest = after;
        } else {
            let length = name_length(rest);
            if length == 0 {
                return Err("has a `$` that is neither doubled nor before a name".to_owned());
            }
            let (name, after) = rest.split_at(length);
            match variables.get(name) {
                Some(value) => filled.push_str(value),
                None => unset.push(name.to_owned()),
            }
            rest = after;
        }
        if filled.len() > MOST_TEXT {
            return Err("becomes too long when its variables are filled in".to_owned());
        }
    }
    filled.push_str(rest);
    if filled.len() > MOST_TEXT {
        return Err("is too long".to_owned());
    }
    Ok((filled, unset))
}

fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes.get(at - 1) == Some(&b'$') => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    let mut bytes = text.bytes();
    match bytes.next() {
        Some(first) if first.is_ascii_alphabetic() || first == b'_' => {
            1 + bytes.take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
        }
        _ => 0,
    }
}

/// `NAME=value` lines of an environment file: comments, `export`, single and double quotes as Compose reads them; nothing
/// is filled in, since what it would be filled in from is not the project's.
pub(super) fn variables(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let name = name.trim();
        if name.is_empty() || name_length(name) != name.len() {
            continue;
        }
        found.insert(name.to_owned(), unquoted(value.trim()));
    }
    found
}

fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote)
            && let Some(end) = inner.find(quote)
        {
            return inner[..end].to_owned();
        }
    }
    // An unquoted value ends where a comment begins.
    value.find(" #").map_or(value, |at| &value[..at]).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_from_the_project_alone() {
        let set = variables("A=1\n# B=2\nexport C='x y' # z\nD=\"q\"\nE=v # w\nbad line\n1F=2\n");
        let filled = |text: &str| fill(text, &set, 0).map(|(text, _)| text);
        assert_eq!(filled("$A-${C}-${D}-${E}"), Ok("1-x y-q-v".to_owned()));
        assert_eq!(filled("${B:-${A}}${B-b}${A:+yes}${B:+no}"), Ok("1byes".to_owned()));
        assert_eq!(filled("$$A $${A}"), Ok("$A ${A}".to_owned()));
        assert_eq!(filled("${HOME}x$PATH"), Ok("x".to_owned()));
        for bad in ["${A", "$", "${}", "$(id)", "${A:?", "${B:?needed}", "${A!}", "${A:}"] {
            assert!(filled(bad).is_err(), "{bad}");
        }
    }
}
