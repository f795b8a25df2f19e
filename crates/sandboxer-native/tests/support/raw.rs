//! Raw system calls, for trying what no library offers. All `unsafe` of the tests is here.
#![expect(unsafe_code, reason = "system calls with arguments that no library would pass")]

use std::io;

/// A system call. What it returns, or its error number.
///
/// Pointers among the arguments are valid, or are meant to be refused by the kernel.
pub(crate) fn call(number: i64, arguments: &[usize]) -> Result<i64, i32> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: the kernel checks every argument; nothing here hands out memory that Rust uses for something else.
    let value = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    if value < 0 {
        Err(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Ok(value)
    }
}

/// The address of something, as a system call takes it.
pub(crate) fn address<T: ?Sized>(value: &T) -> usize {
    std::ptr::from_ref(value).cast::<u8>() as usize
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Exit code.
    Code(i32),
    /// Signal.
    Signal(i32),
}

/// Forks; the child does this and ends with its result. The process must have one thread.
pub(crate) fn fork(child: impl FnOnce() -> i32) -> Result<i32, i32> {
    // SAFETY: callers have one thread.
    match unsafe { libc::fork() } {
        0 => exit(child()),
        -1 => Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        pid => Ok(pid),
    }
}

/// `clone` with these flags, without shared memory; the child ends at once.
pub(crate) fn clone_and_end(flags: i32) -> Result<i32, i32> {
    let flags = usize::try_from(flags | libc::SIGCHLD).unwrap_or(0);
    match call(libc::SYS_clone, &[flags, 0, 0, 0, 0])? {
        0 => exit(0),
        pid => Ok(i32::try_from(pid).unwrap_or(i32::MAX)),
    }
}

/// `vfork` whose child never lets go: the caller hangs in an uninterruptible wait until it is killed.
pub(crate) fn hang_in_vfork() {
    let flags = usize::try_from(libc::CLONE_VFORK | libc::SIGCHLD).unwrap_or(0);
    if call(libc::SYS_clone, &[flags, 0, 0, 0, 0]) == Ok(0) {
        loop {
            pause();
        }
    }
}

/// Ends this process without running anything else.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: no preconditions.
    unsafe { libc::_exit(code) }
}

/// Waits for a child.
pub(crate) fn wait(pid: i32) -> Ended {
    let mut status = 0;
    // SAFETY: the pointer is valid for writes.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
    if libc::WIFSIGNALED(status) {
        Ended::Signal(libc::WTERMSIG(status))
    } else {
        Ended::Code(libc::WEXITSTATUS(status))
    }
}

/// Does something in a child and says how the child ended.
pub(crate) fn in_child(child: impl FnOnce() -> i32) -> Result<Ended, i32> {
    fork(child).map(wait)
}

/// Sends a signal.
pub(crate) fn kill(pid: i32, signal: i32) -> Result<(), i32> {
    // SAFETY: no pointers.
    if unsafe { libc::kill(pid, signal) } < 0 {
        return Err(io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    Ok(())
}

/// Waits for a signal.
pub(crate) fn pause() {
    // SAFETY: no preconditions.
    unsafe {
        libc::pause();
    }
}

/// CPU time of the children that were waited for, in microseconds.
pub(crate) fn cpu_of_children() -> i64 {
    // SAFETY: an all-zero rusage is valid, and valid for writes.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec * 1_000_000 + time.tv_usec;
    micros(usage.ru_utime) + micros(usage.ru_stime)
}

/// How many CPUs this process may use after it asked for all.
pub(crate) fn cpus_after_asking_for_all() -> (Result<i64, i32>, i32) {
    let size = size_of::<libc::cpu_set_t>();
    let all = [0xffu8; size_of::<libc::cpu_set_t>()];
    let asked = call(libc::SYS_sched_setaffinity, &[0, size, address(&all)]);
    // SAFETY: an all-zero set is valid, and valid for writes.
    let count = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size, &raw mut set);
        libc::CPU_COUNT(&set)
    };
    (asked, count)
}

/// A system call through the door of 32-bit programs.
#[cfg(target_arch = "x86_64")]
pub(crate) fn call_as_i386(number: u32) -> i64 {
    let result: i64;
    // SAFETY: the registers that the call changes are declared; callers pass calls without pointers.
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") i64::from(number) => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    result
}

/// Lets a descriptor pass through `execve`.
pub(crate) fn inherit(from: i32, number: i32) {
    // SAFETY: callers name numbers that nothing else uses.
    unsafe {
        libc::dup2(from, number);
    }
}

/// The window size of a terminal.
pub(crate) fn window_size(fd: i32) -> Option<(u16, u16)> {
    // SAFETY: an all-zero winsize is valid, and valid for writes.
    unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(fd, libc::TIOCGWINSZ, &raw mut size) == 0).then_some((size.ws_row, size.ws_col))
    }
}
