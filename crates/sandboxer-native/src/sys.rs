//! The few system calls that no safe library wraps the way we need them. All of the crate's `unsafe` is here.
#![expect(unsafe_code, reason = "raw system calls; each block says why it is sound")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Makes a C string of a path or text.
pub(crate) fn cstring(text: impl AsRef<[u8]>) -> io::Result<CString> {
    CString::new(text.as_ref()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Makes a C string of a path.
pub(crate) fn cpath(path: &Path) -> io::Result<CString> {
    cstring(path.as_os_str().as_bytes())
}

fn check(ret: i64) -> io::Result<i64> {
    if ret < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

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

#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Read-only.
pub(crate) const MOUNT_RDONLY: u64 = 0x1;
/// No set-user-id.
pub(crate) const MOUNT_NOSUID: u64 = 0x2;
/// No devices.
pub(crate) const MOUNT_NODEV: u64 = 0x4;
/// No programs.
pub(crate) const MOUNT_NOEXEC: u64 = 0x8;
const MOUNT_IDMAP: u64 = 0x0010_0000;

fn mount_setattr(fd: BorrowedFd<'_>, path: &CStr, flags: i32, attr: &MountAttr) -> io::Result<()> {
    // SAFETY: the struct is a valid mount_attr of the size given and outlives the call.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            path.as_ptr(),
            flags,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}

/// Sets attributes of the mount behind `fd`, and of those below it.
pub(crate) fn mount_set(fd: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: attributes,
        ..MountAttr::default()
    };
    mount_setattr(fd, c"", libc::AT_EMPTY_PATH | libc::AT_RECURSIVE, &attr)
}

/// Maps the owners of a detached mount through a user namespace.
pub(crate) fn mount_idmap(fd: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = MountAttr {
        attr_set: MOUNT_IDMAP,
        userns_fd: user_namespace.as_raw_fd() as u64,
        ..MountAttr::default()
    };
    mount_setattr(fd, c"", libc::AT_EMPTY_PATH, &attr)
}

/// `open_tree` that copies a mount: detached, not visible anywhere yet.
pub(crate) fn clone_tree(path: &CStr, recursive: Recursive) -> io::Result<OwnedFd> {
    let mut flags = 1 | libc::O_CLOEXEC as u32 | libc::AT_NO_AUTOMOUNT as u32;
    if recursive == Recursive::Yes {
        flags |= libc::AT_RECURSIVE as u32;
    }
    // SAFETY: the path is a valid C string.
    let fd = check(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)) })
}

/// Whether mounts below are copied too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Recursive {
    /// They are.
    Yes,
    /// They are not.
    No,
}

/// Attaches a detached mount at a path.
pub(crate) fn attach(fd: BorrowedFd<'_>, target: &CStr) -> io::Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
    // SAFETY: both paths are valid C strings.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            fd.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    })?;
    Ok(())
}

/// `mount(2)`.
pub(crate) fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: u64, data: &CStr) -> io::Result<()> {
    // SAFETY: all pointers are valid C strings.
    check(i64::from(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    }))?;
    Ok(())
}

/// `umount2` with `MNT_DETACH`.
pub(crate) fn unmount(target: &CStr) -> io::Result<()> {
    // SAFETY: the path is a valid C string.
    check(i64::from(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }))?;
    Ok(())
}

/// Makes the current directory the root and forgets the old one.
pub(crate) fn pivot_root_here() -> io::Result<()> {
    // SAFETY: both paths are valid C strings.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    unmount(c".")
}

/// `sethostname`.
pub(crate) fn set_hostname(name: &str) -> io::Result<()> {
    // SAFETY: pointer and length belong together.
    check(i64::from(unsafe {
        libc::sethostname(name.as_ptr().cast(), name.len())
    }))?;
    Ok(())
}

/// Leaves the current namespaces of these kinds.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: no pointers.
    check(i64::from(unsafe { libc::unshare(flags) }))?;
    Ok(())
}

/// Becomes this user and group, without supplementary groups where the kernel allows dropping them.
pub(crate) fn become_user(uid: u32, gid: u32, drop_groups: bool) -> io::Result<()> {
    // Raw system calls: glibc's wrappers would try to involve threads.
    // SAFETY: no pointers but a null list of length zero.
    unsafe {
        if drop_groups {
            check(libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()))?;
        }
        check(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        check(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
    }
    Ok(())
}

/// `prctl` with numbers only.
pub(crate) fn prctl(option: i32, a: u64, b: u64, c: u64, d: u64) -> io::Result<i64> {
    // SAFETY: callers pass options whose arguments are numbers.
    check(i64::from(unsafe { libc::prctl(option, a, b, c, d) }))
}

/// Installs a seccomp filter on this thread.
pub(crate) fn seccomp_install(program: &[libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let prog = libc::sock_fprog {
        len: length,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the program outlives the call, which only reads it.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const prog) })?;
    Ok(())
}

