//! A machine that programs run on: this one, or another over SSH.
//!
//! Each call over SSH is one process of the system's own `ssh` and one connection: the user's configuration, keys, agent,
//! certificates and jump hosts work as they do by hand, and there is no shared connection that could hang for everybody.

mod attach;
mod cert;
mod changed_key;
mod child;
mod client_log;
mod error;
mod fingerprint;
mod option;
mod pin;
mod shown_key;
mod ssh;
mod talk;
mod verdict;

pub use attach::{AttachIo, Attached, Terminal};
pub use cert::Identity;
pub use error::{MachineError, MachineErrorKind};
pub use pin::pin;
pub use shown_key::{ShownKey, shown_keys};
pub use ssh::SshSettings;
pub use talk::Talk;

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;
use std::time::Duration;

use client_log::{ClientLog, Story};
use sandboxer_extension::port::{Clock as _, HostCommand, HostExecError, HostOutput, SystemClock};
use sandboxer_model::host::HostAddress;

use crate::{local_exec, quote};

/// A program for a machine: `/bin/sh -c TEXT sh WORDS…`. The text is ours and fixed; the words are our ids and numbers.
/// What a user said travels on standard input.
#[derive(Debug, Clone)]
pub struct Program {
    /// The program.
    pub text: Cow<'static, str>,
    /// Its words; letters, digits and `._/:@=,-` only.
    pub words: Vec<String>,
    /// It and everything it started there is ended after this time.
    pub timeout: Duration,
    /// Bytes kept of what it prints.
    pub output_cap: usize,
}

/// A machine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Machine {
    address: HostAddress,
    settings: Arc<SshSettings>,
}

/// How much longer than the program's own time we wait for its answer.
const GRACE: Duration = Duration::from_millis(500);

