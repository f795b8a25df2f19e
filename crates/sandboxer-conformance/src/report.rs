//! What came of a run.

use std::fmt;

use crate::trial::{Outcome, Stop};

/// What came of each trial, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Trials that held.
    pub passed: Vec<&'static str>,
    /// Trials that did not, and why.
    pub failed: Vec<(&'static str, String)>,
    /// Trials that could not be tried here, and why. Not passed.
    pub skipped: Vec<(&'static str, String)>,
}

impl Report {
    /// Notes what came of a trial.
    pub fn add(&mut self, name: &'static str, outcome: Outcome) {
        match outcome {
            Ok(()) => self.passed.push(name),
            Err(Stop::Failed(why)) => self.failed.push((name, why)),
            Err(Stop::Skipped(why)) => self.skipped.push((name, why)),
        }
    }

    /// Whether every trial that could be tried held.
    pub fn is_green(&self) -> bool {
        self.failed.is_empty()
    }

    /// For tests: fails with the whole report unless everything held.
    ///
    /// # Errors
    /// At least one trial failed.
    pub fn into_result(self) -> Result<Report, String> {
        if self.is_green() {
            Ok(self)
        } else {
            Err(self.to_string())
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.passed {
            writeln!(f, "trial {name} ... ok")?;
        }
        for (name, why) in &self.skipped {
            writeln!(f, "trial {name} ... skipped: {why}")?;
        }
        for (name, why) in &self.failed {
            writeln!(f, "trial {name} ... FAILED: {why}")?;
        }
        let result = if self.is_green() { "ok" } else { "FAILED" };
        let (passed, failed, skipped) = (self.passed.len(), self.failed.len(), self.skipped.len());
        writeln!(
            f,
            "conformance: {result}. {passed} passed; {failed} failed; {skipped} skipped"
        )
    }
}
