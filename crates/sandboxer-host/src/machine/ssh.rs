//! The command line of `ssh`: the user's configuration, and over it what must be safe.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sandboxer_model::host::HostAddress;

use super::client_log::ClientLog;
use super::option::{self, Percent};
use super::{MachineError, Terminal};

/// How hosts are reached.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// Another configuration file than the user's own.
    pub config_file: Option<PathBuf>,
    /// Login name where the address has none.
    pub user: Option<String>,
    /// Private key.
    pub key: Option<PathBuf>,
    /// A shell command that prints a certificate for that key.
    pub cert_command: Option<String>,
    /// How long reaching a host may take.
    pub connect_timeout: Duration,
    /// Where pinned host keys and certificates are kept.
    pub state_dir: PathBuf,
}

/// Over whatever the configuration says: nothing is asked, nothing is forwarded, host keys are known, and a connection
/// that died is noticed.
const SAFE: &[&str] = &[
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "ControlMaster=no",
    "ControlPath=none",
    "RemoteCommand=none",
    "EscapeChar=none",
    "LogLevel=ERROR",
    "ServerAliveInterval=3",
    "ServerAliveCountMax=2",
];

/// The file of pinned host keys.
pub(crate) fn pins(settings: &SshSettings) -> PathBuf {
    settings.state_dir.join("known_hosts")
}

/// Everything before the remote command.
pub(crate) fn command(
    address: &HostAddress,
    settings: &SshSettings,
    certificate: Option<&Path>,
    log: Option<&ClientLog>,
    terminal: Terminal,
) -> Result<Vec<OsString>, MachineError> {
    let mut words: Vec<OsString> = vec!["ssh".into()];
    if let Some(file) = &settings.config_file {
        words.extend(["-F".into(), file.clone().into_os_string()]);
    }
    words.push(
        match terminal {
            Terminal::Yes => "-tt",
            Terminal::No => "-T",
        }
        .into(),
    );
    for option in SAFE {
        words.extend(["-o".into(), (*option).into()]);
    }
    words.extend(log.iter().flat_map(|log| log.options()));
    let seconds = settings.connect_timeout.as_secs().max(1);
    words.extend(["-o".into(), format!("ConnectTimeout={seconds}").into()]);
    // Ours comes beside those of the user's configuration, which has a say only in its own place.
    let ours = pins(settings);
    let everybodys = Path::new("/etc/ssh/ssh_known_hosts");
    let known = option::files("GlobalKnownHostsFile", &[&ours, everybodys], Percent::Literal)?;
    words.extend(["-o".into(), known]);
    if let Some(key) = &settings.key {
        let key = option::files("IdentityFile", &[key], Percent::Expands)?;
        words.extend(["-o".into(), key, "-o".into(), "IdentitiesOnly=yes".into()]);
    }
    if let Some(file) = certificate {
        let file = option::files("CertificateFile", &[file], Percent::Expands)?;
        words.extend(["-o".into(), file]);
    }
    words.extend(destination(address, settings)?.into_iter().map(OsString::from));
    Ok(words)
}

/// Where to: user, port, and the name behind `--`.
pub(crate) fn destination(address: &HostAddress, settings: &SshSettings) -> Result<Vec<String>, MachineError> {
    let HostAddress::Ssh { user, name, port } = address else {
        return Err(MachineError::words());
    };
    let mut words = Vec::new();
    if let Some(user) = user.as_ref().or(settings.user.as_ref()) {
        words.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.extend(["--".to_owned(), name.clone()]);
    Ok(words)
}
