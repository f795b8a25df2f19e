//! A command inside a service, as the contract sees it.

use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use sandboxer_extension::{
    Call, ErrorKind, ExecExit, ExecRequest, ExecSession, ExecStdio, ExtensionError, Follow, LogsRequest, Signaller,
    Target, WindowSize, async_trait,
};
use sandboxer_host::machine::{AttachIo, Attached, Terminal};
use sandboxer_host::{Machine, Program};

use crate::ending::Ending;
use crate::environment::Variables;
use crate::plan::Plan;
use crate::program::program;

/// Finds the service's container and runs the engine's exec in it. Words: ENGINE PROJECT SERVICE STATE VARIABLES COUNT, then
/// COUNT options of the engine, then the command. What an engine says of a command whose container went away differs, so that is
/// looked at and told as 125.
const TEXT: &str = r#"engine=$1 project=$2 service=$3 variables=$5 count=$6; shift 6
[ "$variables" = - ] || { exec 3<"$variables" || exit 125; rm -f "$variables"; }
id=$("$engine" ps -q --filter "label=com.docker.compose.project=$project" --filter "label=com.docker.compose.service=$service" | head -n 1)
[ -n "$id" ] || { echo "sandboxer: no container of the service $service runs" >&2; exit 125; }
total=$#; at=0
while [ "$at" -lt "$total" ]; do
[ "$at" != "$count" ] || set -- "$@" "$id"
set -- "$@" "$1"; shift; at=$((at + 1))
done
"$engine" exec "$@"
code=$?
[ "$code" != 0 ] || exit 0
[ -n "$("$engine" ps -q --filter "id=$id")" ] || exit 125
exit "$code""#;

/// Starts a command.
///
/// # Errors
/// `Invalid` without a command or a service that is meant, `Unsupported` for detached commands, `Unavailable`.
pub(crate) async fn start(
    machine: &Machine,
    base_dir: &str,
    target: &Target,
    plan: &Plan,
    request: ExecRequest,
) -> Result<Box<dyn ExecSession>, ExtensionError> {
    if request.argv.first().is_none_or(Vec::is_empty) {
        return Err(ExtensionError::new(
            ErrorKind::Invalid,
            "there is no command to run in the sandbox",
        ));
    }
    // Engines write a command down as JSON, and put something else where there is no text.
    if let Some(number) = request.argv.iter().position(|word| std::str::from_utf8(word).is_err()) {
        return Err(ExtensionError::new(
            ErrorKind::Invalid,
            format!("word {number} of the command is not UTF-8, and a container engine would change it"),
        )
        .hint("pass such bytes on standard input"));
    }
    let service = plan.service(request.service.as_deref())?;
    let engine = target
        .handle
        .as_ref()
        .and_then(|handle| handle.get("engine"))
        .map_or("docker", String::as_str);
    let mut options: Vec<Vec<u8>> = vec![b"-i".to_vec()];
    let (io, terminal) = match request.stdio {
        ExecStdio::Pipes { stdin, stdout, stderr } => {
            let terminal = Terminal::No;
            (
                AttachIo {
                    stdin,
                    stdout,
                    stderr,
                    terminal,
                },
                None,
            )
        }
        ExecStdio::Terminal(size) => {
            options.push(b"-t".to_vec());
            let (ours, io) = pseudo_terminal(size).map_err(|error| {
                ExtensionError::new(ErrorKind::Failed, format!("cannot make a terminal here: {error}"))
            })?;
            (io, Some(ours))
        }
        ExecStdio::Detached => {
            return Err(ExtensionError::unsupported("ext.compose-ssh", "exec_detach")
                .hint("run it in the foreground, or make it a service of the Compose file"));
        }
    };
    if let Some(cwd) = request.cwd {
        options.extend([b"-w".to_vec(), cwd.into_bytes()]);
    }
    let variables = Variables::of(&request.env)?;
    let mut file = "-".to_owned();
    if !variables.is_empty() {
        file = variables
            .hand_over(machine, base_dir, target.sandbox_id.as_str())
            .await?;
        options.push(b"--env-file=/dev/fd/3".to_vec());
    }
    let state = format!("{base_dir}/.sbx/{}", target.sandbox_id);
    let ending = Ending::new(machine, engine, &plan.project, service, &state);
    let mut words = ending.words();
    words.extend([file, options.len().to_string()]);
    let program = Program {
        text: Cow::Borrowed(TEXT),
        words,
        timeout: Duration::ZERO,
        output_cap: 0,
    };
    options.extend(variables.wrap(request.argv));
    let attached = machine.attach(&program, &options, io)?;
    Ok(Box::new(Session {
        attached,
        terminal,
        ending: Some(ending),
    }))
}

