//! What the end of `ssh` means: 255 is a connection that was never made, one that broke, or the program's own code.

use std::time::Duration;

use sandboxer_model::host::HostAddress;

use super::client_log::{self, Client, Story};
use super::{MachineError, MachineErrorKind, changed_key};

/// What an exit code of `ssh` means; `None`: it is the program's own. `stderr` is hostile data once anybody was let in.
pub(super) fn of_code(address: &HostAddress, code: i32, story: &Story, stderr: &[u8]) -> Option<MachineError> {
    let text = String::from_utf8_lossy(stderr);
    if !story.spoke && code != 0 {
        // It writes there itself only as long as it has not opened its log.
        if let Some(error) = of_start(address, &text, code) {
            // Without a log, a program there may have printed this.
            let is_ours = story.asked || client_log::client() == Client::Unable;
            return Some(if is_ours { error.before_anything() } else { error });
        }
    }
    if code != 255 || (story.was_let_in && story.code == Some(255)) {
        return None;
    }
    Some(if story.was_let_in {
        broken(address, story, &text)
    } else if story.spoke {
        refused(address, &story.said, &text).before_anything()
    } else {
        // A client without a log.
        refused(address, &[], &text)
    })
}

/// What the deadline of a call means.
pub(super) fn of_deadline(address: &HostAddress, after: Duration, story: &Story) -> MachineError {
    if story.spoke && !story.was_let_in {
        MachineError::too_late_to_enter(address, after)
    } else {
        MachineError::timed_out(address, after)
    }
}

/// Why a client that kept no log, and asked the host for nothing, got no answer.
pub(super) fn of_unlogged(address: &HostAddress, stderr: &[u8]) -> MachineError {
    let text = String::from_utf8_lossy(stderr);
    of_start(address, &text, 255).unwrap_or_else(|| refused(address, &[], &text))
}

/// Without a connection: the client did not come so far as to log anything (OpenSSH 9: `ssh.c`, `readconf.c`).
fn of_start(address: &HostAddress, text: &str, code: i32) -> Option<MachineError> {
    let line = |needle: &str| text.lines().find(|line| line.contains(needle)).map(plain);
    let failed = |why: &str, hint: &str| {
        let message = format!("cannot start `ssh` for {address}: {why}");
        MachineError::new(MachineErrorKind::Start, message, Some(hint.to_owned()))
    };
    // The whole line, from its beginning: what a program prints on a host must not look like this by chance.
    if code == 255
        && let Some(line) = line("No user exists for uid ").filter(|line| line.starts_with("No user exists for uid "))
    {
        let uid = line.trim_start_matches("No user exists for uid ");
        return Some(failed(
            &format!("the user id {uid} that this runs as has no name on this machine"),
            "run as a user that is in /etc/passwd: OpenSSH insists on it",
        ));
    }
    if code == 1
        && let Some(line) = line("Couldn't open logfile /proc/")
    {
        return Some(failed(&line, "is /proc mounted, and may this process read its own?"));
    }
    let of_file = [
        "Bad owner or permissions",
        "Bad configuration option",
        "Can't open user config file",
    ];
    let line = of_file.iter().find_map(|needle| line(needle)).filter(|_| code == 255)?;
    Some(failed(&line, "see your ssh_config"))
}

/// It was made, and gave no exit code.
fn broken(address: &HostAddress, story: &Story, stderr: &str) -> MachineError {
    let of_stderr = stderr
        .lines()
        .rev()
        .find(|line| line.starts_with("Connection to ") && line.contains(" closed"));
    let why = story.said.last().map(String::as_str).or(of_stderr).map(plain);
    let message = match why {
        Some(why) => {
            format!("the connection to {address} broke after it was made: {why}; what was done there is unknown")
        }
        None => format!("the program on {address} was ended by a signal there: what was done there is unknown"),
    };
    MachineError::new(MachineErrorKind::TimedOut, message, None)
}

/// It was never made, as far as is known. `said`: by the client; `stderr`: by it, or by the way to the host.
fn refused(address: &HostAddress, said: &[String], stderr: &str) -> MachineError {
    let has = |needle: &str| said.iter().any(|line| line.contains(needle)) || stderr.contains(needle);
    let last_of_way = stderr.lines().rev().find(|line| !line.trim().is_empty()).map(plain);
    let why = match (said.iter().rev().find(|line| !line.trim().is_empty()), last_of_way) {
        (Some(last), Some(way)) => format!("{} ({way})", plain(last)),
        (Some(last), None) => plain(last),
        (None, Some(way)) => way,
        (None, None) => "no reason was given".to_owned(),
    };
    let name = address.name();
    let cannot = |kind: MachineErrorKind, hint: String| {
        MachineError::new(kind, format!("cannot reach {address}: {why}"), Some(hint))
    };
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        changed(address, &why, said, stderr)
    } else if has("Host key verification failed") || has("host key is known") || has("key is known for") {
        let hint = format!("vouch for its key once: `sandboxer hosts add {address} --pin`, or `ssh {name}` by hand");
        cannot(MachineErrorKind::HostKeyUnknown, hint)
    } else if has("Permission denied") || has("Too many authentication failures") {
        let hint = "set SANDBOXER_SSH_USER or SANDBOXER_SSH_KEY, or see your ssh_config and agent";
        cannot(MachineErrorKind::Denied, hint.to_owned())
    } else if has("Bad owner or permissions") || has("Bad configuration") || has("Can't open user config file") {
        cannot(MachineErrorKind::Start, "see your ssh_config".to_owned())
    } else if said.is_empty()
        && (has("closed by remote host") || has("Broken pipe") || has("not responding") || has("reset by peer"))
    {
        // Without a log nobody knows whether it was made.
        let message = format!("the connection to {address} broke: {why}");
        MachineError::new(MachineErrorKind::TimedOut, message, None)
    } else {
        cannot(
            MachineErrorKind::Unreachable,
            format!("is it up? try `ssh {name} true`"),
        )
    }
}

/// Both keys, so that whoever knows the host can compare, and what to do when the new one is right.
fn changed(address: &HostAddress, why: &str, said: &[String], stderr: &str) -> MachineError {
    let lines = said.iter().map(String::as_str).chain(stderr.lines()).map(str::trim_end);
    let pin = format!("`sandboxer hosts add {address} --pin`");
    let (message, hint) = match changed_key::read(lines) {
        Some(key) => (
            format!(
                "cannot reach {address}: its host key changed: {} is pinned (line {} of {}), and it shows {}",
                key.pinned,
                key.line,
                plain(&key.file),
                plain(&key.shown),
            ),
            format!(
                "ask who runs it which is right; if it was set up anew, remove that line and pin its key again with {pin}"
            ),
        ),
        None => (
            format!("cannot reach {address}: its host key changed: {why}"),
            format!("if it was set up anew, pin its key again with {pin}"),
        ),
    };
    MachineError::new(MachineErrorKind::HostKeyChanged, message, Some(hint))
}

/// Without what a terminal would act on, and no longer than a line.
fn plain(line: impl AsRef<str>) -> String {
    let line = line.as_ref().trim();
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}
