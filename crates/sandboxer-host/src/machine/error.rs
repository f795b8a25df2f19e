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
}

impl MachineError {
    fn new(kind: MachineErrorKind, message: String, hint: Option<String>) -> MachineError {
        MachineError { kind, message, hint }
    }

    pub(crate) fn words() -> MachineError {
        let message = "a word of a host's program holds what none of ours holds".to_owned();
        MachineError::new(MachineErrorKind::Start, message, None)
    }

    pub(crate) fn start(address: &HostAddress, why: &str) -> MachineError {
        MachineError::new(
            MachineErrorKind::Start,
            format!("cannot start a program for {address}: {why}"),
            Some("is OpenSSH's `ssh` installed here?".to_owned()),
        )
    }

    pub(crate) fn certificate(why: &str) -> MachineError {
        MachineError::new(
            MachineErrorKind::Certificate,
            format!("no certificate for hosts could be had: {why}"),
            Some("run SANDBOXER_CERT_COMMAND by hand and see what it prints".to_owned()),
        )
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

    /// What `ssh` printed when it gave up (OpenSSH 9: `ssh.c`, `sshconnect.c`). Hostile data.
    pub(crate) fn of_ssh(address: &HostAddress, stderr: &[u8]) -> MachineError {
        let text = String::from_utf8_lossy(stderr);
        let has = |needle: &str| text.contains(needle);
        let last: String = text
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("no reason was given")
            .chars()
            .filter(|c| !c.is_control())
            .take(300)
            .collect();
        let name = address.name();
        let (kind, hint) = if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            (
                MachineErrorKind::HostKeyChanged,
                Some(format!(
                    "if it was set up anew, pin its key again with `sandboxer hosts add {name} --pin`"
                )),
            )
        } else if has("Host key verification failed") || has("host key is known") || has("key is known for") {
            (
                MachineErrorKind::HostKeyUnknown,
                Some(format!(
                    "vouch for its key once: `sandboxer hosts add {address} --pin`, or `ssh {name}` by hand"
                )),
            )
        } else if has("Permission denied") || has("Too many authentication failures") {
            (
                MachineErrorKind::Denied,
                Some("set SANDBOXER_SSH_USER or SANDBOXER_SSH_KEY, or see your ssh_config and agent".to_owned()),
            )
        } else if has("Bad owner or permissions") || has("Bad configuration") || has("Can't open user config file") {
            (MachineErrorKind::Start, Some("see your ssh_config".to_owned()))
        } else if has("closed by remote host") || has("Broken pipe") || has("not responding") || has("reset by peer") {
            return MachineError::new(
                MachineErrorKind::TimedOut,
                format!("the connection to {address} broke: {last}"),
                None,
            );
        } else {
            (
                MachineErrorKind::Unreachable,
                Some(format!("is it up? try `ssh {name} true`")),
            )
        };
        MachineError::new(kind, format!("cannot reach {address}: {last}"), hint)
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
