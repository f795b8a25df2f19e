//! Vouching for a host: its keys as it shows them now are written to our own list of known hosts, and nothing else is
//! accepted from then on.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use sandboxer_extension::port::{HostCommand, HostExec};
use sandboxer_model::host::HostAddress;

use crate::local_exec::LocalExec;
use crate::machine::{SshSettings, pins};

/// Reading the configuration takes no network.
const CONFIG_TIMEOUT: Duration = Duration::from_secs(10);
/// Output of the programs that is looked at.
const OUTPUT_CAP: usize = 256 << 10;
/// The list of known hosts is at most this long.
const LIST_CAP: u64 = 4 << 20;

/// One key that is trusted from now on, as people compare it: `ED25519 SHA256:…`.
pub type Fingerprint = String;

/// Why a host could not be vouched for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// A program did not do what it is for.
    #[error("cannot learn the keys of {host}: {why}")]
    Unlearnt {
        /// Which host.
        host: String,
        /// Why.
        why: String,
    },
    /// Between us and the host is another one, so its keys cannot be asked for directly.
    #[error("cannot learn the keys of {host}: the SSH configuration reaches it through another machine")]
    Indirect {
        /// Which host.
        host: String,
    },
    /// The list could not be written.
    #[error("cannot write {file}: {why}")]
    Unwritten {
        /// Which file.
        file: String,
        /// Why.
        why: String,
    },
}

/// Where `ssh` would connect to, and the name it looks the key up by.
#[derive(Debug, PartialEq, Eq)]
struct Destination {
    hostname: String,
    port: u16,
    known_as: String,
}

/// Trusts the keys a host shows now, in place of those it was trusted for before. This machine needs none.
///
/// # Errors
/// It does not answer, or the list cannot be written; nothing is trusted then.
pub async fn pin(address: &HostAddress, settings: &SshSettings) -> Result<Vec<Fingerprint>, PinError> {
    if address.is_local() {
        return Ok(Vec::new());
    }
    let to = destination(address, settings).await?;
    let unlearnt = |why: &str| PinError::Unlearnt {
        host: address.to_string(),
        why: why.to_owned(),
    };
    let seconds = settings.connect_timeout.as_secs().max(1).to_string();
    let port = to.port.to_string();
    let scan = ["ssh-keyscan", "-T", &seconds, "-p", &port, "--", &to.hostname];
    // One try for each kind of key.
    let shown = run(address, &scan, Vec::new(), settings.connect_timeout * 8).await?;
    let keys = keys(&shown, &to.known_as);
    if keys.is_empty() {
        return Err(unlearnt(&format!("nothing at {} port {port} shows any", to.hostname)));
    }
    let text = keys.concat();
    let listed = run(
        address,
        &["ssh-keygen", "-l", "-f", "-"],
        text.clone().into_bytes(),
        CONFIG_TIMEOUT,
    )
    .await?;
    let prints: Vec<Fingerprint> = listed.lines().filter_map(fingerprint).collect();
    if prints.len() != keys.len() {
        return Err(unlearnt("what it shows are not all keys"));
    }
    let file = pins(settings);
    write(&file, &to.known_as, &text).map_err(|error| PinError::Unwritten {
        file: file.display().to_string(),
        why: error.to_string(),
    })?;
    Ok(prints)
}

async fn destination(address: &HostAddress, settings: &SshSettings) -> Result<Destination, PinError> {
    let HostAddress::Ssh { name, port, .. } = address else {
        return Err(PinError::Indirect {
            host: address.to_string(),
        });
    };
    let mut words: Vec<String> = vec!["ssh".to_owned()];
    if let Some(file) = &settings.config_file {
        words.extend(["-F".to_owned(), file.display().to_string()]);
    }
    if let Some(port) = port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    words.extend(["-G".to_owned(), "--".to_owned(), name.clone()]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let resolved = run(address, &words, Vec::new(), CONFIG_TIMEOUT).await?;
    read_resolved(&resolved).ok_or_else(|| match has_detour(&resolved) {
        true => PinError::Indirect {
            host: address.to_string(),
        },
        false => PinError::Unlearnt {
            host: address.to_string(),
            why: "the SSH configuration does not say where it is".to_owned(),
        },
    })
}

fn value<'t>(resolved: &'t str, key: &str) -> Option<&'t str> {
    let mut pairs = resolved.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(name, _)| *name == key).map(|(_, value)| value.trim())
}

fn has_detour(resolved: &str) -> bool {
    ["proxyjump", "proxycommand"]
        .into_iter()
        .any(|key| value(resolved, key).is_some_and(|value| !value.is_empty() && value != "none"))
}

/// What `ssh -G` says (OpenSSH's `sshconnect.c` looks keys up by the alias, else by name and port).
fn read_resolved(resolved: &str) -> Option<Destination> {
    if has_detour(resolved) {
        return None;
    }
    let hostname = value(resolved, "hostname")?.to_ascii_lowercase();
    let port: u16 = value(resolved, "port")?.parse().ok()?;
    let known_as = match value(resolved, "hostkeyalias") {
        Some(alias) if alias != "none" => alias.to_ascii_lowercase(),
        _ if port == 22 => hostname.clone(),
        _ => format!("[{hostname}]:{port}"),
    };
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"*?!,#".contains(&b));
    (plain(&hostname) && plain(&known_as)).then_some(Destination {
        hostname,
        port,
        known_as,
    })
}

