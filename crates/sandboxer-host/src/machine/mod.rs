//! A machine that programs run on: this one, or another over SSH.
//!
//! Each call over SSH is one process of the system's own `ssh` and one connection: the user's configuration, keys, agent,
//! certificates and jump hosts work as they do by hand, and there is no shared connection that could hang for everybody.

mod attach;
mod cert;
mod child;
mod error;
mod pin;
mod ssh;
mod talk;

pub use attach::{AttachIo, Attached, Terminal};
pub use cert::Identity;
pub use error::{MachineError, MachineErrorKind};
pub use pin::{ShownKey, pin, shown_keys};
pub use ssh::SshSettings;
pub use talk::Talk;

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_extension::port::{HostCommand, HostExecError, HostOutput};
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
        cert::current(&self.settings)
            .ok()
            .flatten()
            .map(|(_, identity)| identity)
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    /// The machine could not be reached, or did not answer in time.
    pub async fn run(&self, program: Program, stdin: Vec<u8>) -> Result<HostOutput, MachineError> {
        let argv = self.command_line(&program, &[], false)?;
        let command = HostCommand {
            argv: argv
                .into_iter()
                .map(|word| word.into_string().map_err(|_| MachineError::words()))
                .collect::<Result<_, _>>()?,
            env: self.environment(),
            stdin,
            timeout: program.timeout + GRACE,
            output_cap: program.output_cap,
        };
        let outcome = tokio::task::spawn_blocking(move || local_exec::run_blocking(&command)).await;
        match outcome {
            Ok(Ok(output)) => match self.classify(output.code, &output.stderr) {
                Some(error) => Err(error),
                None => Ok(output),
            },
            Ok(Err(HostExecError::Timeout { timeout, .. })) => Err(MachineError::timed_out(&self.address, timeout)),
            Ok(Err(error)) => Err(MachineError::start(&self.address, &error.to_string())),
            Err(error) => Err(MachineError::start(&self.address, &error.to_string())),
        }
    }

    /// Starts a program and talks with it.
    ///
    /// # Errors
    /// It could not be started. That the machine cannot be reached shows when it is read from.
    pub async fn talk(&self, program: Program) -> Result<Talk, MachineError> {
        let argv = self.command_line(&program, &[], false)?;
        Talk::start(self, &argv, &program)
    }

    /// Runs a program with these descriptors as its standard ones, for commands inside sandboxes. `argv` follows its
    /// words, and may hold any bytes but NUL.
    ///
    /// # Errors
    /// It could not be started.
    pub fn attach(&self, program: &Program, argv: &[Vec<u8>], io: AttachIo) -> Result<Attached, MachineError> {
        let line = self.command_line(program, argv, io.is_terminal())?;
        Attached::start(self, &line, io)
    }

    /// The whole command line on our side.
    fn command_line(&self, program: &Program, argv: &[Vec<u8>], tty: bool) -> Result<Vec<OsString>, MachineError> {
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
        let certificate = cert::current(&self.settings)?;
        let certificate = certificate.as_ref().map(|(file, _)| file.as_path());
        let mut command = ssh::command(&self.address, &self.settings, certificate, tty)?;
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
    fn classify(&self, code: i32, stderr: &[u8]) -> Option<MachineError> {
        match code {
            124 | 137 => Some(MachineError::timed_out(&self.address, Duration::ZERO)),
            255 if !self.address.is_local() => Some(MachineError::of_ssh(&self.address, stderr)),
            _ => None,
        }
    }
}
