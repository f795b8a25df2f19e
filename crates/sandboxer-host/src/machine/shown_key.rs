//! Asking a host for its key, for somebody who vouches for it.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sandboxer_extension::port::{HostCommand, HostExecError};
use sandboxer_model::host::HostAddress;

use super::option::{self, Percent};
use super::{MachineError, SshSettings, cert, fingerprint, ssh, verdict};
use crate::local_exec::run_blocking;

/// A key that a host showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey {
    /// The line that vouches for it.
    pub line: String,
    /// What people compare: `SHA256:…` and the kind of key.
    pub fingerprint: String,
}

/// A host has a handful of keys.
const MOST_BYTES: u64 = 64 * 1024;

static CALLS: AtomicU64 = AtomicU64::new(0);

/// Asks a host for its key, on the way that connections take, jump hosts included. Nothing is kept.
///
/// # Errors
/// It cannot be reached, or showed no key.
pub fn shown_keys(address: &HostAddress, settings: &SshSettings) -> Result<Vec<ShownKey>, MachineError> {
    cert::make_private(&settings.state_dir)?;
    // Of this call alone: another may ask at the same time.
    let number = CALLS.fetch_add(1, Ordering::Relaxed);
    let shown = settings.state_dir.join(format!("shown{}-{number}", std::process::id()));
    let _ = std::fs::remove_file(&shown);
    let mut argv: Vec<OsString> = vec!["ssh".into()];
    if let Some(file) = &settings.config_file {
        argv.extend(["-F".into(), file.clone().into_os_string()]);
    }
    for option in [
        "BatchMode=yes",
        "StrictHostKeyChecking=accept-new",
        "HashKnownHosts=no",
        "GlobalKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "ControlPath=none",
        "ClearAllForwardings=yes",
        "RemoteCommand=none",
        // The key is shown before anybody logs in; who we are does not matter.
        "PreferredAuthentications=none",
    ] {
        argv.extend(["-o".into(), option.into()]);
    }
    argv.extend([
        "-o".into(),
        option::files("UserKnownHostsFile", &[&shown], Percent::Expands)?,
    ]);
    let seconds = settings.connect_timeout.as_secs().max(1);
    argv.extend(["-o".into(), format!("ConnectTimeout={seconds}").into()]);
    argv.extend(ssh::destination(address, settings)?.into_iter().map(OsString::from));
    argv.push("true".into());
    let environment = ["HOME", "PATH", "SSH_AUTH_SOCK", "USER"];
    let asked = run_blocking(&HostCommand {
        argv: argv
            .into_iter()
            .map(|word| word.into_string().map_err(|_| MachineError::words()))
            .collect::<Result<_, _>>()?,
        env: environment
            .iter()
            .filter_map(|name| std::env::var(name).ok().map(|value| ((*name).to_owned(), value)))
            .collect(),
        stdin: Vec::new(),
        timeout: settings.connect_timeout + Duration::from_secs(10),
        output_cap: 64 * 1024,
    })
    .map_err(|error| match error {
        HostExecError::Timeout { timeout, .. } => MachineError::too_late_to_enter(address, timeout),
        error @ HostExecError::Start { .. } => MachineError::start(address, &error.to_string()),
    })?;
    let text = read(&shown);
    let _ = std::fs::remove_file(&shown);
    let keys: Vec<ShownKey> = text
        .lines()
        .filter(|line| line.split(' ').count() >= 3 && !line.starts_with('#'))
        .filter_map(|line| {
            Some(ShownKey {
                line: line.to_owned(),
                fingerprint: fingerprint::of_line(line)?,
            })
        })
        .collect();
    if keys.is_empty() {
        return Err(verdict::of_unlogged(address, &asked.stderr).before_anything());
    }
    Ok(keys)
}

fn read(file: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(file) {
        let _ = file.take(MOST_BYTES).read_to_string(&mut text);
    }
    text
}
