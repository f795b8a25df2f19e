//! Short-lived certificates of an authority that signs on demand, such as ops-warden's `cert_command`: any shell command
//! whose standard output is exactly one certificate.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sandboxer_extension::port::{Clock as _, HostCommand, HostExecError, SystemClock};
use serde::{Deserialize, Serialize};

use super::{MachineError, SshSettings};
use crate::local_exec::run_blocking;

/// A certificate is renewed when less than this is left of it.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// How long signing may take, in a call that has more time than that.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
/// A certificate is one line of about a kilobyte.
const MOST_BYTES: usize = 64 * 1024;

/// Who we are on hosts, as the authority says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Key ID of the certificate.
    pub key_id: String,
    /// Login names it is good for.
    pub principals: Vec<String>,
    /// When it ends; `None`: never.
    pub valid_until: Option<Timestamp>,
}

/// The certificate to show now, and who it says we are; made or renewed if need be, within this time. `None`: no
/// authority is configured.
pub(crate) fn current(settings: &SshSettings, time: Duration) -> Result<Option<(PathBuf, Identity)>, MachineError> {
    let Some(command) = &settings.cert_command else {
        return Ok(None);
    };
    let digest = sha2_hex(command.as_bytes());
    let name = digest.get(..16).unwrap_or("cert");
    let file = settings.state_dir.join(format!("{name}-cert.pub"));
    let side = settings.state_dir.join(format!("{name}-cert.json"));
    if let Some(identity) = stored(&side)
        && file.is_file()
        && is_good(&identity)
    {
        return Ok(Some((file, identity)));
    }
    let certificate = sign(command, time.min(DEADLINE))?;
    make_private(&settings.state_dir)?;
    write(&file, certificate.as_bytes())?;
    let identity = describe(&file)?;
    if !is_good(&identity) {
        return Err(MachineError::certificate(
            "the certificate that was signed is over, or will be within 5 minutes",
        ));
    }
    write(&side, &serde_json::to_vec(&identity).unwrap_or_default())?;
    Ok(Some((file, identity)))
}

fn is_good(identity: &Identity) -> bool {
    identity
        .valid_until
        .is_none_or(|until| until.duration_since(SystemClock.now()) > EARLY)
}

