//! A server of a world, and a client of it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;

use sandboxer_api::request::{CreateSandbox, ExecRequest, ExecResult};
use sandboxer_client::{Address, ApiKey, Client, Settings};
use sandboxer_extension::port::{SystemClock, SystemIds};
use sandboxer_model::id::SandboxId;
use serde_json::Value;

use crate::support::{FAREWELL, World, wait_within};

/// A server.
pub(crate) struct Served {
    pub(crate) world: World,
    pub(crate) key: String,
    pub(crate) address: String,
    pub(crate) client: Client,
    child: Child,
}

impl Served {
    pub(crate) fn start() -> Served {
        let world = World::new();
        let key = world
            .run(&["keys", "create", "root", "--role", "adm", "--output", "json"])
            .json();
        let key = key["token"].as_str().unwrap().to_owned();
        let mut child = world
            .command(&["serve", "--output", "json", "--listen", "127.0.0.1:0"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            let said: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(at) = line.find("http://127.0.0.1:") {
                let text = &line[at..];
                let end = text
                    .find(|c: char| !(c.is_ascii_alphanumeric() || ":/.".contains(c)))
                    .unwrap_or(text.len());
                break text[..end].to_owned();
            }
            assert_ne!(said["level"], "error", "{line}");
        };
        // It goes on saying things, and must never wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let client = client(&address, &key);
        Served {
            world,
            key,
            address,
            client,
            child,
        }
    }

    /// A new sandbox that is ready.
    pub(crate) async fn sandbox(&self, change: impl FnOnce(&mut CreateSandbox)) -> SandboxId {
        let mut request = CreateSandbox {
            profile: Some("profile.native".to_owned()),
            ..CreateSandbox::default()
        };
        change(&mut request);
        let key = format!("key-{}", fastrand::u64(..));
        self.client.create(&request, &key).await.unwrap().sandbox.sandbox_id
    }

    /// Runs a shell program inside.
    pub(crate) async fn sh(&self, id: &SandboxId, program: &str) -> ExecResult {
        let request = ExecRequest {
            argv: ["sh", "-c", program].map(str::to_owned).into(),
            ..ExecRequest::default()
        };
        self.client.exec_to_end(id, &request).await.unwrap()
    }

    /// Waits until nothing inside has this in its command line.
    pub(crate) async fn wait_for_end_of(&self, id: &SandboxId, mark: &str) {
        let deadline = std::time::Instant::now() + crate::support::PATIENCE;
        loop {
            // The looking shell has the mark in its own command line, but for the way it is written there.
            let (first, rest) = mark.split_at(1);
            let look = format!(
                "m={first}''{rest}; grep -laF \"$m\" /proc/[0-9]*/cmdline 2>/dev/null | grep -v \"^/proc/self\" | wc -l"
            );
            let seen = self.sh(id, &look).await;
            // The `grep` itself carries the mark.
            if seen.stdout.trim().parse::<u32>().unwrap() <= 1 {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "`{mark}` still runs: {seen:?}");
        }
    }

    /// What the server holds: threads, descriptors, and zombies among its children.
    pub(crate) fn held(&self) -> (usize, usize, usize) {
        let own = format!("/proc/{}", self.child.id());
        let count = |dir: &str| std::fs::read_dir(format!("{own}/{dir}")).unwrap().count();
        let children = std::fs::read_to_string(format!("{own}/task/{}/children", self.child.id())).unwrap_or_default();
        let zombies = children
            .split_whitespace()
            .filter(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z ")));
        (count("task"), count("fd"), zombies.count())
    }

    /// Resident memory of the server, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Removes a sandbox, and stops the server in order.
    pub(crate) async fn end(mut self, id: &SandboxId) {
        self.client.destroy(id).await.unwrap();
        self.stop();
    }

    pub(crate) fn stop(&mut self) {
        let status = std::process::Command::new("kill")
            .args(["-s", "TERM", &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
        let code = wait_within(FAREWELL, "the server ends", || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status.code()),
            None => Err("it runs".to_owned()),
        });
        assert_eq!(code, Some(0));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A test that failed: the world destroys its sandboxes itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn client(address: &str, key: &str) -> Client {
    let settings = Settings {
        address: Address::parse(address).unwrap(),
        key: Some(ApiKey::new(key).unwrap()),
        authorities: None,
        clock: Arc::new(SystemClock),
        ids: Arc::new(SystemIds),
    };
    Client::new(settings).unwrap()
}

/// Runs a test as a client does.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}
