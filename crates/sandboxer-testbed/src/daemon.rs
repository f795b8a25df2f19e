//! The daemons of a host: ending and starting them.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::access::{make, mode, write};
use crate::host::Host;
use crate::plan::{Compose, Plan};
use crate::skip::Unavailable;
use crate::wait;

const AGAIN_WITHIN: Duration = Duration::from_secs(60);

impl Host {
    /// Kills the Docker engine with SIGKILL: it, and the containerd it started. What runs in containers goes on, as on
    /// any machine, until the engine is there again and ends it.
    ///
    /// # Errors
    /// It did not end.
    pub fn kill_dockerd(&self) -> Result<(), Unavailable> {
        self.end_daemon("dockerd", &["dockerd", "containerd"])
    }

    /// Starts the Docker engine again and waits until it answers.
    ///
    /// # Errors
    /// It does not answer.
    pub fn start_dockerd(&self) -> Result<(), Unavailable> {
        self.must(&["/run/testbed/start", "dockerd"])?;
        self.wait_for_docker(AGAIN_WITHIN)
    }

    /// Stops the Docker engine with SIGSTOP, so that whoever asks it waits; or lets it go on.
    ///
    /// # Errors
    /// There is none.
    pub fn freeze_dockerd(&self, frozen: Frozen) -> Result<(), Unavailable> {
        let signal = match frozen {
            Frozen::Yes => "STOP",
            Frozen::No => "CONT",
        };
        self.sh(&format!("kill -{signal} $(cat /run/testbed/dockerd.pid)"))
            .map(drop)
    }

    /// Kills the SSH server and all its sessions with SIGKILL. What they started goes on.
    ///
    /// # Errors
    /// They did not end.
    pub fn kill_sshd(&self) -> Result<(), Unavailable> {
        self.end_daemon("sshd", &["sshd"])
    }

    /// Starts the SSH server again and waits until it answers.
    ///
    /// # Errors
    /// It does not answer.
    pub fn start_sshd(&self) -> Result<(), Unavailable> {
        self.must(&["/run/testbed/start", "sshd"])?;
        self.wait_for_ssh(AGAIN_WITHIN)
    }

    fn end_daemon(&self, daemon: &str, programs: &[&str]) -> Result<(), Unavailable> {
        let script = format!(
            "kill -KILL $(cat /run/testbed/{daemon}.pid); pkill -KILL -x '{}'; :",
            programs.join("|")
        );
        self.sh(&script)?;
        let pattern = programs.join("|");
        let gone = || {
            self.run(&["pgrep", "-x", &pattern])
                .is_ok_and(|output| output.code == 1)
        };
        if wait::until_true(AGAIN_WITHIN, gone) {
            Ok(())
        } else {
            Err(Unavailable::broken(format!("killing {daemon}"), "it is still there"))
        }
    }

    fn docker_socket(&self) -> PathBuf {
        self.file("/run/docker.sock")
    }

    /// What the Docker engine answers at this path of its API.
    pub(crate) fn ask_docker(&self, path: &str) -> Result<serde_json::Value, Unavailable> {
        let answer = ask(&self.docker_socket(), path)
            .and_then(|body| serde_json::from_str(&body).map_err(std::io::Error::other));
        answer.map_err(|error| Unavailable::broken(format!("asking the Docker engine for {path}"), error))
    }

    /// Waits until the Docker engine answers.
    pub(crate) fn wait_for_docker(&self, patience: Duration) -> Result<(), Unavailable> {
        if wait::until_true(patience, || ask(&self.docker_socket(), "/_ping").is_ok()) {
            return Ok(());
        }
        let log = std::fs::read_to_string(self.file("/run/testbed/dockerd.log")).unwrap_or_default();
        // What a program of Go says first when it falls over says most; else its last words do.
        let said: Vec<_> = match log.lines().position(|line| line.starts_with("panic:")) {
            Some(start) => log.lines().skip(start).take(12).collect(),
            None => log.lines().rev().take(5).collect(),
        };
        Err(Unavailable::broken(
            "waiting for the Docker engine of a test host",
            said.join(" | "),
        ))
    }
}

/// Whether a daemon stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// It does not move.
    Yes,
    /// It goes on.
    No,
}

/// The body of the answer to one request. In the first version of HTTP an answer ends with its connection.
fn ask(socket: &Path, path: &str) -> std::io::Result<String> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.0 200") => Ok(body.to_owned()),
        _ => Err(std::io::Error::other(answer)),
    }
}

/// Writes what the first process needs, and the files daemons start with.
pub(crate) fn prepare(folder: &Path, plan: &Plan) -> Result<(), Unavailable> {
    let seed = folder.join("seed");
    let testbed = seed.join("run/testbed");
    make(&testbed.join("outside/latest/meta-data"))?;
    make(&seed.join("etc/containers"))?;
    make(&seed.join("etc/docker"))?;
    write(&folder.join("host.sh"), include_str!("host.sh"))?;
    write(&testbed.join("start"), include_str!("start.sh"))?;
    mode(&testbed.join("start"), 0o755)?;
    write(&testbed.join("resolver.py"), include_str!("resolver.py"))?;
    write(&testbed.join("outside/index.html"), "outside\n")?;
    write(&testbed.join("outside/latest/meta-data/index.html"), "metadata\n")?;
    write(
        &seed.join("etc/resolv.conf"),
        "nameserver 203.0.113.53\noptions timeout:1 attempts:1\n",
    )?;
    write(&seed.join("etc/docker/daemon.json"), "{}\n")?;
    if plan.compose == Compose::Podman {
        write(&seed.join("etc/containers/containers.conf"), CONTAINERS)?;
    }
    Ok(())
}

/// No systemd here, and limits that also a root without the right to raise them can give.
const CONTAINERS: &str = "\
[containers]
default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]
[engine]
cgroup_manager = \"cgroupfs\"
events_logger = \"file\"
";
