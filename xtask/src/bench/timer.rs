//! Timing one command: from just before it is started until it was reaped.

use std::io::{BufRead as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// One command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) argv: Vec<String>,
    #[serde(default)]
    pub(crate) env: Vec<(String, String)>,
    /// As this user instead of the caller.
    #[serde(default)]
    pub(crate) user: Option<u32>,
}

/// What it took and said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) nanoseconds: u64,
    pub(crate) stdout: String,
    pub(crate) error: Option<String>,
}

impl Spec {
    /// A command of the caller.
    pub(crate) fn new(argv: &[&str]) -> Spec {
        Spec {
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            user: None,
        }
    }

    fn command(&self) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut words = self.argv.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        command
            .args(words)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs it to its end and returns what it took, with its output; an error when it failed.
    pub(crate) fn time(&self) -> Sample {
        let mut command = self.command();
        let started = Instant::now();
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                return Sample {
                    nanoseconds: 0,
                    stdout: String::new(),
                    error: Some(error.to_string()),
                };
            }
        };
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let status = child.wait();
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Nothing here says more than a pipe holds; what the command left running may hold the pipes open, so they
        // are read without waiting for their end.
        let stdout = out.map(drain).unwrap_or_default();
        let stderr = err.map(drain).unwrap_or_default();
        let error = match status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(format!("{status}: {}", stderr.trim())),
            Err(error) => Some(error.to_string()),
        };
        Sample {
            nanoseconds,
            stdout,
            error,
        }
    }

    /// Runs it to its end; its output.
    pub(crate) fn output(&self) -> Outcome<String> {
        let sample = self.time();
        match sample.error {
            None => Ok(sample.stdout),
            Some(error) => Err(format!("`{}` failed: {error}", self.argv.join(" "))),
        }
    }
}

fn drain(mut pipe: impl std::os::fd::AsFd + std::io::Read) -> String {
    let _ = rustix::io::ioctl_fionbio(&pipe, true);
    let mut bytes = Vec::new();
    let _ = pipe.by_ref().read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Times commands for a bench that runs elsewhere: one JSON command per line in, one JSON sample per line out.
pub(crate) fn serve() -> Outcome {
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("cannot read a command: {error}"))?;
        let spec: Spec = serde_json::from_str(&line).map_err(|error| format!("cannot read a command: {error}"))?;
        let sample = serde_json::to_string(&spec.time()).map_err(|error| error.to_string())?;
        writeln!(out, "{sample}")
            .and_then(|()| out.flush())
            .map_err(|error| format!("cannot answer: {error}"))?;
    }
    Ok(())
}
