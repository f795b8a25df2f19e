//! The real binary as a server: it keeps house beside other commands, survives being killed, and stops in order.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test fails by it, and starts the real program"
)]

mod support;

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{FAREWELL, PATIENCE, World, wait_until, wait_within};

/// A server of a world, and the lines it says.
struct Server {
    child: Child,
    lines: mpsc::Receiver<Value>,
    /// What it said before it served: its first turn need not wait for that.
    early: RefCell<Vec<Value>>,
}

impl Server {
    fn start(world: &World, env: &[(&str, &str)]) -> Server {
        let mut child = world
            .command(&["serve", "--output", "json"])
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let value = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if tell.send(value).is_err() {
                    return;
                }
            }
        });
        let mut early = Vec::new();
        loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) if line["what"] == "serving" => break,
                Ok(line) => early.push(line),
                Err(error) => {
                    let _ = child.kill();
                    panic!("it does not serve: {error}; {early:?}")
                }
            }
        }
        let early = RefCell::new(early);
        Server { child, lines, early }
    }

    /// Waits for a line of this kind, and returns it.
    fn until(&self, what: &str) -> Value {
        self.until_within(PATIENCE, what)
    }

    /// The same for what comes later.
    fn until_within(&self, patience: Duration, what: &str) -> Value {
        let mut early = self.early.borrow_mut();
        if let Some(place) = early.iter().position(|line| line["what"] == what) {
            return early.remove(place);
        }
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(patience) {
                Ok(line) if line["what"] == what => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("`{what}` was not said: {error}; {seen:?}"),
            }
        }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = std::process::Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end; its exit code.
    fn end(mut self) -> Option<i32> {
        wait_within(FAREWELL, "the server ends", || match self.child.try_wait().unwrap() {
            Some(status) => Ok(status.code()),
            None => Err("it runs".to_owned()),
        })
    }
}

/// A test that fails leaves no server behind.
impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn state(world: &World, id: &str) -> String {
    world
        .run(&["list", "--all", "--output", "json"])
        .json()
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["sandbox_id"] == id)
        .map_or_else(String::new, |one| one["state"].as_str().unwrap().to_owned())
}

