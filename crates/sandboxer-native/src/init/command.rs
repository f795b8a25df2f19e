//! Starting one command inside: its descriptors, terminal, directory, environment.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::exec_wire::{ExecReply, ExecSpec, Stdio};
use crate::init::{SMALL_STACK, rootfs};
use crate::shim::IGNORED;
use crate::sys::{self, StringList};

/// Starts a command; its number. The new process itself tells `caller` that it is there, with the other end of its
/// terminal, so that nobody waits for the program to be loaded. One that cannot become its program says so on its standard error and ends with 127 when there is no
/// such program, else 126, as a shell would.
pub(crate) fn start(spec: &ExecSpec, fds: Vec<OwnedFd>, caller: BorrowedFd<'_>) -> io::Result<i32> {
    let (stdio, terminal) = open_stdio(spec, fds)?;
    let mut plan = Plan::new(spec)?;
    let mut failure: Option<(Stage, i32)> = None;
    let pid = sys::start_borrowing(&mut || {
        tell_started(caller, terminal.as_ref());
        let (stage, error) = plan.carry_out(&stdio);
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        failure = Some((stage, errno));
        if errno == libc::ENOENT && matches!(stage, Stage::Program) {
            127
        } else {
            126
        }
    })?;
    if let Some((stage, errno)) = failure {
        let program = String::from_utf8_lossy(spec.argv.first().map_or(b"", |program| program.as_ref()));
        let why = io::Error::from_raw_os_error(errno);
        let what = match (stage, &spec.cwd) {
            (Stage::Directory, Some(cwd)) => format!("start in `{cwd}`"),
            (Stage::Directory, None) => "enter the workspace".to_owned(),
            (Stage::Streams | Stage::Program, _) => format!("start `{program}`"),
        };
        let [_, _, errors] = stdio;
        say(errors, format!("sandboxer: cannot {what}: {why}\n"));
    }
    Ok(pid)
}

/// Longest wait for a reader of a command's standard error.
const SAY_WITHIN: Duration = Duration::from_millis(200);

/// Writes to the standard error of a command. Whoever reads it may not, and must hold up nobody else: then a thread is
/// left to wait.
fn say(errors: OwnedFd, text: String) {
    let (done, written) = std::sync::mpsc::channel();
    let writer = std::thread::Builder::new().stack_size(SMALL_STACK).spawn(move || {
        let _ = rustix::io::write(&errors, text.as_bytes());
        let _ = done.send(());
    });
    if writer.is_ok() {
        let _ = written.recv_timeout(SAY_WITHIN);
    }
}

/// Runs in the new process, on borrowed memory: allocates nothing.
fn tell_started(caller: BorrowedFd<'_>, terminal: Option<&OwnedFd>) {
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let mut space = [0u8; 64];
    let mut text = io::Cursor::new(space.as_mut_slice());
    if serde_json::to_writer(&mut text, &ExecReply::Started { pid }).is_ok() {
        let length = usize::try_from(text.position()).unwrap_or(0);
        let terminal = terminal.map(|terminal| [terminal.as_fd()]);
        let fds = terminal.as_ref().map_or(&[][..], |one| one.as_slice());
        let _ = crate::wire::send(caller, &space[..length], fds);
    }
}

/// The three descriptors, and the master of the terminal if there is one.
fn open_stdio(spec: &ExecSpec, fds: Vec<OwnedFd>) -> io::Result<([OwnedFd; 3], Option<OwnedFd>)> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    match spec.stdio {
        Stdio::Pipes => {
            let three: [OwnedFd; 3] = fds.try_into().map_err(|_| invalid())?;
            Ok((three, None))
        }
        Stdio::Terminal { rows, columns } => {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let master = rustix::fs::open("/dev/ptmx", flags, Mode::empty())?;
            rustix::pty::unlockpt(&master)?;
            let slave = rustix::pty::ioctl_tiocgptpeer(
                &master,
                rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY | rustix::pty::OpenptFlags::CLOEXEC,
            )?;
            let size = rustix::termios::Winsize {
                ws_row: rows,
                ws_col: columns,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            rustix::termios::tcsetwinsize(&master, size)?;
            let three = [slave.try_clone()?, slave.try_clone()?, slave];
            Ok((three, Some(master)))
        }
        Stdio::Detached => {
            let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
            // In the sandbox's own space, so its disk limit caps it.
            // New, or nothing: what commands put in its place could be a pipe that nobody reads.
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::EXCL
                | OFlags::APPEND
                | OFlags::CLOEXEC
                | OFlags::NOFOLLOW
                | OFlags::NONBLOCK;
            let log = rustix::fs::open(spec.log.as_str(), flags, Mode::from_raw_mode(0o644))?;
            Ok(([null, log.try_clone()?, log], None))
        }
    }
}

