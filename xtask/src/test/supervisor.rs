//! Running test programs as their supervisor: what they leave behind comes back to us and can be named.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, WaitOptions};

use super::tally::Tally;
use crate::{Outcome, process};

/// This process as the reaper of everything started below it. A process that was left behind by a test, however it
/// detached itself, becomes our child when its parent ends: so a leak is told apart from what others do on the machine.
pub(crate) struct Supervisor(());

impl Supervisor {
    /// Becomes the reaper.
    pub(crate) fn new() -> Outcome<Supervisor> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|error| format!("cannot become the reaper of left-over processes: {error}"))?;
        Ok(Supervisor(()))
    }

    /// Runs a test program; its output is passed on and counted. Returns the counts and whether it succeeded.
    pub(crate) fn tests(&self, command: &mut Command) -> Outcome<(Tally, bool)> {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start `{}`: {error}", process::describe(command)))?;
        let tally = Arc::new(Mutex::new(Tally::default()));
        let readers: Vec<_> = [
            child.stdout.take().map(|pipe| reader(pipe, Arc::clone(&tally))),
            child.stderr.take().map(|pipe| reader(pipe, Arc::clone(&tally))),
        ]
        .into_iter()
        .flatten()
        .collect();
        let success = self.wait_for(child.id())?;
        // A process that was left behind may hold the pipe open for ever; the audit names it.
        let deadline = Instant::now() + Duration::from_secs(5);
        while !readers.iter().all(std::thread::JoinHandle::is_finished) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let tally = tally.lock().map_err(|_| "a reader of test output failed")?.clone();
        Ok((tally, success))
    }

    /// Waits for one child, reaping whatever else ends meanwhile.
    fn wait_for(&self, child: u32) -> Outcome<bool> {
        loop {
            match rustix::process::wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if pid.as_raw_nonzero().get().unsigned_abs() == child => {
                    return Ok(status.exit_status() == Some(0));
                }
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(format!("cannot wait for process {child}: {error}")),
            }
        }
    }

    /// Reaps what has ended, as the first process of a machine does.
    pub(crate) fn reap(&self) {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
    }

    /// Reaps what has ended; returns the processes that are left below us, with their command lines. Gives them until
    /// the deadline to end by themselves.
    pub(crate) fn left_over(&self, patience: Duration) -> Vec<(u32, String)> {
        let deadline = Instant::now() + patience;
        loop {
            self.reap();
            let left = descendants(std::process::id());
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends one process that was left behind.
    pub(crate) fn end(&self, pid: u32) {
        if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn reader(pipe: impl Read + Send + 'static, tally: Arc<Mutex<Tally>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n') {
            let Ok(line) = line else { return };
            let line = String::from_utf8_lossy(&line);
            eprintln!("{line}");
            if let Ok(mut tally) = tally.lock() {
                tally.read_line(&line);
            }
        }
    })
}

/// Every process below another, with its command line, in no order.
pub(crate) fn descendants(of: u32) -> Vec<(u32, String)> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
            continue;
        };
        // The name is in brackets and may hold anything, brackets too.
        let Some((_, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let mut fields = rest.split(' ');
        let (Some(_state), Some(parent)) = (fields.next(), fields.next().and_then(|field| field.parse::<u32>().ok()))
        else {
            continue;
        };
        parents.push((pid, parent));
    }
    let mut found = vec![of];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(
            parents
                .iter()
                .filter(|(pid, above)| *above == parent && *pid != parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.into_iter().skip(1).map(|pid| (pid, command_line(pid))).collect()
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let line = words.join(" ");
    let line = line.trim();
    if line.is_empty() {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .unwrap_or_default()
            .trim()
            .to_owned()
    } else {
        line.to_owned()
    }
}