#[test]
fn what_commands_make_is_kept_to_its_time_and_a_stopped_server_leaves_in_order() {
    let world = World::new();
    let server = Server::start(&world, &[]);
    let id = world.create(&["--ttl", "2s"]);
    let line = server.until("expired");
    assert_eq!(
        (line["on"].as_str(), line["reconciler"].as_str()),
        (Some(id.as_str()), Some("expire_ttl"))
    );
    assert_eq!(state(&world, &id), "destroyed");
    server.signal("TERM");
    server.until("stopping");
    server.until("stopped");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn a_server_that_is_killed_loses_nothing_and_the_next_goes_on() {
    let world = World::new();
    let server = Server::start(&world, &[]);
    let id = world.create(&["--ttl", "3s"]);
    server.signal("KILL");
    assert_eq!(server.end(), None);
    let server = Server::start(&world, &[]);
    wait_until("it is gone", || match state(&world, &id).as_str() {
        "destroyed" => Ok(()),
        other => Err(other.to_owned()),
    });
    let status = world.run(&["status", "--check", "--output", "json"]).json();
    assert_eq!(status["problems"], serde_json::json!([]));
    server.signal("INT");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn what_an_interrupted_command_left_is_undone_at_once() {
    let world = World::new();
    let server = Server::start(&world, &[]);
    let answer = world.run_with(
        &["create", "--profile", "profile.native"],
        &[("SBX_CRASH_AT", "create.provision.after_effect")],
    );
    assert_eq!(answer.code, -9, "{answer:?}");
    let line = server.until("undone");
    assert_eq!(line["reconciler"], "recover_operations");
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn what_is_killed_from_outside_is_noticed_without_a_reader() {
    let world = World::new();
    let id = world.create(&["--ttl", "1h"]);
    let record = world.run(&["explain", &id, "--output", "json"]).json();
    let pid = first_process(&record);
    let killed = std::process::Command::new("kill")
        .args(["-s", "KILL", &pid])
        .status()
        .unwrap();
    assert!(killed.success());
    // The first look comes right after the start of the server, the next one half a minute later.
    let note = world.data.join("native/sb").join(&id).join("ended.json");
    wait_until("its keeper notes its end", || {
        note.exists().then_some(()).ok_or_else(|| note.display().to_string())
    });
    let server = Server::start(&world, &[]);
    server.until("left open");
    let status = world.run(&["status", "--output", "json"]).json();
    assert_eq!(status["sandboxes"]["ready"], 1, "one look is not enough: {status}");
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    // A reader takes its second look at once.
    assert_eq!(world.run(&["get", &id, "--output", "json"]).json()["state"], "failed");
    world.destroy(&id);
}

fn first_process(explanation: &Value) -> String {
    let text = explanation["location"]["observed"].as_str().unwrap();
    text.rsplit(' ').next().unwrap().to_owned()
}

/// After which time the unused is removed.
const IDLE: Duration = Duration::from_secs(2);
/// How long that may take: a turn, and the next two.
const REAPED: Duration = Duration::from_secs(45);

#[test]
fn the_unused_is_removed_and_a_running_command_keeps_its_sandbox() {
    let world = World::new();
    let profile = world.write(
        "idle.yaml",
        format!(
            "id: profile.idle\nextension: ext.native\nttl: {{ default: 1h, max: 2h, idle_reap: {}s }}\n",
            IDLE.as_secs()
        ),
    );
    let make = || {
        let answer = world.run(&["create", "--profile", profile.to_str().unwrap()]).json();
        answer["sandbox_id"].as_str().unwrap().to_owned()
    };
    let (idle, busy) = (make(), make());
    assert_eq!(world.run(&["exec", "--detach", &busy, "--", "sleep", "600"]).code, 0);
    // Both are unused for long enough when the first turn comes; the next one is a quarter of a minute later.
    let is_idle = Instant::now() + IDLE + Duration::from_millis(500);
    while let Some(wait) = is_idle.checked_duration_since(Instant::now()) {
        std::thread::park_timeout(wait);
    }
    let server = Server::start(&world, &[]);
    let line = server.until_within(REAPED, "reaped idle");
    assert_eq!(line["on"].as_str(), Some(idle.as_str()));
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    assert_eq!(state(&world, &busy), "active");
    world.destroy(&busy);
}

#[test]
fn a_service_manager_hears_of_it() {
    let world = World::new();
    let path = world.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let server = Server::start(&world, &env);
    // It is alive before it is ready.
    let (mut signs, mut is_ready) = (0, false);
    while signs < 3 || !is_ready {
        match heard().as_str() {
            "WATCHDOG=1" => signs += 1,
            "READY=1" => is_ready = true,
            _ => {}
        }
    }
    server.signal("TERM");
    while heard() != "STOPPING=1" {}
    assert_eq!(server.end(), Some(0));
}

#[test]
fn status_shows_who_serves_and_fails_when_told_to_check_what_is_stuck() {
    let world = World::new();
    let before = world.run(&["status", "--output", "json"]).json();
    assert_eq!(before["served_by"], Value::Null);
    assert!(!world.data.exists(), "a look makes nothing");
    let server = Server::start(&world, &[]);
    wait_until("it shows", || {
        let status = world.run(&["status", "--output", "json"]).json();
        let all = status["reconcilers"].as_array().unwrap().clone();
        if status["served_by"].is_string() && all.iter().all(|one| one["last"].is_object()) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    let table = world.run(&["status", "--output", "table"]);
    for name in [
        "recover_operations",
        "expire_ttl",
        "idle_reap",
        "observe_backends",
        "reap_orphans",
        "probe_hosts",
    ] {
        assert!(table.stdout.contains(name), "{table:?}");
    }
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
}