fn stored(side: &Path) -> Option<Identity> {
    use std::io::Read as _;
    let mut text = Vec::new();
    let file = std::fs::File::open(side).ok()?;
    file.take(MOST_BYTES as u64).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn sign(command: &str, time: Duration) -> Result<String, MachineError> {
    let kept = [
        "HOME",
        "PATH",
        "USER",
        "SSH_AUTH_SOCK",
        "WARDEN_CONFIG",
        "VAULT_ADDR",
        "VAULT_TOKEN",
    ];
    let output = run_blocking(&HostCommand {
        argv: vec!["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()],
        env: kept
            .iter()
            .filter_map(|name| std::env::var(name).ok().map(|value| ((*name).to_owned(), value)))
            .collect(),
        stdin: Vec::new(),
        timeout: time,
        output_cap: MOST_BYTES,
    })
    .map_err(|error| match error {
        HostExecError::Timeout { timeout, .. } => {
            MachineError::certificate(&format!("it did not end within {:.1} s", timeout.as_secs_f64()))
        }
        error @ HostExecError::Start { .. } => MachineError::certificate(&error.to_string()),
    })?;
    if output.code != 0 {
        let why: String = String::from_utf8_lossy(&output.stderr)
            .chars()
            .filter(|c| !c.is_control())
            .take(200)
            .collect();
        return Err(MachineError::certificate(&format!(
            "it ended with code {}: {why}",
            output.code
        )));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.trim_end_matches('\n');
    let kind = line.split(' ').next().unwrap_or("");
    if !kind.ends_with("-cert-v01@openssh.com") || line.contains('\n') || line.split(' ').count() < 2 {
        return Err(MachineError::certificate(
            "it printed something other than one certificate",
        ));
    }
    Ok(format!("{line}\n"))
}

/// What `ssh-keygen -L` says of a certificate (OpenSSH 9.2 prints times in the local zone, so the zone is set).
fn describe(file: &Path) -> Result<Identity, MachineError> {
    let output = run_blocking(&HostCommand {
        argv: vec![
            "ssh-keygen".to_owned(),
            "-L".to_owned(),
            "-f".to_owned(),
            file.display().to_string(),
        ],
        env: vec![("TZ".to_owned(), "UTC".to_owned())],
        stdin: Vec::new(),
        timeout: DEADLINE,
        output_cap: MOST_BYTES,
    })
    .map_err(|error| MachineError::certificate(&error.to_string()))?;
    if output.code != 0 {
        return Err(MachineError::certificate("ssh-keygen cannot read the certificate"));
    }
    read_description(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| MachineError::certificate("ssh-keygen says nothing of who the certificate is for and how long"))
}

fn read_description(text: &str) -> Option<Identity> {
    let (mut key_id, mut valid_until, mut principals) = (None, None, Vec::new());
    let mut in_principals = false;
    for line in text.lines() {
        let line = line.trim();
        if let Some(id) = line.strip_prefix("Key ID: ") {
            key_id = Some(id.trim_matches('"').to_owned());
        } else if let Some(valid) = line.strip_prefix("Valid: ") {
            valid_until = Some(match valid.rsplit_once(" to ") {
                Some((_, "forever")) => None,
                Some((_, until)) => Some(format!("{until}Z").parse().ok()?),
                None if valid == "forever" => None,
                None => return None,
            });
        } else if line.starts_with("Principals:") {
            in_principals = true;
        } else if line.contains(':') {
            in_principals = false;
        } else if in_principals && !line.is_empty() && line != "(none)" {
            principals.push(line.to_owned());
        }
    }
    Some(Identity {
        key_id: key_id?,
        principals,
        valid_until: valid_until?,
    })
}

fn sha2_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    use std::fmt::Write as _;
    let mut hex = String::new();
    for byte in sha2::Sha256::digest(bytes) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// A directory that only we look into.
pub(super) fn make_private(dir: &Path) -> Result<(), MachineError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| MachineError::certificate(&format!("cannot make {}: {error}", dir.display())))
}

/// Replaces a file as one, for us alone.
#[expect(clippy::disallowed_methods, reason = "this is a port")]
fn write(file: &Path, bytes: &[u8]) -> Result<(), MachineError> {
    let failed =
        |error: std::io::Error| MachineError::certificate(&format!("cannot write {}: {error}", file.display()));
    let new = file.with_extension(format!("new{}", std::process::id()));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut to = options.open(&new).map_err(failed)?;
    to.write_all(bytes).map_err(failed)?;
    std::fs::rename(&new, file).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_keygen_prints_is_read() {
        let text = "x-cert.pub:\n        Type: ssh-ed25519-cert-v01@openssh.com user certificate\n        Public key: ED25519-CERT SHA256:a\n        Signing CA: ED25519 SHA256:b (using ssh-ed25519)\n        Key ID: \"agt-x\"\n        Serial: 0\n        Valid: from 2026-01-01T00:00:00 to 2026-01-02T00:00:00\n        Principals: \n                root\n                build\n        Critical Options: (none)\n        Extensions: \n                permit-pty\n";
        let identity = read_description(text).expect("reads");
        assert_eq!(identity.key_id, "agt-x");
        assert_eq!(identity.principals, ["root", "build"]);
        assert_eq!(
            identity.valid_until.map(|at| at.to_string()),
            Some("2026-01-02T00:00:00Z".to_owned())
        );
        let forever = read_description("Key ID: \"a\"\nValid: forever\n").expect("reads");
        assert_eq!(forever.valid_until, None);
        assert_eq!(read_description("Key ID: \"a\"\n"), None);
    }
}
