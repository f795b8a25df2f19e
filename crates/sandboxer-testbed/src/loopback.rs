//! An SSH server on this machine, for any user: for tests of the connection itself. Whoever runs the test logs in as
//! himself; there is no container engine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::access::{key_pair, make, mode, write};
use crate::command::{find, run};
use crate::skip::Unavailable;
use crate::wait;

/// The server; it ends when this value is dropped, or its owner is killed.
#[derive(Debug)]
pub struct Loopback {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Loopback {
    /// Starts it in a folder, which stays the caller's to remove.
    ///
    /// # Errors
    /// A program is missing; or it did not come up.
    pub fn start(folder: &Path) -> Result<Loopback, Unavailable> {
        let what = "starting an SSH server on this machine";
        let sshd = find("sshd", "openssh-server")?;
        find("setpriv", "util-linux")?;
        if !run(Command::new("id").arg("-nu"), b"")?.is_success() {
            return Err(Unavailable::Nameless);
        }
        make(folder)?;
        mode(folder, 0o700)?;
        key_pair(&folder.join("id_ed25519"))?;
        key_pair(&folder.join("host_key"))?;
        if rustix::process::geteuid().is_root() {
            // The server insists on it when root starts it, and on most machines its service has made it.
            make(Path::new("/run/sshd"))?;
        }
        let key = std::fs::read_to_string(folder.join("host_key.pub")).map_err(|e| Unavailable::broken(what, e))?;
        let key = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        // A port nobody has now may be taken in a moment: then the next.
        for _ in 0..20 {
            let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
            let port = free.map_err(|error| Unavailable::broken(what, error))?.port();
            write(&folder.join("sshd_config"), &server_config(folder, port))?;
            write(&folder.join("known_hosts"), &format!("[127.0.0.1]:{port} {key}\n"))?;
            write(&folder.join("ssh_config"), &client_config(folder, port))?;
            let log = std::fs::File::create(folder.join("sshd.log")).map_err(|e| Unavailable::broken(what, e))?;
            // It forks for nothing before the first client, so what setpriv asks for holds.
            let mut child = Command::new("setpriv")
                .args(["--pdeathsig", "KILL"])
                .arg(&sshd)
                .args(["-D", "-e", "-f"])
                .arg(folder.join("sshd_config"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .map_err(|error| Unavailable::broken(what, error))?;
            let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            let up = wait::until(Duration::from_secs(20), || match child.try_wait() {
                Ok(None) => answers().then_some(true),
                _ => Some(false),
            });
            if up == Some(true) {
                let folder = folder.to_owned();
                return Ok(Loopback { child, folder, port });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        let log = std::fs::read_to_string(folder.join("sshd.log")).unwrap_or_default();
        Err(Unavailable::broken(what, log.trim()))
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A client's configuration file that knows it as `loopback`.
    pub fn ssh_config(&self) -> PathBuf {
        self.folder.join("ssh_config")
    }

    /// The private key that may log in.
    pub fn key(&self) -> PathBuf {
        self.folder.join("id_ed25519")
    }

    /// A file of known hosts with its key.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn server_config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder}/host_key\nPidFile none\n\
         AuthorizedKeysFile {folder}/id_ed25519.pub\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         UsePAM no\nUseDNS no\nStrictModes no\nPrintMotd no\nMaxStartups 200\nMaxSessions 200\n\
         Subsystem sftp internal-sftp\nInclude {folder}/sshd.d/*.conf\n"
    )
}

fn client_config(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "Host loopback\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder}/id_ed25519\n  \
         IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known_hosts\n  StrictHostKeyChecking yes\n"
    )
}