/// How far a new process came.
#[derive(Clone, Copy)]
enum Stage {
    Streams,
    Directory,
    Program,
}

/// Everything a new process needs to become the command, made before there is one.
struct Plan {
    has_terminal: bool,
    /// Where it starts: the first that exists.
    directories: Vec<CString>,
    /// What is tried as the program, in order.
    programs: Vec<CString>,
    argv: StringList,
    /// The same, run by a shell: for text files without `#!`, as `execvp` does.
    script: Vec<StringList>,
    env: StringList,
}

impl Plan {
    fn new(spec: &ExecSpec) -> io::Result<Plan> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let env = environment(spec);
        let path = env
            .iter()
            .rev()
            .find_map(|(name, value)| (name == "PATH").then_some(value.as_str()));
        let argv: Vec<CString> = spec.argv.iter().map(sys::cstring).collect::<io::Result<_>>()?;
        let program = argv.first().ok_or_else(invalid)?;
        let programs = if program.as_bytes().contains(&b'/') {
            vec![program.clone()]
        } else {
            path.unwrap_or(DEFAULT_PATH)
                .split(':')
                .filter(|dir| !dir.is_empty())
                .map(|dir| sys::cstring([dir.as_bytes(), b"/", program.as_bytes()].concat()))
                .collect::<io::Result<_>>()?
        };
        let script = programs
            .iter()
            .map(|program| {
                let words = [c"/bin/sh".to_owned(), program.clone()]
                    .into_iter()
                    .chain(argv.iter().skip(1).cloned());
                StringList::new(words.collect())
            })
            .collect();
        let directories = match &spec.cwd {
            Some(cwd) => vec![sys::cstring(cwd)?],
            None => vec![sys::cstring(rootfs::WORKSPACE)?, sys::cstring(rootfs::HOME)?],
        };
        let env = env
            .iter()
            .map(|(name, value)| sys::cstring(format!("{name}={value}")))
            .collect::<io::Result<_>>()?;
        Ok(Plan {
            has_terminal: matches!(spec.stdio, Stdio::Terminal { .. }),
            directories,
            programs,
            argv: StringList::new(argv),
            script,
            env: StringList::new(env),
        })
    }

    /// Becomes the command; returns only when that fails. Runs on borrowed memory: allocates nothing.
    fn carry_out(&mut self, stdio: &[OwnedFd; 3]) -> (Stage, io::Error) {
        if let Err(error) = self.settle(stdio) {
            return (Stage::Streams, error);
        }
        if let Err(error) = self.enter() {
            return (Stage::Directory, error.into());
        }
        // Looks for the program the way a shell does.
        let mut last = io::Error::from_raw_os_error(libc::ENOENT);
        for (program, script) in self.programs.iter().zip(&self.script) {
            let mut error = sys::exec(program, &self.argv, &self.env);
            if error.raw_os_error() == Some(libc::ENOEXEC) {
                error = sys::exec(c"/bin/sh", script, &self.env);
            }
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                Some(libc::EACCES) => last = error,
                _ => return (Stage::Program, error),
            }
        }
        (Stage::Program, last)
    }

    fn enter(&self) -> rustix::io::Result<()> {
        let mut entered = Err(rustix::io::Errno::NOENT);
        for directory in &self.directories {
            entered = rustix::process::chdir(directory.as_c_str());
            if entered != Err(rustix::io::Errno::NOENT) {
                break;
            }
        }
        entered
    }

    fn settle(&self, stdio: &[OwnedFd; 3]) -> io::Result<()> {
        // What a program expects: nothing blocked, nothing ignored.
        sys::default_signals(IGNORED);
        sys::unblock_signals();
        rustix::process::setsid()?;
        if self.has_terminal {
            sys::set_controlling_terminal(stdio[0].as_fd())?;
        }
        // The sources are above 2: pid 1 itself keeps 0, 1 and 2 open.
        for (fd, number) in stdio.iter().zip(0..) {
            sys::dup_onto(fd.as_fd(), number)?;
        }
        Ok(())
    }
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn environment(spec: &ExecSpec) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = [
        ("PATH", DEFAULT_PATH),
        ("HOME", rootfs::HOME),
        ("USER", "sandbox"),
        ("LOGNAME", "sandbox"),
        ("SHELL", "/bin/sh"),
        ("LANG", "C.UTF-8"),
        ("TMPDIR", "/tmp"),
        ("SANDBOXER_SANDBOX_ID", spec.sandbox.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    if matches!(spec.stdio, Stdio::Terminal { .. }) {
        env.push(("TERM".to_owned(), "xterm-256color".to_owned()));
    }
    for (name, value) in &spec.env {
        match env.iter_mut().find(|(have, _)| have == name) {
            Some(slot) => slot.1.clone_from(value),
            None => env.push((name.clone(), value.clone())),
        }
    }
    env
}
