//! Making processes, becoming programs, waiting for their ends.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{check, unshare};

/// Both sides of a `clone`.
pub(crate) enum Cloned {
    /// In the new process.
    Child,
    /// In the caller: the new process and a descriptor of it.
    Parent(i32, OwnedFd),
}

/// Wider than libc's constant of the same name.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `clone3` with a pidfd, like `fork`: the child has a copy of the caller's memory. The caller must have one thread.
pub(crate) fn clone_process(namespaces: u64, into_cgroup: Option<BorrowedFd<'_>>) -> io::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: namespaces | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = into_cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: the struct is a valid clone_args of the size given; without CLONE_VM and with a null stack this is a
    // fork, so both sides go on with their own copy of memory. One thread: no lock can be held by a thread that is
    // missing in the child.
    let ret = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) })?;
    if ret == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: the kernel stored a fresh descriptor there that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent(i32::try_from(ret).unwrap_or(i32::MAX), pidfd))
}

/// `fork` for a process with one thread. `None` in the child.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: callers have one thread, so the child's copy of memory is consistent.
    let pid = check(i64::from(unsafe { libc::fork() }))?;
    Ok((pid != 0).then(|| i32::try_from(pid).unwrap_or(i32::MAX)))
}

/// Fails unless this process has one thread.
pub(crate) fn require_one_thread() -> io::Result<()> {
    // `unshare` refuses this for a process with several threads and does nothing for one with one.
    unshare(libc::CLONE_THREAD)
}

/// Ends this process at once: no destructors, no handlers.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` has no preconditions.
    unsafe { libc::_exit(code) }
}

/// Takes over standard input as an owned descriptor: the shim gets its socket there.
pub(crate) fn take_stdin() -> OwnedFd {
    // SAFETY: called once, first thing in the shim, where descriptor 0 is the socket its parent made for it.
    unsafe { OwnedFd::from_raw_fd(0) }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// Exit code.
    Code(u8),
    /// Signal.
    Signal(u8),
}

/// What `wait4` tells.
pub(crate) struct Reaped {
    pub(crate) pid: i32,
    pub(crate) end: ChildEnd,
    /// CPU time of it and of everything it waited for, in microseconds.
    pub(crate) cpu_us: u64,
    /// Highest resident memory of one of them, in KiB.
    pub(crate) max_rss_kib: u64,
}

/// Reaps one child; `None` when none has ended. `pid` -1: any child.
pub(crate) fn reap(pid: i32, block: bool) -> io::Result<Option<Reaped>> {
    let mut status = 0;
    // SAFETY: an all-zero rusage is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let flags = if block { 0 } else { libc::WNOHANG };
    let got = loop {
        // SAFETY: both pointers are valid for writes.
        match check(i64::from(unsafe {
            libc::wait4(pid, &raw mut status, flags, &raw mut usage)
        })) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if got == 0 {
        return Ok(None);
    }
    let end = if libc::WIFSIGNALED(status) {
        ChildEnd::Signal(u8::try_from(libc::WTERMSIG(status)).unwrap_or(0))
    } else {
        ChildEnd::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(255))
    };
    let micros = |t: libc::timeval| u64::try_from(t.tv_sec * 1_000_000 + t.tv_usec).unwrap_or(0);
    Ok(Some(Reaped {
        pid: i32::try_from(got).unwrap_or(0),
        end,
        cpu_us: micros(usage.ru_utime).saturating_add(micros(usage.ru_stime)),
        max_rss_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
    }))
}

/// Overwrites the arguments and the environment this process was started with, which `/proc` shows and which may hold
/// secrets, and leaves a name in their place. Nothing may read them afterwards.
pub(crate) fn forget_arguments((start, end): (usize, usize), name: &CStr) {
    let length = end - start;
    // SAFETY: the kernel put the strings there, one after the other, in this process's own writable stack, and says so
    // itself. This process has one thread, and its copy of these strings is not read again: a keeper takes its orders
    // from a socket.
    unsafe {
        let area = std::slice::from_raw_parts_mut(start as *mut u8, length);
        area.fill(0);
        let name = name.to_bytes();
        let shown = name.len().min(length.saturating_sub(1));
        area[..shown].copy_from_slice(&name[..shown]);
        libc::prctl(libc::PR_SET_NAME, c"sandboxer-keep".as_ptr());
    }
}

/// Sends a signal; a negative pid means a process group, -1 everything this process may signal.
pub(crate) fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(i64::from(unsafe { libc::kill(pid, signal) }))?;
    Ok(())
}

/// A list of C strings as `execve` wants it.
pub(crate) struct StringList {
    /// What the pointers point to.
    _strings: Vec<CString>,
    pointers: Vec<*const libc::c_char>,
}

impl StringList {
    pub(crate) fn new(strings: Vec<CString>) -> StringList {
        let pointers = strings
            .iter()
            .map(|string| string.as_ptr())
            .chain(std::iter::once(std::ptr::null()))
            .collect();
        StringList {
            _strings: strings,
            pointers,
        }
    }
}

/// `execve`; returns only on failure. Allocates nothing.
pub(crate) fn exec(program: &CStr, argv: &StringList, env: &StringList) -> io::Error {
    // SAFETY: both lists end in null and hold valid C strings, which live as long as the lists.
    unsafe {
        libc::execve(program.as_ptr(), argv.pointers.as_ptr(), env.pointers.as_ptr());
    }
    io::Error::last_os_error()
}

/// Starts a process that borrows this one's memory, which waits until the other becomes a program or ends. Copying even
/// a small process costs more than starting a small program. `work` runs in the new process and returns its exit code;
/// it must not allocate, since nobody would free that.
pub(crate) fn start_borrowing(work: &mut dyn FnMut() -> i32) -> io::Result<i32> {
    const STACK: usize = 64 << 10;
    extern "C" fn enter(argument: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the pointer is to a reference on the stack of the caller, who waits until we are done with it.
        let work = unsafe { &mut *argument.cast::<&mut dyn FnMut() -> i32>() };
        work()
    }
    let mut stack: Vec<std::mem::MaybeUninit<u128>> = Vec::with_capacity(STACK / size_of::<u128>());
    let mut work = work;
    // SAFETY: the stack grows down from its end, which is aligned to 16 bytes; it and the closure outlive the other
    // process's use of them, since VFORK lets this one wait for exec or exit. Signals are blocked here, so no handler
    // runs on the shared memory.
    let pid = check(i64::from(unsafe {
        let top = stack.as_mut_ptr().add(stack.capacity()).cast();
        libc::clone(
            enter,
            top,
            libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD,
            (&raw mut work).cast(),
        )
    }))?;
    Ok(i32::try_from(pid).unwrap_or(i32::MAX))
}
