//! House rules about files: words that may not appear, crates the map must name, files that grew too long.

use std::path::Path;

use crate::{Outcome, workspace};

/// A file that says more than this many lines before its tests is asked to become two.
const LONG: usize = 450;

/// Words that may not appear, with why. Written in two halves so that this file does not trip over itself.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("/wo", "rk/", "a path of somebody's machine"),
    ("../sha", "red", "a path outside the repository"),
    ("to", "do!(", "unfinished code"),
    ("unimple", "mented!(", "unfinished code"),
    ("FIX", "ME", "unfinished code"),
    ("<<<<", "<<< ", "a merge conflict"),
];

/// No tracked text file holds a forbidden word.
pub(super) fn forbidden() -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let files = workspace::tracked_files()?;
    for file in &files {
        // What is not text is not searched.
        let Ok(text) = std::fs::read_to_string(workspace::root().join(file)) else {
            continue;
        };
        found.extend(words_in(file, &text));
        found.extend(source_outside(file, &text));
    }
    if found.is_empty() {
        Ok(vec![format!("{} files searched", files.len())])
    } else {
        Err(found.join("; "))
    }
}

/// A snapshot names the test it came from; where the build directory lies elsewhere, by a path of that machine.
fn source_outside(file: &Path, text: &str) -> Option<String> {
    let is_snapshot = file.extension().is_some_and(|extension| extension == "snap");
    let source = text.lines().find_map(|line| line.strip_prefix("source: "))?;
    (is_snapshot && source.contains("..")).then(|| format!("{}: its source is {source}", file.display()))
}

fn words_in(file: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (first, second, why) in FORBIDDEN {
            let word = format!("{first}{second}");
            let hit = line.match_indices(&word).any(|(at, _)| {
                // With a name before it, it is the tail of another path.
                let before = line[..at].chars().next_back();
                !(word.starts_with('/') && before.is_some_and(|c| c.is_alphanumeric() || "_.})>-$*".contains(c)))
            });
            if hit {
                found.push(format!("{}:{}: `{word}`: {why}", file.display(), number + 1));
            }
        }
    }
    found
}

/// README and ARCHITECTURE name every crate.
pub(super) fn crates_are_on_the_map() -> Outcome<Vec<String>> {
    let metadata = workspace::Metadata::read()?;
    let mut missing = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = workspace::read(document)?;
        let absent = metadata.members().filter(|package| !text.contains(&package.name));
        missing.extend(absent.map(|package| format!("{document} does not name {}", package.name)));
    }
    if missing.is_empty() {
        Ok(Vec::new())
    } else {
        Err(missing.join("; "))
    }
}

/// Notes source files that are too long to be one thing. A note, not a failure: some tables are long.
pub(super) fn long_files() -> Outcome<Vec<String>> {
    let mut notes = Vec::new();
    for file in workspace::tracked_files()? {
        let in_sources = file.components().any(|part| part.as_os_str() == "src");
        if !in_sources || file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let lines = workspace::read(&file)?
            .lines()
            .take_while(|line| *line != "#[cfg(test)]")
            .count();
        if lines > LONG {
            notes.push(format!(
                "warning: {} has {lines} lines apart from tests (> {LONG})",
                file.display()
            ));
        }
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_word_is_found_and_a_similar_path_is_not() {
        let path = format!("/{}/", "work");
        let file = Path::new("a.rs");
        assert_eq!(words_in(file, &format!("let x = \"{path}main\";")).len(), 1);
        assert_eq!(words_in(file, &format!("see {path}main")).len(), 1);
        assert!(words_in(file, &format!("upper{path}x and {{dir}}{path}x")).is_empty());
    }
}
