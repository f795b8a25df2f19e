//! Starting one command inside: its descriptors, terminal, directory, environment.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

use crate::exec_wire::{ExecSpec, Stdio};
use crate::init::rootfs;
use crate::sys;

/// A command that was started.
pub(crate) struct Started {
    pub(crate) pid: i32,
    /// The other end of its terminal.
    pub(crate) terminal: Option<OwnedFd>,
}

/// Starts a command. A process that cannot become its program says so on its standard error, and ends with 127 when
/// there is no such program, else 126, as a shell would.
pub(crate) fn start(spec: &ExecSpec, fds: Vec<OwnedFd>) -> io::Result<Started> {
    let (stdio, terminal) = open_stdio(spec, fds)?;
    match sys::fork()? {
        Some(pid) => Ok(Started { pid, terminal }),
        None => {
            let error = become_command(spec, &stdio)
                .err()
                .unwrap_or_else(|| io::Error::from_raw_os_error(libc::EINVAL));
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
            let program = String::from_utf8_lossy(spec.argv.first().map_or(b"", |program| program.as_ref()));
            let line = format!("sandboxer: cannot start `{program}`: {error}\n");
            let _ = rustix::io::write(&stdio[2], line.as_bytes());
            sys::exit_now(if errno == libc::ENOENT { 127 } else { 126 })
        }
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
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let log = rustix::fs::open(spec.log.as_str(), flags, Mode::from_raw_mode(0o644))?;
            Ok(([null, log.try_clone()?, log], None))
        }
    }
}

/// Becomes the command; returns only when that fails.
fn become_command(spec: &ExecSpec, stdio: &[OwnedFd; 3]) -> io::Result<()> {
    sys::reset_signals();
    rustix::process::setsid()?;
    if matches!(spec.stdio, Stdio::Terminal { .. }) {
        sys::set_controlling_terminal(stdio[0].as_fd())?;
    }
    // The sources are above 2: pid 1 itself keeps 0, 1 and 2 open.
    for (fd, number) in stdio.iter().zip(0..) {
        sys::dup_onto(fd.as_fd(), number)?;
    }
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let start_in = spec.cwd.as_deref().unwrap_or(rootfs::WORKSPACE);
    match rustix::process::chdir(start_in) {
        Err(rustix::io::Errno::NOENT) if spec.cwd.is_none() => rustix::process::chdir(rootfs::HOME)?,
        other => other?,
    }
    let env = environment(spec);
    let path = env
        .iter()
        .rev()
        .find_map(|(name, value)| (name == "PATH").then_some(value.as_str()))
        .unwrap_or(DEFAULT_PATH)
        .to_owned();
    let env: Vec<CString> = env
        .iter()
        .map(|(name, value)| sys::cstring(format!("{name}={value}")))
        .collect::<io::Result<_>>()?;
    let argv: Vec<CString> = spec.argv.iter().map(sys::cstring).collect::<io::Result<_>>()?;
    let program = argv.first().ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
    Err(exec_in_path(program.as_bytes(), &path, &argv, &env))
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

/// Looks for the program the way a shell does.
fn exec_in_path(program: &[u8], path: &str, argv: &[CString], env: &[CString]) -> io::Error {
    if program.contains(&b'/') {
        return sys::cstring(program).map_or_else(|error| error, |program| exec_or_script(&program, argv, env));
    }
    let mut last = io::Error::from_raw_os_error(libc::ENOENT);
    for dir in path.split(':').filter(|dir| !dir.is_empty()) {
        let full = [dir.as_bytes(), b"/", program].concat();
        let Ok(full) = sys::cstring(full) else { continue };
        let error = exec_or_script(&full, argv, env);
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {}
            Some(libc::EACCES) => last = error,
            _ => return error,
        }
    }
    last
}

/// A text file without `#!` is a shell script, as for `execvp`.
fn exec_or_script(program: &std::ffi::CStr, argv: &[CString], env: &[CString]) -> io::Error {
    let error = sys::exec(program, argv, env);
    if error.raw_os_error() != Some(libc::ENOEXEC) {
        return error;
    }
    let script = [c"/bin/sh".to_owned(), program.to_owned()]
        .into_iter()
        .chain(argv.iter().skip(1).cloned());
    sys::exec(c"/bin/sh", &script.collect::<Vec<_>>(), env)
}