/// Longest time that logs are followed over one connection.
const FOLLOWED: Duration = Duration::from_secs(86_400);

/// Shows what services print.
///
/// # Errors
/// `Invalid` without a service of that name, `Unavailable`.
pub(crate) fn logs(
    machine: &Machine,
    call: &Call,
    base_dir: &str,
    target: &Target,
    plan: &Plan,
    request: LogsRequest,
) -> Result<Box<dyn ExecSession>, ExtensionError> {
    let mut words = vec![
        match request.follow {
            Follow::No => "now",
            Follow::Yes => "follow",
        }
        .to_owned(),
        request.tail.to_string(),
    ];
    if let Some(service) = request.service.as_deref() {
        words.push(plan.service(Some(service))?.to_owned());
    }
    let mut program = program("logs", base_dir, target.sandbox_id.as_str(), call, words);
    program.timeout = FOLLOWED;
    let nothing = rustix::fs::open(
        "/dev/null",
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )
    .map_err(|error| ExtensionError::new(ErrorKind::Failed, format!("cannot open /dev/null: {error}")))?;
    let [stdout, stderr] = request.output;
    let io = AttachIo {
        stdin: nothing,
        stdout,
        stderr,
        terminal: Terminal::No,
    };
    let attached = machine.attach(&program, &[], io)?;
    Ok(Box::new(Session {
        attached,
        terminal: None,
        ending: None,
    }))
}

/// Our end of a pseudo-terminal, and the other one three times.
fn pseudo_terminal(size: WindowSize) -> rustix::io::Result<(OwnedFd, AttachIo)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let name = ptsname(&ours, Vec::new())?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let theirs = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty())?;
    rustix::termios::tcsetwinsize(
        &theirs,
        rustix::termios::Winsize {
            ws_row: size.rows,
            ws_col: size.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )?;
    let io = AttachIo {
        stdin: theirs.try_clone().map_err(|_| rustix::io::Errno::MFILE)?,
        stdout: theirs.try_clone().map_err(|_| rustix::io::Errno::MFILE)?,
        stderr: theirs,
        terminal: Terminal::Yes,
    };
    Ok((ours, io))
}

/// A command that runs inside. Signals reach the process that carries it on our side: the engine passes on those that it
/// can, and the command's input ends with it.
struct Session {
    attached: Attached,
    terminal: Option<OwnedFd>,
    /// Tells apart what an exit code alone does not; `None` for what runs beside the containers.
    ending: Option<Ending>,
}

fn send(pid: u32, signal: u8) -> Result<(), ExtensionError> {
    let gone = || ExtensionError::new(ErrorKind::NotFound, "the command has ended");
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let signal = Signal::from_named_raw(i32::from(signal))
        .ok_or_else(|| ExtensionError::new(ErrorKind::Invalid, format!("{signal} is no signal")))?;
    kill_process_group(pid, signal).map_err(|_| gone())
}

#[async_trait]
impl ExecSession for Session {
    fn pid(&self) -> u32 {
        // Inside, only the engine knows it.
        0
    }

    fn take_terminal(&mut self) -> Option<OwnedFd> {
        self.terminal.take()
    }

    async fn wait(&mut self) -> Result<ExecExit, ExtensionError> {
        let ended = self.attached.wait().await;
        match (ended, &self.ending) {
            (Ok(code), Some(ending)) if ending.is_gone(code).await => Ok(ExecExit::SandboxGone),
            (Ok(code), _) => Ok(ExecExit::Code(u8::try_from(code).unwrap_or(255))),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn signal(&mut self, signal: u8) -> Result<(), ExtensionError> {
        send(self.attached.pid(), signal)
    }

    fn signaller(&self) -> Option<Signaller> {
        let pid = self.attached.pid();
        Some(Arc::new(move |signal| send(pid, signal)))
    }
}
