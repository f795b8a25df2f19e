//! Rules for dependencies, from `deny.toml`: needs neither the network nor another program.

use serde::Deserialize;

use crate::{Outcome, process, workspace};

#[derive(Deserialize)]
struct Rules {
    bans: Bans,
    licenses: Licences,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
}

fn rules() -> Outcome<Rules> {
    toml::from_str(&workspace::read("deny.toml")?).map_err(|error| format!("cannot read deny.toml: {error}"))
}

/// No crate of the ban list is in Cargo.lock, whatever features are on.
pub(super) fn banned_crates() -> Outcome<Vec<String>> {
    let rules = rules()?;
    let lock: Lock =
        toml::from_str(&workspace::read("Cargo.lock")?).map_err(|error| format!("cannot read Cargo.lock: {error}"))?;
    let found = found(&rules.bans.deny, &lock.package);
    if found.is_empty() {
        let (locked, banned) = (lock.package.len(), rules.bans.deny.len());
        Ok(vec![format!(
            "{locked} locked crates, none of the {banned} banned ones"
        )])
    } else {
        Err(found.join("; "))
    }
}

fn found(bans: &[Ban], locked: &[Locked]) -> Vec<String> {
    let hit = |locked: &Locked| {
        let ban = bans.iter().find(|ban| ban.name == locked.name)?;
        Some(format!("{} {} is banned: {}", locked.name, locked.version, ban.reason))
    };
    locked.iter().filter_map(hit).collect()
}

/// Every dependency can be used under a licence of the list.
pub(super) fn licences() -> Outcome<Vec<String>> {
    let allowed = rules()?.licenses.allow;
    let metadata = workspace::Metadata::read()?;
    let mut refused = Vec::new();
    let mut seen = 0;
    for package in metadata.packages.iter().filter(|package| package.source.is_some()) {
        seen += 1;
        let expression = package.license.as_deref().unwrap_or("");
        if !satisfied(expression, &allowed) {
            refused.push(format!("{} {}: `{expression}`", package.name, package.version));
        }
    }
    if refused.is_empty() {
        Ok(vec![format!("{seen} dependencies under allowed licences")])
    } else {
        Err(format!(
            "licences that deny.toml does not allow: {}",
            refused.join("; ")
        ))
    }
}

/// Runs cargo-deny where there is one. What it adds (advisories, sources) needs the network; bans and licences were
/// checked above either way, so its absence is a note and no failure.
pub(super) fn cargo_deny() -> Outcome<Vec<String>> {
    if !process::is_installed("cargo-deny") {
        return Ok(vec![
            "cargo-deny is not installed: advisories were not checked (bans and licences were)".into(),
        ]);
    }
    process::run(workspace::cargo().args(["deny", "--offline", "check", "bans", "licenses", "sources"]))?;
    Ok(Vec::new())
}

/// Whether an SPDX expression can be met with the allowed licences.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens = spaced.split_whitespace().peekable();
    let result = any(&mut tokens, allowed);
    result && tokens.peek().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(tokens: &mut Tokens<'_>, allowed: &[String]) -> bool {
    let mut result = all(tokens, allowed);
    while tokens.next_if_eq(&"OR").is_some() {
        result |= all(tokens, allowed);
    }
    result
}

fn all(tokens: &mut Tokens<'_>, allowed: &[String]) -> bool {
    let mut result = one(tokens, allowed);
    while tokens.next_if_eq(&"AND").is_some() {
        result &= one(tokens, allowed);
    }
    result
}

fn one(tokens: &mut Tokens<'_>, allowed: &[String]) -> bool {
    match tokens.next() {
        Some("(") => {
            let result = any(tokens, allowed);
            result && tokens.next_if_eq(&")").is_some()
        }
        Some(name) => {
            let full = match tokens.next_if_eq(&"WITH").and_then(|_| tokens.next()) {
                Some(exception) => format!("{name} WITH {exception}"),
                None => name.to_owned(),
            };
            allowed.contains(&full)
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licence_expressions() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned);
        let cases = [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("MIT/Apache-2.0", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0", false),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR Apache-2.0) AND LGPL-3.0", false),
            ("(MIT", false),
            ("", false),
        ];
        for (expression, expected) in cases {
            assert_eq!(satisfied(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn a_banned_crate_is_named_with_the_reason() {
        let bans = [Ban {
            name: "rusqlite".into(),
            reason: "one SQLite is enough".into(),
        }];
        let locked = ["serde", "rusqlite"].map(|name| Locked {
            name: name.into(),
            version: "1.0.0".into(),
        });
        assert_eq!(
            found(&bans, &locked),
            ["rusqlite 1.0.0 is banned: one SQLite is enough"]
        );
    }
}