/// Lines for the list, one per key. Hostile data: only kinds and base 64 pass.
fn keys(shown: &str, known_as: &str) -> Vec<String> {
    let mut keys = Vec::new();
    for line in shown.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (Some(kind), Some(key)) = (words.next(), words.next()) else {
            continue;
        };
        let named = |b: u8| b.is_ascii_alphanumeric() || b"-@.".contains(&b);
        let coded = |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b);
        if kind.bytes().all(named) && key.bytes().all(coded) {
            keys.push(format!("{known_as} {kind} {key}\n"));
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

/// `256 SHA256:… name (ED25519)` as `ED25519 SHA256:…`.
fn fingerprint(line: &str) -> Option<Fingerprint> {
    let print = line.split_ascii_whitespace().nth(1)?;
    let kind = line.rsplit_once('(')?.1.strip_suffix(')')?;
    print.starts_with("SHA256:").then(|| format!("{kind} {print}"))
}

async fn run(address: &HostAddress, words: &[&str], stdin: Vec<u8>, timeout: Duration) -> Result<String, PinError> {
    let inherited = ["HOME", "USER"].into_iter();
    let env = inherited.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    let command = HostCommand {
        argv: words.iter().map(|&word| word.to_owned()).collect(),
        env: env.collect(),
        stdin,
        timeout,
        output_cap: OUTPUT_CAP,
    };
    let unlearnt = |why: String| PinError::Unlearnt {
        host: address.to_string(),
        why,
    };
    let output = LocalExec
        .run(command)
        .await
        .map_err(|error| unlearnt(error.to_string()))?;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.code == 0 || !stdout.trim().is_empty() {
        return Ok(stdout);
    }
    let program = words.first().copied().unwrap_or_default();
    let said: String = String::from_utf8_lossy(&output.stderr)
        .lines()
        .rfind(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .unwrap_or("it does not answer")
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    Err(unlearnt(format!("{program}: {said}")))
}

/// Puts the lines in place of those of the same name, whole or not at all.
#[expect(clippy::disallowed_methods, reason = "this is the port")]
fn write(file: &Path, known_as: &str, lines: &str) -> std::io::Result<()> {
    use std::io::Read as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let dir = file.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut text = String::new();
    match std::fs::File::open(file) {
        Ok(open) => {
            open.take(LIST_CAP).read_to_string(&mut text)?;
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let others = text
        .lines()
        .filter(|line| line.split_ascii_whitespace().next() != Some(known_as));
    let mut whole: String = others.map(|line| format!("{line}\n")).collect();
    whole.push_str(lines);
    let draft = dir.join(format!(".known_hosts.{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut open| open.write_all(whole.as_bytes()).and_then(|()| open.sync_all()))
        .and_then(|()| std::fs::rename(&draft, file));
    if written.is_err() {
        let _ = std::fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_what_ssh_looks_it_up_by() {
        let known = |text: &str| read_resolved(text).map(|to| to.known_as);
        assert_eq!(known("hostname Box.example\nport 22\n").as_deref(), Some("box.example"));
        assert_eq!(
            known("hostname 10.0.0.7\nport 2222\n").as_deref(),
            Some("[10.0.0.7]:2222")
        );
        assert_eq!(known("hostname a\nport 2222\nhostkeyalias b\n").as_deref(), Some("b"));
        assert_eq!(known("hostname a\nport 22\nproxyjump gate\n"), None);
        assert_eq!(
            known("hostname a\nport 22\nproxyjump none\nproxycommand none\n").as_deref(),
            Some("a")
        );
        for odd in [
            "hostname *\nport 22\n",
            "hostname a,b\nport 22\n",
            "port 22\n",
            "hostname a\nport x\n",
        ] {
            assert_eq!(known(odd), None, "{odd}");
        }
    }

    #[test]
    fn what_a_host_shows_is_keys_or_nothing() {
        let shown = "# x:22 SSH-2.0\nx ssh-ed25519 AAAA+/=\nx ssh-rsa BB;BB\n* evil\nx\nx ssh-ed25519 AAAA+/=\n";
        assert_eq!(keys(shown, "[x]:7"), ["[x]:7 ssh-ed25519 AAAA+/=\n"]);
        assert_eq!(
            fingerprint("256 SHA256:abc no comment (ED25519)").as_deref(),
            Some("ED25519 SHA256:abc")
        );
        assert_eq!(fingerprint("- is not a public key file."), None);
    }

    #[test]
    fn only_the_lines_of_that_host_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ssh/known_hosts");
        write(&file, "a", "a k 1\n").unwrap();
        write(&file, "b", "b k 2\n").unwrap();
        write(&file, "a", "a k 3\n").unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test reads what was written")]
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text, "b k 2\na k 3\n");
        assert_eq!(std::fs::read_dir(dir.path().join("ssh")).unwrap().count(), 1);
    }
}
