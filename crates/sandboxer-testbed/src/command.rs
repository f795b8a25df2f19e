//! Programs with a deadline, and what they said.

use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::skip::Unavailable;

/// How long anything may take that nobody gave another time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What a program said and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code; 128 and the number of the signal that ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// Whether it succeeded.
    pub fn is_success(&self) -> bool {
        self.code == 0
    }
}

/// Runs a program to its end, with its input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Result<Output, Unavailable> {
    let what = format!("running {}", describe(command));
    let failed = |error: std::io::Error| Unavailable::broken(what.clone(), error);
    // Files in memory: unlike pipes they never fill up, and nobody who keeps one open can make us wait.
    let (mut stdin, mut stdout, mut stderr) = (
        memory_file().map_err(failed)?,
        memory_file().map_err(failed)?,
        memory_file().map_err(failed)?,
    );
    stdin.write_all(input).and_then(|()| stdin.rewind()).map_err(failed)?;
    command
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout.try_clone().map_err(failed)?))
        .stderr(Stdio::from(stderr.try_clone().map_err(failed)?));
    let mut child = command.spawn().map_err(failed)?;
    let ended = crate::wait::until(PATIENCE, || child.try_wait().transpose());
    let Some(status) = ended else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Unavailable::broken(what, format!("it did not end within {PATIENCE:?}")));
    };
    let status = status.map_err(failed)?;
    use std::os::unix::process::ExitStatusExt as _;
    Ok(Output {
        code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        stdout: text(&mut stdout).map_err(failed)?,
        stderr: text(&mut stderr).map_err(failed)?,
    })
}

/// The same, for a program that has to succeed.
pub(crate) fn must(command: &mut Command, input: &[u8]) -> Result<String, Unavailable> {
    let output = run(command, input)?;
    if output.is_success() {
        Ok(output.stdout)
    } else {
        let said = format!("exit code {}: {}", output.code, output.stderr.trim());
        Err(Unavailable::broken(format!("running {}", describe(command)), said))
    }
}

/// Where a program is; Debian keeps daemons where a user's path may not look.
pub(crate) fn find(program: &'static str, package: &'static str) -> Result<PathBuf, Unavailable> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    system
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or(Unavailable::Missing { program, package })
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
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
