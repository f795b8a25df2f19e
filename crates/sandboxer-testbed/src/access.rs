//! Reaching a host over SSH: keys, configuration, pinned host key.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::{Output, must, run};
use crate::host::Host;
use crate::skip::Unavailable;
use crate::wait;

/// The port of its SSH server.
pub const PORT: u16 = 2222;

impl Host {
    /// A client's configuration file that knows the host by its [alias](Host::alias): address, port, user, key, and the
    /// file of known hosts.
    pub fn ssh_config(&self) -> PathBuf {
        self.facts.folder.join("ssh_config")
    }

    /// Where it is without that file: `root@10.213.7.2:2222`.
    pub fn address(&self) -> String {
        format!("root@{}:{PORT}", self.ip())
    }

    /// The private key that may log in.
    pub fn key(&self) -> PathBuf {
        self.facts.folder.join("id_ed25519")
    }

    /// A file of known hosts with its key, by address.
    pub fn known_hosts(&self) -> PathBuf {
        self.facts.folder.join("known_hosts")
    }

    /// Its host key: `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn host_key(&self) -> Result<String, Unavailable> {
        let file = self.facts.folder.join("host_key.pub");
        let text = std::fs::read_to_string(&file).map_err(|error| Unavailable::broken("reading a host key", error))?;
        Ok(text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// A client's configuration file for a way to the host through another port of this machine, with the same alias.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn ssh_config_through(&self, port: u16) -> Result<PathBuf, Unavailable> {
        let file = self.facts.folder.join(format!("ssh_config_{port}"));
        let text = config(&self.facts.folder, &self.facts.alias, "127.0.0.1", port, &self.ip());
        write(&file, &text)?;
        Ok(file)
    }

    /// `ssh -F … alias`, to be completed by a command.
    pub fn ssh(&self) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.ssh_config()).arg(&self.facts.alias);
        command
    }

    /// Runs a command line over SSH.
    ///
    /// # Errors
    /// `ssh` could not be started.
    pub fn over_ssh(&self, line: &str) -> Result<Output, Unavailable> {
        run(self.ssh().arg(line), b"")
    }

    /// Accepts another public key for root: the content of a `.pub` file, or a `cert-authority` line.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn authorize(&self, line: &str) -> Result<(), Unavailable> {
        let script = "cat >>/root/.ssh/authorized_keys";
        must(
            &mut self.program(&["sh", "-c", script]),
            format!("{}\n", line.trim()).as_bytes(),
        )
        .map(drop)
    }

    /// Where its SSH server listens.
    pub fn ssh_socket(&self) -> std::net::SocketAddr {
        std::net::SocketAddr::from(([10, 213, self.facts.number.try_into().unwrap_or(0), 2], PORT))
    }

    /// Waits until the SSH server answers.
    ///
    /// # Errors
    /// It did not in time; with the end of its log.
    pub(crate) fn wait_for_ssh(&self, patience: Duration) -> Result<(), Unavailable> {
        let address = self.ssh_socket();
        let answers = || {
            use std::io::Read as _;
            let connect = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1));
            let mut banner = [0u8; 4];
            connect.is_ok_and(|mut stream| stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-")
        };
        if wait::until_true(patience, answers) {
            return Ok(());
        }
        let log = std::fs::read_to_string(self.file("/run/testbed/sshd.log")).unwrap_or_default();
        Err(Unavailable::broken(
            "waiting for the SSH server of a test host",
            log.trim(),
        ))
    }
}

/// Makes the folder of a host with its keys, and the files its server needs.
pub(crate) fn prepare(folder: &Path) -> Result<(), Unavailable> {
    let seed = folder.join("seed");
    make(&seed.join("root/.ssh"))?;
    make(&seed.join("etc/ssh/testbed"))?;
    private(folder)?;
    private(&seed.join("root/.ssh"))?;
    key_pair(&folder.join("id_ed25519"))?;
    key_pair(&folder.join("host_key"))?;
    copy(&folder.join("id_ed25519.pub"), &seed.join("root/.ssh/authorized_keys"))?;
    copy(&folder.join("host_key"), &seed.join("etc/ssh/testbed/key"))?;
    write(&seed.join("etc/ssh/testbed/sshd_config"), SSHD)
}

/// Writes down where the host is.
pub(crate) fn address(folder: &Path, alias: &str, number: u32) -> Result<(), Unavailable> {
    let ip = format!("10.213.{number}.2");
    let key = std::fs::read_to_string(folder.join("host_key.pub"))
        .map_err(|error| Unavailable::broken("reading a host key", error))?;
    let key: Vec<_> = key.split_whitespace().take(2).collect();
    write(
        &folder.join("known_hosts"),
        &format!("[{ip}]:{PORT} {}\n", key.join(" ")),
    )?;
    write(&folder.join("ssh_config"), &config(folder, alias, &ip, PORT, &ip))
}

/// Many short connections at once are what tests make; a server's own caution against that would be in the way.
const SSHD: &str = "\
Port 2222
HostKey /etc/ssh/testbed/key
PidFile none
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 200
MaxSessions 200
Subsystem sftp internal-sftp
# More may be dropped here, such as authorities for certificates.
Include /etc/ssh/testbed/*.conf
";

fn config(folder: &Path, alias: &str, host: &str, port: u16, key_of: &str) -> String {
    let folder = folder.display();
    format!(
        "Host {alias}\n  HostName {host}\n  Port {port}\n  User root\n  IdentityFile {folder}/id_ed25519\n  \
         IdentitiesOnly yes\n  HostKeyAlias [{key_of}]:{PORT}\n  UserKnownHostsFile {folder}/known_hosts\n  \
         StrictHostKeyChecking yes\n"
    )
}

/// Makes an ed25519 key without a passphrase, and its `.pub`.
pub(crate) fn key_pair(file: &Path) -> Result<(), Unavailable> {
    let mut keygen = Command::new("ssh-keygen");
    keygen
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "testbed", "-f"])
        .arg(file);
    must(&mut keygen, b"").map(drop)
}

pub(crate) fn make(folder: &Path) -> Result<(), Unavailable> {
    std::fs::create_dir_all(folder).map_err(|error| Unavailable::broken(format!("making {}", folder.display()), error))
}

pub(crate) fn write(file: &Path, text: &str) -> Result<(), Unavailable> {
    std::fs::write(file, text).map_err(|error| Unavailable::broken(format!("writing {}", file.display()), error))
}

pub(crate) fn mode(path: &Path, mode: u32) -> Result<(), Unavailable> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|error| Unavailable::broken(format!("changing the mode of {}", path.display()), error))
}

fn private(folder: &Path) -> Result<(), Unavailable> {
    mode(folder, 0o700)
}

fn copy(from: &Path, to: &Path) -> Result<(), Unavailable> {
    std::fs::copy(from, to)
        .map(drop)
        .map_err(|error| Unavailable::broken(format!("copying {}", from.display()), error))
}
