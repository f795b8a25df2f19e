//! What came of each case, and what must never come of any.

use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

/// Commands that run at once: most of their time goes into starting.
const AT_ONCE: usize = 3;

/// Counts of cases.
#[derive(Default)]
pub(super) struct Tally {
    arrived: AtomicUsize,
    taken: AtomicUsize,
    refused: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    /// One case that arrived as it was.
    pub(super) fn arrived(&self) {
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    /// One case that was taken as data, without a look at how it arrived.
    pub(super) fn taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// One case that was taken as data and has been read back since.
    pub(super) fn read_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        self.arrived();
    }

    /// One case that was refused.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// One case that came to something else.
    pub(super) fn wrong(&self, what: String) {
        self.wrong.lock().expect("no thread failed").push(what);
    }

    /// Runs a command and counts what came of it: refused with an error, or taken. What is taken is looked at by the
    /// caller.
    pub(super) fn run(&self, what: &str, payload: &[u8], command: &mut Command) -> Option<Output> {
        let Ok(output) = command.output() else {
            // No system passes on a NUL byte.
            if payload.contains(&0) || payload.len() > 128 * 1024 {
                self.refused();
            } else {
                self.wrong(format!("{what} could not be started with {payload:?}"));
            }
            return None;
        };
        let shown = || {
            format!(
                "{what} with {:?}: {output:?}",
                String::from_utf8_lossy(&payload[..payload.len().min(200)])
            )
        };
        let stderr = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        if stderr.contains("panicked") || code.is_none_or(|code| code == 1 || code == 101) {
            self.wrong(format!("a bug: {}", shown()));
        } else if stderr
            .chars()
            .any(|c| c != '\n' && c != '\t' && (c.is_control() || is_bidi(c)))
        {
            self.wrong(format!("it steers the terminal: {}", shown()));
        } else if code == Some(0) {
            self.taken();
            return Some(output);
        } else if !stderr.contains("error:") && !stderr.contains("Usage:") {
            self.wrong(format!("no clear error: {}", shown()));
        } else {
            self.refused();
        }
        None
    }

    /// Prints the counts, and fails if anything came of a case that must not.
    #[track_caller]
    pub(super) fn close(self, payloads: usize, positions: usize) {
        let (arrived, refused) = (self.arrived.into_inner(), self.refused.into_inner());
        let taken = self.taken.into_inner();
        let wrong = self.wrong.into_inner().expect("no thread failed");
        eprintln!(
            "{payloads} payloads × {positions} positions = {} cases: {arrived} came back whole, {taken} were taken as data, {refused} refused, {} wrong",
            arrived + taken + refused + wrong.len(),
            wrong.len()
        );
        let first = wrong
            .iter()
            .take(12)
            .map(|one| one.chars().take(900).collect::<String>());
        assert!(wrong.is_empty(), "{}", first.collect::<Vec<_>>().join("\n\n"));
    }
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Does something with each, some at a time.
pub(super) fn each<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

/// Whether some text anywhere in it is this.
pub(super) fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(one) => one == text,
        Value::Array(all) => all.iter().any(|one| holds(one, text)),
        Value::Object(all) => all.values().any(|one| holds(one, text)),
        _ => false,
    }
}
