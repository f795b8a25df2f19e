//! Timing one command: from just before it is started until it was reaped.

use std::io::{BufRead as _, Read as _, Seek as _, Write as _};
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
        command.args(words).current_dir("/").stdin(Stdio::null());
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
        self.try_time().unwrap_or_else(|error| Sample {
            nanoseconds: 0,
            stdout: String::new(),
            error: Some(error.to_string()),
        })
    }

    fn try_time(&self) -> std::io::Result<Sample> {
        // Files in memory: unlike pipes they never fill up, and nothing that keeps one open can make us wait.
        let (mut out, mut err) = (memory_file()?, memory_file()?);
        let mut command = self.command();
        command.stdout(out.try_clone()?).stderr(err.try_clone()?);
        let started = Instant::now();
        let status = command.spawn()?.wait()?;
        let nanoseconds = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let stdout = text(&mut out)?;
        let error = if status.success() {
            None
        } else {
            Some(format!("{status}: {}", text(&mut err)?.trim()))
        };
        Ok(Sample {
            nanoseconds,
            stdout,
            error,
        })
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

fn memory_file() -> std::io::Result<std::fs::File> {
    Ok(rustix::fs::memfd_create("output", rustix::fs::MemfdFlags::CLOEXEC)?.into())
}

fn text(file: &mut std::fs::File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
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
