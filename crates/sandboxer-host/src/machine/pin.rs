//! Vouching for a host's key: seen once by whoever adds the host, and kept from then on.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use sandboxer_extension::port::HostCommand;
use sandboxer_model::host::HostAddress;

use super::{MachineError, SshSettings, cert, ssh, verdict};
use crate::local_exec::run_blocking;

/// A key that a host showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownKey {
    /// The line that vouches for it.
    pub line: String,
    /// What people compare: `SHA256:…` and the kind of key.
    pub fingerprint: String,
}

const MOST_BYTES: u64 = 64 * 1024;

/// Asks a host for its key, on the way that connections take, jump hosts included. Nothing is kept.
///
/// # Errors
/// It cannot be reached, or showed no key.
pub fn shown_keys(address: &HostAddress, settings: &SshSettings) -> Result<Vec<ShownKey>, MachineError> {
    cert::make_private(&settings.state_dir)?;
    let shown = settings.state_dir.join(format!("shown{}", std::process::id()));
    let _ = std::fs::remove_file(&shown);
    let mut argv: Vec<String> = vec!["ssh".to_owned()];
    if let Some(file) = &settings.config_file {
        argv.extend(["-F".to_owned(), file.display().to_string()]);
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
        argv.extend(["-o".to_owned(), option.to_owned()]);
    }
    argv.extend(["-o".to_owned(), format!("UserKnownHostsFile={}", shown.display())]);
    argv.extend([
        "-o".to_owned(),
        format!("ConnectTimeout={}", settings.connect_timeout.as_secs().max(1)),
    ]);
    argv.extend(ssh::destination(address, settings)?);
    argv.push("true".to_owned());
    let environment = ["HOME", "PATH", "SSH_AUTH_SOCK", "USER"];
    let asked = run_blocking(&HostCommand {
        argv,
        env: environment
            .iter()
            .filter_map(|name| std::env::var(name).ok().map(|value| ((*name).to_owned(), value)))
            .collect(),
        stdin: Vec::new(),
        timeout: settings.connect_timeout + Duration::from_secs(10),
        output_cap: 64 * 1024,
    })
    .map_err(|error| MachineError::start(address, &error.to_string()))?;
    let text = read(&shown);
    let _ = std::fs::remove_file(&shown);
    let keys: Vec<ShownKey> = text
        .lines()
        .filter(|line| line.split(' ').count() >= 3 && !line.starts_with('#'))
        .filter_map(|line| {
            Some(ShownKey {
                line: line.to_owned(),
                fingerprint: fingerprint(line)?,
            })
        })
        .collect();
    if keys.is_empty() {
        return Err(verdict::of_unlogged(address, &asked.stderr).before_anything());
    }
    Ok(keys)
}

/// Keeps a key from now on, instead of what was kept for the same name before.
///
/// # Errors
/// It cannot be written.
pub fn pin(keys: &[ShownKey], settings: &SshSettings) -> Result<(), MachineError> {
    cert::make_private(&settings.state_dir)?;
    let file = ssh::pins(settings);
    let names: Vec<&str> = keys.iter().filter_map(|key| key.line.split(' ').next()).collect();
    let mut kept: Vec<String> = read(&file)
        .lines()
        .filter(|line| line.split(' ').next().is_some_and(|name| !names.contains(&name)))
        .map(str::to_owned)
        .collect();
    kept.extend(keys.iter().map(|key| key.line.clone()));
    let failed =
        |error: std::io::Error| MachineError::certificate(&format!("cannot write {}: {error}", file.display()));
    let new = file.with_extension(format!("new{}", std::process::id()));
    let mut to = std::fs::File::create(&new).map_err(failed)?;
    to.write_all((kept.join("\n") + "\n").as_bytes()).map_err(failed)?;
    std::fs::rename(&new, &file).map_err(failed)
}

fn read(file: &Path) -> String {
    let mut text = String::new();
    if let Ok(file) = std::fs::File::open(file) {
        let _ = file.take(MOST_BYTES).read_to_string(&mut text);
    }
    text
}

/// As `ssh-keygen -l` prints it.
fn fingerprint(line: &str) -> Option<String> {
    let output = run_blocking(&HostCommand {
        argv: vec![
            "ssh-keygen".to_owned(),
            "-l".to_owned(),
            "-f".to_owned(),
            "-".to_owned(),
        ],
        env: Vec::new(),
        stdin: format!("{line}\n").into_bytes(),
        timeout: Duration::from_secs(10),
        output_cap: 4096,
    })
    .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.split_ascii_whitespace();
    let print = words.find(|word| word.starts_with("SHA256:"))?.to_owned();
    let kind = words.next_back().unwrap_or("").trim_matches(['(', ')']).to_owned();
    Some(format!("{print} ({kind})"))
}
