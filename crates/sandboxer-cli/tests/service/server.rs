//! A server of a world: started, spoken to, looked at, killed and stopped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use serde_json::Value;

use crate::http::{Ask, Reply, send};
use crate::support::{World, wait_until};

/// Nobody is slowed down by a limit for each key.
pub(crate) const FREE: [&str; 2] = ["--requests-per-second", "1000000"];

/// One server.
pub(crate) struct Server {
    child: Child,
    /// Its first address; what listens on no port has none.
    pub(crate) address: SocketAddr,
    /// What it says.
    pub(crate) log: PathBuf,
}

/// What a process holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holds {
    pub(crate) files: usize,
    pub(crate) threads: usize,
    pub(crate) resident_kib: usize,
}

impl Server {
    /// One that listens on some port, with more arguments.
    pub(crate) fn start(world: &World, more: &[&str]) -> Server {
        Server::start_with(world, &[&["--listen", "127.0.0.1:0"], more].concat(), &[])
    }

    /// One with these arguments and variables, once it serves.
    pub(crate) fn start_with(world: &World, args: &[&str], env: &[(&str, &str)]) -> Server {
        let mut server = Server::launch(world, args, env);
        let line = wait_until("it serves", || {
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("it ended with {status}: {}", server.says());
            }
            server.line("serving").ok_or_else(|| server.says())
        });
        let mut addresses = line["api"].as_str().unwrap().split(' ');
        let tcp = addresses.find_map(|one| one.split_once("://").map(|(_, address)| address.parse().unwrap()));
        server.address = tcp.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        server
    }

    /// One that may never come to serve.
    pub(crate) fn launch(world: &World, args: &[&str], env: &[(&str, &str)]) -> Server {
        let number = std::fs::read_dir(world.path()).unwrap().count();
        let log = world.path().join(format!("server-{number}.log"));
        let file = std::fs::File::create(&log).unwrap();
        let child = world
            .command(&[&["serve", "--output", "json"], args].concat())
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        let address = SocketAddr::from(([0, 0, 0, 0], 0));
        Server { child, address, log }
    }

    /// Everything it said.
    pub(crate) fn says(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// The first line of a kind.
    pub(crate) fn line(&self, what: &str) -> Option<Value> {
        let text = self.says();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.into_iter().find(|line| line["what"] == what)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end; its exit code, or nothing where a signal ended it.
    pub(crate) fn end(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Tells it to stop, which must go well.
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.end(), Some(0));
    }

    /// Sends one request.
    pub(crate) async fn ask(&self, ask: &Ask) -> Reply {
        send(self.address, ask).await.unwrap()
    }

    /// What it holds now.
    pub(crate) fn holds(&self) -> Holds {
        let process = PathBuf::from(format!("/proc/{}", self.pid()));
        let status = std::fs::read_to_string(process.join("status")).unwrap();
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        Holds {
            files: std::fs::read_dir(process.join("fd")).unwrap().count(),
            threads: figure("Threads:"),
            resident_kib: figure("VmRSS:"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test that failed leaves none behind; one that went well has ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a key and returns its token.
pub(crate) fn key(world: &World, name: &str, role: &str, project: Option<&str>) -> String {
    let mut words = vec!["keys", "create", name, "--role", role, "--output", "json"];
    words.extend(project.iter().flat_map(|project| ["--project", project]));
    world.run(&words).json()["token"].as_str().unwrap().to_owned()
}

/// Lets a project make as many sandboxes as it likes.
pub(crate) fn unbound(world: &World, project: &str) {
    let words = [
        "projects",
        "set",
        project,
        "--max-live",
        "100000",
        "--creates-per-second",
        "100000",
        "--burst",
        "100000",
    ];
    assert_eq!(world.run(&words).code, 0);
}

/// Lets this process, and those that it starts, open so many files.
///
/// # Errors
/// How many it may open, which is fewer.
pub(crate) fn may_open(files: u64) -> Result<(), u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    limit.maximum = limit.maximum.map(|maximum| maximum.max(files));
    limit.current = Some(files);
    setrlimit(Resource::Nofile, limit).map_err(|_| getrlimit(Resource::Nofile).current.unwrap_or(0))
}
