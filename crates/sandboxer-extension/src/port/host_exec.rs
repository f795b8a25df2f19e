//! Running commands on a machine: this one, or another over SSH.

use std::time::Duration;

/// A command on a machine. Values travel as whole arguments or on standard input, never through a shell.
#[derive(Debug, Clone, Default)]
pub struct HostCommand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub env: Vec<(String, String)>,
    /// Fed to standard input.
    pub stdin: Vec<u8>,
    /// The command and everything it started is killed after this time.
    pub timeout: Duration,
    /// Bytes kept of standard output and of standard error; the rest is read and dropped.
    pub output_cap: usize,
}

/// What a command printed and how it ended. Hostile data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOutput {
    /// Exit code; 128 + signal when it was killed.
    pub code: i32,
    /// Standard output, capped.
    pub stdout: Vec<u8>,
    /// Standard error, capped.
    pub stderr: Vec<u8>,
}

/// Why a command did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostExecError {
    /// It could not be started.
    #[error("cannot start `{program}`: {why}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        why: String,
    },
    /// It was killed at its deadline; whether it had an effect is unknown.
    #[error("`{program}` did not end within {timeout:?}")]
    Timeout {
        /// The program.
        program: String,
        /// The deadline.
        timeout: Duration,
    },
}

/// Runs commands on one machine.
#[async_trait::async_trait]
pub trait HostExec: Send + Sync {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// It could not be started, or its deadline passed.
    async fn run(&self, command: HostCommand) -> Result<HostOutput, HostExecError>;
}