/// Gives up every capability.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    for capability in 0..64 {
        // The kernel says EINVAL past its last capability.
        if prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0).is_err() {
            break;
        }
    }
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0, 0, 0)?;
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let data = [0u32; 6];
    // SAFETY: version 3 takes two triples of 32-bit words.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) })?;
    Ok(())
}

/// Lets commands have every capability of this process.
#[cfg(feature = "weaken")]
pub(crate) fn pass_on_capabilities() -> io::Result<()> {
    let header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    // SAFETY: version 3 takes a header of two words and two triples of words; the second call reads what the first
    // wrote.
    unsafe {
        check(libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()))?;
        // Words 1 and 4 are what is permitted, 2 and 5 what is inheritable.
        (data[2], data[5]) = (data[1], data[4]);
        check(libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()))?;
    }
    for capability in 0..64 {
        let _ = prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_RAISE as u64,
            capability,
            0,
            0,
        );
    }
    Ok(())
}

/// Makes the current directory the root, with the old one still in reach of those who may change theirs.
#[cfg(feature = "weaken")]
pub(crate) fn chroot_here() -> io::Result<()> {
    // SAFETY: the path is a valid C string.
    check(i64::from(unsafe { libc::chroot(c".".as_ptr()) }))?;
    Ok(())
}

/// Closes every descriptor from `first` to `last`, both included.
pub(crate) fn close_range(first: u32, last: u32) -> io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: callers keep no object that owns one of these descriptors and is used later.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    Ok(())
}

/// Makes `number` a copy of `fd`, without close-on-exec.
pub(crate) fn dup_onto(fd: BorrowedFd<'_>, number: i32) -> io::Result<()> {
    // SAFETY: `number` is one of 0, 1, 2 in a process that is about to exec.
    check(i64::from(unsafe { libc::dup2(fd.as_raw_fd(), number) }))?;
    Ok(())
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

/// Blocks every signal and returns a descriptor that reports SIGCHLD.
pub(crate) fn child_signal_fd() -> io::Result<OwnedFd> {
    // SAFETY: the sets are initialised by the calls before they are read.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        check(i64::from(libc::sigprocmask(
            libc::SIG_SETMASK,
            &raw const all,
            std::ptr::null_mut(),
        )))?;
        let mut child: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut child);
        libc::sigaddset(&raw mut child, libc::SIGCHLD);
        let fd = check(i64::from(libc::signalfd(
            -1,
            &raw const child,
            libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
        )))?;
        Ok(OwnedFd::from_raw_fd(i32::try_from(fd).unwrap_or(-1)))
    }
}

/// Blocks no signal.
pub(crate) fn unblock_signals() {
    // SAFETY: an empty mask has no preconditions.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Ignores a signal.
pub(crate) fn ignore_signal(signal: i32) {
    // SAFETY: ignoring a signal has no preconditions.
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}

/// Gives these signals their default effects.
pub(crate) fn default_signals(signals: impl IntoIterator<Item = i32>) {
    for signal in signals {
        // SAFETY: the default disposition has no preconditions.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
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

/// Makes a terminal the controlling one of this session.
pub(crate) fn set_controlling_terminal(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number.
    check(i64::from(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) }))?;
    Ok(())
}

/// Brings a network interface up.
pub(crate) fn interface_up(socket: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: an all-zero ifreq is valid; the name is shorter than its field; the kernel reads the struct.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (slot, byte) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
            *slot = byte.cast_signed();
        }
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
        check(i64::from(libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw const request,
        )))?;
    }
    Ok(())
}

/// Sets a resource limit of this process.
pub(crate) fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: the struct outlives the call, which only reads it.
    check(i64::from(unsafe { libc::setrlimit(resource, &raw const limit) }))?;
    Ok(())
}

/// The hard and soft limit of this process.
pub(crate) fn rlimit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is valid for writes.
    check(i64::from(unsafe { libc::getrlimit(resource, &raw mut limit) }))?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Restricts this process to the first `count` of the CPUs it may use.
pub(crate) fn restrict_cpus(count: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is valid and both calls get its size.
    unsafe {
        let mut now: libc::cpu_set_t = std::mem::zeroed();
        check(i64::from(libc::sched_getaffinity(
            0,
            size_of::<libc::cpu_set_t>(),
            &raw mut now,
        )))?;
        let mut want: libc::cpu_set_t = std::mem::zeroed();
        let mut left = count;
        for cpu in 0..usize::try_from(libc::CPU_SETSIZE).unwrap_or(0) {
            if left > 0 && libc::CPU_ISSET(cpu, &now) {
                libc::CPU_SET(cpu, &mut want);
                left -= 1;
            }
        }
        check(i64::from(libc::sched_setaffinity(
            0,
            size_of::<libc::cpu_set_t>(),
            &raw const want,
        )))?;
    }
    Ok(())
}

/// Prevents reading this process's memory and `/proc` entries.
pub(crate) fn set_not_dumpable() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0)?;
    Ok(())
}

/// The newest Landlock rules this kernel knows; `None` without Landlock.
pub(crate) fn landlock_abi() -> Option<i64> {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the kernel reads no rule set.
    check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) }).ok()
}
