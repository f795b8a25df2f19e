//! Commands on this machine.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use sandboxer_extension::async_trait;
use sandboxer_extension::port::{Clock, HostCommand, HostExec, HostExecError, HostOutput, SystemClock};

/// Where programs are looked for when the command brings no `PATH` of its own.
pub const SAFE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs commands on this machine, each in a process group of its own.
///
/// When the command ends or its deadline passes, whatever is left in its group is killed. The command is always reaped,
/// even when the caller stops waiting: the work goes on in a blocking thread until the deadline at most.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExec;

#[async_trait]
impl HostExec for LocalExec {
    async fn run(&self, command: HostCommand) -> Result<HostOutput, HostExecError> {
        let program = command.argv.first().cloned().unwrap_or_default();
        match tokio::task::spawn_blocking(move || run_blocking(&command)).await {
            Ok(result) => result,
            Err(error) => Err(HostExecError::Start {
                program,
                why: format!("its thread ended: {error}"),
            }),
        }
    }
}

/// Whether a command that failed here had begun: whatever it does may have been done then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Began {
    No,
    Yes,
}

/// Runs one command to its end in this thread.
///
/// # Errors
/// It could not be started, or its deadline passed.
pub fn run_blocking(command: &HostCommand) -> Result<HostOutput, HostExecError> {
    run_telling(command).map_err(|(_, error)| error)
}

/// The same, telling of a failure whether the command had begun.
pub(crate) fn run_telling(command: &HostCommand) -> Result<HostOutput, (Began, HostExecError)> {
    let program = command.argv.first().cloned().unwrap_or_default();
    let start_error = |why: String| HostExecError::Start {
        program: program.clone(),
        why,
    };
    let mut child = spawn(command).map_err(|why| (Began::No, start_error(why)))?;
    let begun = |why: String| (Began::Yes, start_error(why));
    let pid = Pid::from_child(&child);
    let pumped = pump(&mut child, pid, command);
    // The child is not reaped yet, so its id still names this group and no other.
    let _ = kill_process_group(pid, Signal::KILL);
    let status = child
        .wait()
        .map_err(|error| begun(format!("it could not be waited for: {error}")))?;
    match pumped.map_err(|error| begun(format!("its pipes could not be served: {error}")))? {
        Pumped::Ended(stdout, stderr) => {
            let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
            Ok(HostOutput { code, stdout, stderr })
        }
        Pumped::DeadlinePassed => Err((
            Began::Yes,
            HostExecError::Timeout {
                program,
                timeout: command.timeout,
            },
        )),
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the port")]
fn spawn(command: &HostCommand) -> Result<Child, String> {
    let Some((program, arguments)) = command.argv.split_first() else {
        return Err("no program was named".to_owned());
    };
    let mut builder = Command::new(program);
    builder.args(arguments).env_clear().process_group(0);
    if !command.env.iter().any(|(name, _)| name == "PATH") {
        builder.env("PATH", SAFE_PATH);
    }
    builder.envs(command.env.iter().map(|(name, value)| (name, value)));
    builder
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    builder.spawn().map_err(|error| error.to_string())
}

enum Pumped {
    Ended(Vec<u8>, Vec<u8>),
    DeadlinePassed,
}

/// One direction of output: what is kept, and whether more can come.
struct Drain {
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
    cap: usize,
}

impl Drain {
    fn new(pipe: Option<OwnedFd>, cap: usize) -> rustix::io::Result<Drain> {
        if let Some(pipe) = &pipe {
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Drain {
            pipe,
            kept: Vec::new(),
            cap,
        })
    }

    /// Reads until the pipe is empty or closed.
    fn read(&mut self) -> rustix::io::Result<()> {
        let mut buffer = [0u8; 16 * 1024];
        while let Some(pipe) = &self.pipe {
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    let room = self.cap.saturating_sub(self.kept.len()).min(count);
                    self.kept.extend_from_slice(&buffer[..room]);
                    // One buffer each time: an endless writer must not keep the deadline from being looked at.
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Serves the three pipes until the command ends or its deadline passes.
fn pump(child: &mut Child, pid: Pid, command: &HostCommand) -> rustix::io::Result<Pumped> {
    let deadline = SystemClock.monotonic().saturating_add(command.timeout);
    let ended = pidfd_open(pid, PidfdFlags::empty())?;
    let mut stdin: Option<OwnedFd> = child.stdin.take().map(Into::into);
    if let Some(pipe) = &stdin {
        rustix::io::ioctl_fionbio(pipe, true)?;
    }
    let mut unsent = command.stdin.as_slice();
    let mut stdout = Drain::new(child.stdout.take().map(Into::into), command.output_cap)?;
    let mut stderr = Drain::new(child.stderr.take().map(Into::into), command.output_cap)?;
    loop {
        if unsent.is_empty() {
            stdin = None;
        }
        let left = deadline.saturating_sub(SystemClock.monotonic());
        if left.is_zero() {
            return Ok(Pumped::DeadlinePassed);
        }
        let mut waiting = vec![PollFd::new(&ended, PollFlags::IN)];
        waiting.extend(stdin.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        waiting.extend(
            stdout
                .pipe
                .iter()
                .map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)),
        );
        waiting.extend(
            stderr
                .pipe
                .iter()
                .map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)),
        );
        match poll(&mut waiting, Some(&timespec(left))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let has_ended = !waiting[0].revents().is_empty();
        drop(waiting);
        if let Some(pipe) = &stdin {
            match rustix::io::write(pipe, unsent) {
                Ok(count) => unsent = &unsent[count..],
                Err(Errno::AGAIN | Errno::INTR) => {}
                // It closed its input: what is left is not wanted.
                Err(_) => unsent = &[],
            }
        }
        stdout.read()?;
        stderr.read()?;
        if has_ended {
            // What it left behind may hold the pipes open for ever, and may still write: end that first.
            let _ = kill_process_group(pid, Signal::KILL);
            drain_rest(&mut stdout)?;
            drain_rest(&mut stderr)?;
            return Ok(Pumped::Ended(stdout.kept, stderr.kept));
        }
    }
}

/// Reads what is in the pipe already. Bounded, since a process that left the group may go on writing.
fn drain_rest(drain: &mut Drain) -> rustix::io::Result<()> {
    /// More than a pipe can hold: 1 MiB is the most an unprivileged process can set.
    const ROUNDS: usize = 128;
    for _ in 0..ROUNDS {
        let Some(pipe) = &drain.pipe else { break };
        let mut ready = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
        if poll(&mut ready, Some(&timespec(Duration::ZERO)))? == 0 {
            break;
        }
        drain.read()?;
    }
    Ok(())
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
