//! What a step is, and the facts backends answer with.

use std::future::Future;
use std::pin::Pin;

use jiff::Timestamp;
use sandboxer_extension::{ExtensionError, Handle, Ready, Removal};
use sandboxer_model::error::UserError;
use sandboxer_store::StoreError;

use super::job::Job;
use crate::host::Around;

/// One step. `act` asks the backend and changes nothing of ours, so it may be asked twice; `apply` turns the fact into
/// our record and asks nobody.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) act: for<'j> fn(&'j Job<'_>) -> Act<'j>,
    pub(crate) apply: fn(&mut Job<'_>, Fact),
    pub(crate) commit: Commit,
}

/// When the outcome of a step is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    /// At once.
    Now,
    /// Together with the next step, where the backend dies with this machine: after a crash of ours the sandbox is
    /// still found and removed by its id alone, and after a loss of power there is nothing to find.
    MayWait,
    /// Together with the next step: this one had no effect outside.
    WithNext,
}

/// A backend being asked.
pub(crate) type Act<'j> = Pin<Box<dyn Future<Output = Result<Fact, ExtensionError>> + Send + 'j>>;

/// What a backend answered.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    /// Nothing was asked.
    Nothing,
    /// It was made.
    Made(Handle),
    /// It is reachable; and what else is on its host, where that was asked.
    Ready(Box<Ready>, Box<Around>),
    /// What its teardown found.
    TornDown(Box<Removal>),
    /// Its guard keeps this deadline.
    Guarded(Timestamp),
}

/// Why a job did not come to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// A step failed for good.
    Failed { step: &'static str, error: ExtensionError },
    /// It was told to stop.
    Cancelled,
    /// Somebody took over; nothing may be done any more.
    Fenced,
    /// The store failed; the journal stays as it is for whoever comes next.
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        match error {
            StoreError::Fenced(_) => Stop::Fenced,
            other => Stop::Store(other),
        }
    }
}

/// A step that asks nobody.
pub(crate) fn nothing<'j>(_: &'j Job<'_>) -> Act<'j> {
    Box::pin(std::future::ready(Ok(Fact::Nothing)))
}

/// A stop that is not handled any further, as users see it.
pub(crate) fn stopped(stop: &Stop, job: &Job<'_>) -> UserError {
    match stop {
        Stop::Failed { error, .. } => crate::error::user_error(error),
        Stop::Cancelled => crate::error::interrupted(),
        Stop::Fenced => StoreError::Fenced(job.record.sandbox.sandbox_id.clone()).into(),
        Stop::Store(error) => error.clone().into(),
    }
}