impl Machine {
    /// The machine at this address. Touches nothing.
    pub fn at(address: &HostAddress, settings: &Arc<SshSettings>) -> Machine {
        Machine {
            address: address.clone(),
            settings: Arc::clone(settings),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &HostAddress {
        &self.address
    }

    /// Who we are there, where an authority says so.
    pub fn identity(&self) -> Option<Identity> {
        if self.address.is_local() {
            return None;
        }
        cert::current(&self.settings, cert::DEADLINE)
            .ok()
            .flatten()
            .map(|(_, identity)| identity)
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// The machine could not be reached, or did not answer in time.
    pub async fn run(&self, program: Program, stdin: Vec<u8>) -> Result<HostOutput, MachineError> {
        let machine = self.clone();
        let outcome = tokio::task::spawn_blocking(move || machine.run_blocking(&program, stdin)).await;
        outcome.unwrap_or_else(|error| Err(MachineError::start(&self.address, &error.to_string())))
    }

    fn run_blocking(&self, program: &Program, stdin: Vec<u8>) -> Result<HostOutput, MachineError> {
        let time = Time::of(program.timeout + GRACE);
        let log = self.log();
        let argv = self.command_line(program, &[], log.as_ref(), &time, Terminal::No)?;
        let command = HostCommand {
            argv: argv
                .into_iter()
                .map(|word| word.into_string().map_err(|_| MachineError::words()))
                .collect::<Result<_, _>>()?,
            env: self.environment(),
            stdin,
            timeout: time.left(),
            output_cap: program.output_cap,
        };
        let ended = local_exec::run_blocking(&command);
        let story = log.map(|log| log.story()).unwrap_or_default();
        match ended {
            Ok(output) => match self.classify(output.code, &story, &output.stderr) {
                Some(error) => Err(error),
                None => Ok(output),
            },
            Err(HostExecError::Timeout { .. }) => Err(verdict::of_deadline(&self.address, time.whole, &story)),
            Err(error) => Err(MachineError::start(&self.address, &error.to_string())),
        }
    }

    /// Starts a program and talks with it.
    ///
    /// # Errors
    /// It could not be started. That the machine cannot be reached shows when it is read from.
    pub async fn talk(&self, program: Program) -> Result<Talk, MachineError> {
        let machine = self.clone();
        let started = tokio::task::spawn_blocking(move || {
            let time = Time::of(program.timeout + GRACE);
            let log = machine.log();
            let argv = machine.command_line(&program, &[], log.as_ref(), &time, Terminal::No)?;
            Talk::start(&machine, &argv, &program, log, &time)
        });
        let started = started.await;
        started.unwrap_or_else(|error| Err(MachineError::start(&self.address, &error.to_string())))
    }

    /// Runs a program with these descriptors as its standard ones, for commands inside sandboxes. `argv` follows its
    /// words, and may hold any bytes but NUL.
    ///
    /// # Errors
    /// It could not be started.
    pub fn attach(&self, program: &Program, argv: &[Vec<u8>], io: AttachIo) -> Result<Attached, MachineError> {
        let log = self.log();
        // Commands inside have no deadline; a certificate for them has its own.
        let time = Time::of(if argv.is_empty() {
            program.timeout
        } else {
            Duration::MAX
        });
        let line = self.command_line(program, argv, log.as_ref(), &time, io.terminal)?;
        Attached::start(self, &line, io, log)
    }

    /// What `ssh` will log of one call.
    fn log(&self) -> Option<ClientLog> {
        if self.address.is_local() {
            None
        } else {
            ClientLog::start()
        }
    }

    /// The whole command line on our side.
    fn command_line(
        &self,
        program: &Program,
        argv: &[Vec<u8>],
        log: Option<&ClientLog>,
        time: &Time,
        terminal: Terminal,
    ) -> Result<Vec<OsString>, MachineError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._/:@=,-".contains(&b);
        if !program.words.iter().all(|word| word.bytes().all(plain)) {
            return Err(MachineError::words());
        }
        // Commands inside have no time of their own: they end with their caller or their sandbox.
        let limit = if argv.is_empty() {
            vec![
                "timeout".into(),
                "-k".into(),
                "2".into(),
                format!("{:.3}", program.timeout.as_secs_f64()).into(),
            ]
        } else {
            Vec::new()
        };
        let mut words: Vec<Vec<u8>> = limit;
        words.extend([
            b"/bin/sh".to_vec(),
            b"-c".to_vec(),
            program.text.as_bytes().to_vec(),
            b"sh".to_vec(),
        ]);
        words.extend(program.words.iter().map(|word| word.clone().into_bytes()));
        words.extend(argv.iter().cloned());
        if self.address.is_local() {
            return Ok(words.into_iter().map(OsString::from_vec).collect());
        }
        // The login shell there reads one line, whatever shell it is.
        let mut line = b"exec".to_vec();
        for word in &words {
            line.push(b' ');
            line.extend(quote::shell(word).map_err(|_| MachineError::words())?);
        }
        let certificate = cert::current(&self.settings, time.left())?;
        let certificate = certificate.as_ref().map(|(file, _)| file.as_path());
        let mut command = ssh::command(&self.address, &self.settings, certificate, log, terminal)?;
        command.push(OsString::from_vec(line));
        Ok(command)
    }

    /// What our side's process sees of our environment: what finding programs, keys and the engine needs.
    fn environment(&self) -> Vec<(String, String)> {
        let kept: &[&str] = if self.address.is_local() {
            &[
                "HOME",
                "PATH",
                "DOCKER_HOST",
                "DOCKER_CONFIG",
                "CONTAINER_HOST",
                "CONTAINERS_CONF",
                "XDG_RUNTIME_DIR",
            ]
        } else {
            &["HOME", "PATH", "SSH_AUTH_SOCK", "USER", "LOGNAME"]
        };
        kept.iter()
            .filter_map(|name| std::env::var(name).ok().map(|value| ((*name).to_owned(), value)))
            .collect()
    }

    /// What an exit code of `ssh` itself, or of a program that ran out of time, means.
    fn classify(&self, code: i32, story: &Story, stderr: &[u8]) -> Option<MachineError> {
        match code {
            124 | 137 => Some(MachineError::timed_out(&self.address, Duration::ZERO)),
            _ if self.address.is_local() => None,
            _ => verdict::of_code(&self.address, code, story, stderr),
        }
    }
}

/// The time of one call; what is done for it first, such as a certificate, takes from it.
#[derive(Debug)]
struct Time {
    whole: Duration,
    until: Duration,
}

impl Time {
    fn of(whole: Duration) -> Time {
        Time {
            whole,
            until: SystemClock.monotonic().saturating_add(whole),
        }
    }

    fn left(&self) -> Duration {
        self.until.saturating_sub(SystemClock.monotonic())
    }
}
