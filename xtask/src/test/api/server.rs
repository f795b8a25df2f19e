//! The real program as a server, with a data directory of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::super::Run;
use crate::{Outcome, process, workspace};

/// How long it may take to be there, and to be gone: it sees off those it serves for half a minute.
const PATIENCE: Duration = Duration::from_secs(45);
/// The project of keys that are no administrator's.
const PROJECT: &str = "blue";
/// More than anybody here asks for.
const MANY: &str = "1000000";

/// What a server can reach.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// What this machine reaches.
    Machine,
    /// Itself: no address leads anywhere, and no name means anything.
    Nothing,
}

/// A key of the server.
#[derive(Deserialize)]
pub(super) struct Key {
    /// Its public part.
    pub(super) key_id: String,
    /// The whole.
    pub(super) token: String,
}

#[derive(Deserialize)]
struct Line {
    what: String,
    api: Option<String>,
}

#[derive(Deserialize)]
struct Sandbox {
    sandbox_id: String,
    state: String,
    extension_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Page { items: Vec<Sandbox> },
    All(Vec<Sandbox>),
}

/// A server; it and its folder end with this value, whatever comes of the rest. What else is left the audit finds.
pub(super) struct Server<'a> {
    run: &'a Run,
    /// Everything of it.
    pub(super) folder: PathBuf,
    /// `http://127.0.0.1:…`.
    pub(super) address: String,
    network: Network,
    child: Child,
}

impl<'a> Server<'a> {
    /// Starts one. The quotas of the project are out of the way.
    pub(super) fn start(run: &'a Run, name: &str, network: Network) -> Outcome<Server<'a>> {
        let folder = run.scratch.join(format!("api-{name}"));
        let failed = |error: std::io::Error| format!("cannot make a server in {}: {error}", folder.display());
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let log = File::create(folder.join("log")).map_err(failed)?;
        let mut command = match network {
            Network::Machine => process::command(program()),
            Network::Nothing => {
                let mut command = process::command("unshare");
                let script = "ip link set lo up && exec \"$@\"";
                command.args(["--net", "sh", "-c", script, "sh"]).arg(program());
                command
            }
        };
        run.environment(&mut command);
        command
            .env("HOME", &folder)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .args([
                "--output",
                "json",
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--requests-per-second",
                MANY,
            ])
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log);
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start `{}`: {error}", process::describe(&command)))?;
        let mut server = Server {
            run,
            folder,
            address: String::new(),
            network,
            child,
        };
        server.address = server.wait_for_address()?;
        let limits = ["--max-live", MANY, "--creates-per-second", MANY, "--burst", MANY];
        process::capture(server.ask().args(["projects", "set", PROJECT]).args(limits))?;
        Ok(server)
    }

    fn wait_for_address(&mut self) -> Outcome<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
            let serving = lines.filter(|line| line.what == "serving").find_map(|line| line.api);
            if let Some(address) = serving
                .as_deref()
                .and_then(|all| all.split(' ').find(|one| one.starts_with("http://")))
            {
                return Ok(address.to_owned());
            }
            let is_gone = self.child.try_wait().is_ok_and(|status| status.is_some());
            if is_gone || Instant::now() > deadline {
                return Err(format!("the server did not come up; it said:\n{log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A command that works on its data directory beside it.
    fn ask(&self) -> Command {
        let mut command = process::command(program());
        self.run.environment(&mut command);
        command
            .env("HOME", &self.folder)
            .arg("--data-dir")
            .arg(self.folder.join("data"))
            .args(["--output", "json"]);
        command
    }

    /// Makes a key.
    pub(super) fn key(&self, role: &str) -> Outcome<Key> {
        let mut command = self.ask();
        command.args(["keys", "create", &format!("tests-{role}"), "--role", role]);
        if role != "adm" {
            command.args(["--project", PROJECT]);
        }
        let text = process::capture(&mut command)?;
        serde_json::from_str(&text).map_err(|error| format!("cannot read what `keys create` printed: {error}"))
    }

    /// A command with the same network.
    pub(super) fn beside(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        match self.network {
            Network::Machine => process::command(program),
            Network::Nothing => {
                let mut command = process::command("nsenter");
                let namespace = format!("--net=/proc/{}/ns/net", self.child.id());
                command.arg(namespace).arg("--").arg(program);
                command
            }
        }
    }

    /// What it counted: the text of its `/metrics`.
    pub(super) fn metrics(&self, key: &Key) -> Outcome<String> {
        let failed = |error: std::io::Error| format!("cannot read what the server counted: {error}");
        let mut socket = UnixStream::connect(self.folder.join("data/api.sock")).map_err(failed)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\r\n",
            key.token
        );
        socket.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).map_err(failed)?;
        let _ = socket.shutdown(Shutdown::Both);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        if answer.starts_with("HTTP/1.1 200 ") {
            Ok(answer)
        } else {
            let head = answer.lines().next().unwrap_or("nothing").to_owned();
            Err(format!("cannot read what the server counted: it answered {head}"))
        }
    }

    /// Destroys every sandbox on this machine, and ends the server. Returns what could not be destroyed.
    pub(super) fn end(mut self) -> Outcome<Vec<String>> {
        let text = process::capture(self.ask().arg("list"))?;
        let listed: Listed =
            serde_json::from_str(&text).map_err(|error| format!("cannot read what `list` printed: {error}"))?;
        let (Listed::Page { items } | Listed::All(items)) = listed;
        // What was to go to machines that do not exist cannot be proven gone: it stays on record, as it should.
        let here = |one: &&Sandbox| one.state != "destroyed" && one.extension_id.as_deref() == Some("ext.native");
        let ids: Vec<_> = items.iter().filter(here).map(|one| one.sandbox_id.as_str()).collect();
        let mut left = Vec::new();
        for some in ids.chunks(50) {
            if let Err(error) = process::capture(self.ask().arg("destroy").args(some)) {
                left.push(error);
            }
        }
        self.stop()?;
        Ok(left)
    }

    /// Ends it as a service manager would; an error if it does not end.
    fn stop(&mut self) -> Outcome {
        signal(&self.child, rustix::process::Signal::TERM);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(format!(
            "the server is still there {} s after SIGTERM",
            PATIENCE.as_secs()
        ))
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            signal(&self.child, rustix::process::Signal::KILL);
            let _ = self.child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn program() -> PathBuf {
    workspace::target_dir().join("debug/sandboxer")
}
