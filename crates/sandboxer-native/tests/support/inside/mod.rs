//! The part of the payload: what is tried inside a sandbox.

pub(crate) mod calls;
pub(crate) mod files;
pub(crate) mod limits;
pub(crate) mod network;
pub(crate) mod processes;

use std::collections::BTreeMap;

use super::outcome::Outcome;

/// First argument of the payload.
pub(crate) const ARGUMENT: &str = "--inside";

/// What a probe is told: `name=value`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Args(BTreeMap<String, String>);

impl Args {
    /// From the command line.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Args {
        Args(
            words
                .filter_map(|word| {
                    word.split_once('=')
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                })
                .collect(),
        )
    }

    /// A value, or nothing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A number, or 0.
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// Whether a protection is switched off: then destructive probes take a harmless way.
    pub(crate) fn weak(&self) -> bool {
        self.number("weak") == 1
    }
}

/// Runs one probe and prints its outcome. Exit code 0: held.
pub(crate) fn main(name: &str, args: &Args) -> i32 {
    let outcome = match super::table::inside(name) {
        Some(probe) => probe(args),
        None => Outcome::Unclear(format!("no probe `{name}`")),
    };
    println!("{}", outcome.to_line());
    i32::from(!outcome.held())
}
