//! Why a machine did not do what it was asked to.

use std::time::Duration;

use sandboxer_extension::{ErrorKind, ExtensionError};
use sandboxer_model::host::HostAddress;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MachineErrorKind {
    /// Nobody vouched for its key yet.
    HostKeyUnknown,
    /// Its key is another than the one that was vouched for.
    HostKeyChanged,
    /// It let nobody in.
    Denied,
    /// It cannot be reached.
    Unreachable,
    /// It did not answer in time, or the connection broke: what was done there is unknown.
    TimedOut,
    /// No certificate could be had.
    Certificate,
    /// Our own side could not start.
    Start,
}

/// Why a machine did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MachineError {
    /// What went wrong.
    pub kind: MachineErrorKind,
    /// What was tried, on what, and why it failed.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    nothing_sent: bool,
}

impl MachineError {
    pub(super) fn new(kind: MachineErrorKind, message: String, hint: Option<String>) -> MachineError {
        MachineError {
            kind,
            message,
            hint,
            nothing_sent: false,
        }
    }

    /// Whether it is certain that the machine was asked for nothing: nobody was let in there, or nothing was started
    /// here. Where it is `false`, anything may have been done.
    pub fn nothing_sent(&self) -> bool {
        self.nothing_sent
    }

    /// The same of a call that certainly asked the machine for nothing.
    pub(super) fn before_anything(mut self) -> MachineError {
        self.nothing_sent = true;
        self
    }

    pub(crate) fn words() -> MachineError {
        let message = "a word of a host's program holds what none of ours holds".to_owned();
        MachineError::new(MachineErrorKind::Start, message, None).before_anything()
    }

    /// Nothing was started.
    pub(crate) fn start(address: &HostAddress, why: &str) -> MachineError {
        MachineError::new(
            MachineErrorKind::Start,
            format!("cannot start a program for {address}: {why}"),
            Some("is OpenSSH's `ssh` installed here?".to_owned()),
        )
        .before_anything()
    }

    pub(crate) fn certificate(why: &str) -> MachineError {
        MachineError::new(
            MachineErrorKind::Certificate,
            format!("no certificate for hosts could be had: {why}"),
            Some("run SANDBOXER_CERT_COMMAND by hand and see what it prints".to_owned()),
        )
        .before_anything()
    }

    /// What belongs to host keys cannot be kept or named.
    pub(super) fn keys(file: &std::path::Path, why: &str) -> MachineError {
        MachineError::new(
            MachineErrorKind::Start,
            format!("keys of hosts cannot be kept in {}: {why}", file.display()),
            None,
        )
        .before_anything()
    }

    pub(crate) fn timed_out(address: &HostAddress, after: Duration) -> MachineError {
        let after = match after.as_secs() {
            0 => String::new(),
            seconds => format!(" within {seconds} s"),
        };
        MachineError::new(
            MachineErrorKind::TimedOut,
            format!("{address} did not answer{after}: what was done there is unknown"),
            None,
        )
    }

    /// The time was over before anybody was let in.
    pub(super) fn too_late_to_enter(address: &HostAddress, after: Duration) -> MachineError {
        let seconds = after.as_secs();
        MachineError::new(
            MachineErrorKind::TimedOut,
            format!("{address} let nobody in within {seconds} s: nothing was done there"),
            Some(format!("is it up? try `ssh {} true`", address.name())),
        )
        .before_anything()
    }
}

impl From<MachineError> for ExtensionError {
    fn from(error: MachineError) -> ExtensionError {
        let kind = match error.kind {
            MachineErrorKind::HostKeyUnknown
            | MachineErrorKind::HostKeyChanged
            | MachineErrorKind::Denied
            | MachineErrorKind::Start => ErrorKind::MissingPrerequisite,
            MachineErrorKind::Unreachable | MachineErrorKind::Certificate => ErrorKind::Unavailable,
            MachineErrorKind::TimedOut => ErrorKind::Timeout,
        };
        let told = ExtensionError::new(kind, error.message);
        match error.hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }
}
