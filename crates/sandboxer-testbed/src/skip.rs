//! What a test does where there can be no such machine.

use std::io::Write as _;

/// Why there is no machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// Namespaces of this kind are for root.
    #[error("only as root")]
    NotRoot,
    /// A program is not installed.
    #[error("no {program} here (package {package})")]
    Missing {
        /// Its name.
        program: &'static str,
        /// What brings it.
        package: &'static str,
    },
    /// SSH, as client and as server, wants to know the name of a user.
    #[error("this user id has no name")]
    Nameless,
    /// It was tried and did not come up. A test does not skip itself for this: it fails.
    #[error("{what}: {why}")]
    Broken {
        /// What was tried.
        what: String,
        /// How it failed.
        why: String,
    },
}

impl Unavailable {
    pub(crate) fn broken(what: impl Into<String>, why: impl std::fmt::Display) -> Unavailable {
        Unavailable::Broken {
            what: what.into(),
            why: why.to_string(),
        }
    }

    /// Whether this machine lacks something, as against something that went wrong.
    pub fn is_a_lack(&self) -> bool {
        !matches!(self, Unavailable::Broken { .. })
    }
}

/// The value, or `None` after the skip was written down. Used by [`or_skip!`](crate::or_skip).
///
/// # Panics
/// When the machine should have come up and did not: that is a failure, not a reason to skip.
#[expect(clippy::panic, reason = "called by tests only")]
pub fn value_or_note<T>(name: &str, result: Result<T, Unavailable>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(lack) if lack.is_a_lack() => {
            note(name, &lack);
            None
        }
        Err(broken) => panic!("{broken}"),
    }
}

fn note(name: &str, lack: &Unavailable) {
    let line = format!("{name}: {lack}\n");
    let log = std::env::var_os("SBX_SKIP_LOG");
    let written = log.is_some_and(|log| {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(log);
        file.is_ok_and(|mut file| file.write_all(line.as_bytes()).is_ok())
    });
    if !written {
        println!("SKIPPED: {line}");
    }
}

/// The value of a `Result<_, Unavailable>`, or a return from the test after its skip was written down.
///
/// ```no_run
/// # use sandboxer_testbed::{Host, Plan, or_skip};
/// let host = or_skip!("a container answers", Host::start(Plan::default()));
/// ```
#[macro_export]
macro_rules! or_skip {
    ($name:expr, $result:expr) => {
        match $crate::skip::value_or_note($name, $result) {
            Some(value) => value,
            None => return,
        }
    };
}
