//! System calls that a payload has no business with.
//!
//! Where the kernel would refuse a call of this user anyway, the arguments make no sense, and tell who refused: EPERM
//! or ENOSYS came from the filter, any other error from a kernel that looked at the arguments.

use super::super::outcome::{Outcome, all, check, refused};
use super::super::raw::{self, Ended, address, call};
use super::Args;

const FILTERED: &[i32] = &[libc::EPERM];
const UNKNOWN: &[i32] = &[libc::ENOSYS];
/// An address that is never mapped.
const NOWHERE: usize = 1;

fn try_calls(calls: &[(&str, i64, &[usize])], with: &[i32]) -> Outcome {
    all(calls
        .iter()
        .map(|(name, number, arguments)| refused(name, call(*number, arguments), with)))
}

/// `mount`, `umount2`, `pivot_root`.
pub(crate) fn mounts(_: &Args) -> Outcome {
    let text = |text: &'static std::ffi::CStr| text.as_ptr() as usize;
    try_calls(
        &[
            (
                "mount",
                libc::SYS_mount,
                &[text(c"none"), text(c"/tmp"), text(c"tmpfs"), 0, text(c"size=1m")],
            ),
            (
                "remount",
                libc::SYS_mount,
                &[text(c"none"), text(c"/usr"), 0, libc::MS_REMOUNT as usize, 0],
            ),
            (
                "umount2",
                libc::SYS_umount2,
                &[text(c"/tmp"), libc::MNT_DETACH as usize],
            ),
            ("pivot_root", libc::SYS_pivot_root, &[text(c"/tmp"), text(c"/tmp")]),
        ],
        FILTERED,
    )
}

/// The mount interface of newer kernels.
pub(crate) fn new_mounts(_: &Args) -> Outcome {
    let text = |text: &'static std::ffi::CStr| text.as_ptr() as usize;
    let none = usize::MAX;
    try_calls(
        &[
            ("fsopen", libc::SYS_fsopen, &[text(c"tmpfs"), 0]),
            ("fsconfig", libc::SYS_fsconfig, &[none, 6, 0, 0, 0]),
            ("fsmount", libc::SYS_fsmount, &[none, 0, 0]),
            ("fspick", libc::SYS_fspick, &[none, text(c""), 0]),
            ("open_tree", libc::SYS_open_tree, &[none, text(c"/tmp"), 0]),
            (
                "move_mount",
                libc::SYS_move_mount,
                &[none, text(c""), none, text(c"/tmp"), 4],
            ),
            (
                "mount_setattr",
                libc::SYS_mount_setattr,
                &[none, text(c"/tmp"), 0, NOWHERE, 32],
            ),
            ("statmount", 457, &[NOWHERE, NOWHERE, 0, 0]),
            ("listmount", 458, &[NOWHERE, NOWHERE, 0, 0]),
        ],
        UNKNOWN,
    )
}

const NAMESPACES: [(&str, i32); 8] = [
    ("mount", libc::CLONE_NEWNS),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("uts", libc::CLONE_NEWUTS),
    ("ipc", libc::CLONE_NEWIPC),
    ("user", libc::CLONE_NEWUSER),
    ("pid", libc::CLONE_NEWPID),
    ("net", libc::CLONE_NEWNET),
    ("time", 0x80),
];

/// `unshare` of each namespace, alone and with a user namespace that would give the right to it.
pub(crate) fn unshare(_: &Args) -> Outcome {
    all(NAMESPACES
        .iter()
        .flat_map(|(name, flag)| [(name, *flag), (name, flag | libc::CLONE_NEWUSER)])
        .map(|(name, flags)| {
            let ended = raw::in_child(|| match call(libc::SYS_unshare, &[flags.cast_unsigned() as usize]) {
                Ok(_) => 0,
                Err(errno) => errno,
            });
            from_child(&format!("unshare {name} {flags:#x}"), ended)
        }))
}

fn from_child(what: &str, ended: Result<Ended, i32>) -> Outcome {
    match ended {
        Ok(Ended::Code(0)) => refused(what, Ok(()), FILTERED),
        Ok(Ended::Code(errno)) => refused::<()>(what, Err(errno), FILTERED),
        other => Outcome::Unclear(format!("{what}: {other:?}")),
    }
}

/// `clone` with a flag of each namespace that it knows.
pub(crate) fn clone(_: &Args) -> Outcome {
    all(NAMESPACES
        .iter()
        .filter(|(name, _)| *name != "time")
        .map(|(name, flag)| {
            let made = raw::clone_and_end(flag | libc::CLONE_NEWUSER);
            if let Ok(pid) = made {
                raw::wait(pid);
            }
            refused(&format!("clone {name}"), made, FILTERED)
        }))
}

/// `clone3`: its flags are out of a filter's sight, so it is not there.
pub(crate) fn clone3(_: &Args) -> Outcome {
    // An empty struct: a kernel that looks says EINVAL.
    try_calls(&[("clone3", libc::SYS_clone3, &[NOWHERE, 0])], UNKNOWN)
}

/// `setns` into what `/proc` shows, and of nothing.
pub(crate) fn setns(_: &Args) -> Outcome {
    let mut outcomes = vec![refused(
        "setns of nothing",
        call(libc::SYS_setns, &[usize::MAX, 0]),
        FILTERED,
    )];
    for name in ["user", "mnt", "net", "pid", "ipc", "uts", "cgroup"] {
        if let Ok(file) = std::fs::File::open(format!("/proc/self/ns/{name}")) {
            let fd = std::os::fd::AsRawFd::as_raw_fd(&file).cast_unsigned() as usize;
            let ended = raw::in_child(|| call(libc::SYS_setns, &[fd, 0]).map_or_else(|errno| errno, |_| 0));
            outcomes.push(from_child(&format!("setns {name}"), ended));
        }
    }
    all(outcomes)
}

/// Taking a descriptor out of another process.
pub(crate) fn pidfd_getfd(_: &Args) -> Outcome {
    let me = std::process::id() as usize;
    match call(libc::SYS_pidfd_open, &[me, 0]) {
        Ok(fd) => refused(
            "pidfd_getfd",
            call(libc::SYS_pidfd_getfd, &[fd.cast_unsigned() as usize, 0, 0]),
            FILTERED,
        ),
        Err(errno) => Outcome::Unclear(format!("pidfd_open: errno {errno}")),
    }
}

/// The kernel's key rings, which know nothing of namespaces of our kind.
pub(crate) fn keys(_: &Args) -> Outcome {
    try_calls(
        &[
            ("keyctl", libc::SYS_keyctl, &[9999, 0, 0, 0, 0]),
            ("add_key", libc::SYS_add_key, &[NOWHERE, NOWHERE, 0, 0, 0]),
            ("request_key", libc::SYS_request_key, &[NOWHERE, NOWHERE, 0, 0]),
        ],
        FILTERED,
    )
}

/// Programs in the kernel, its counters, its page faults.
pub(crate) fn bpf_perf_userfaultfd(_: &Args) -> Outcome {
    try_calls(
        &[
            ("bpf", libc::SYS_bpf, &[0, NOWHERE, 1 << 20]),
            (
                "perf_event_open",
                libc::SYS_perf_event_open,
                &[NOWHERE, 0, 0, usize::MAX, usize::MAX],
            ),
            ("userfaultfd", libc::SYS_userfaultfd, &[1]),
        ],
        FILTERED,
    )
}

/// A second way to make most system calls.
pub(crate) fn io_uring(_: &Args) -> Outcome {
    try_calls(
        &[
            ("io_uring_setup", libc::SYS_io_uring_setup, &[0, NOWHERE]),
            ("io_uring_enter", libc::SYS_io_uring_enter, &[usize::MAX, 0, 0, 0, 0, 0]),
            ("io_uring_register", libc::SYS_io_uring_register, &[usize::MAX, 0, 0, 0]),
        ],
        UNKNOWN,
    )
}

/// Files by handle, past every path.
pub(crate) fn file_handles(_: &Args) -> Outcome {
    try_calls(
        &[
            (
                "open_by_handle_at",
                libc::SYS_open_by_handle_at,
                &[usize::MAX, NOWHERE, 0],
            ),
            (
                "name_to_handle_at",
                libc::SYS_name_to_handle_at,
                &[usize::MAX, NOWHERE, NOWHERE, NOWHERE, 0x1_0000],
            ),
        ],
        FILTERED,
    )
}

/// Reboot, other kernels, modules, swap, accounting.
pub(crate) fn machine(_: &Args) -> Outcome {
    try_calls(
        &[
            // Without the magic numbers no kernel reboots.
            ("reboot", libc::SYS_reboot, &[0, 0, 0, 0]),
            ("kexec_load", libc::SYS_kexec_load, &[0, 0, NOWHERE, usize::MAX]),
            (
                "kexec_file_load",
                libc::SYS_kexec_file_load,
                &[usize::MAX, usize::MAX, 0, NOWHERE, usize::MAX],
            ),
            ("init_module", libc::SYS_init_module, &[NOWHERE, 1, NOWHERE]),
            (
                "finit_module",
                libc::SYS_finit_module,
                &[usize::MAX, NOWHERE, usize::MAX],
            ),
            ("delete_module", libc::SYS_delete_module, &[NOWHERE, 0]),
            ("swapon", libc::SYS_swapon, &[NOWHERE, usize::MAX]),
            ("swapoff", libc::SYS_swapoff, &[NOWHERE]),
            ("acct", libc::SYS_acct, &[NOWHERE]),
            ("quotactl", libc::SYS_quotactl, &[usize::MAX, NOWHERE, 0, 0]),
        ],
        FILTERED,
    )
}

/// The machine's clock.
pub(crate) fn clock(_: &Args) -> Outcome {
    try_calls(
        &[
            ("settimeofday", libc::SYS_settimeofday, &[NOWHERE, 0]),
            ("clock_settime", libc::SYS_clock_settime, &[9999, NOWHERE]),
            ("clock_adjtime", libc::SYS_clock_adjtime, &[0, NOWHERE]),
            ("adjtimex", libc::SYS_adjtimex, &[NOWHERE]),
        ],
        FILTERED,
    )
}

/// The machine's ports.
#[cfg(target_arch = "x86_64")]
pub(crate) fn ports(_: &Args) -> Outcome {
    try_calls(
        &[
            ("iopl", libc::SYS_iopl, &[99]),
            ("ioperm", libc::SYS_ioperm, &[usize::MAX, 1, 1]),
            ("modify_ldt", libc::SYS_modify_ldt, &[99, 0, 0]),
        ],
        FILTERED,
    )
}

/// Calls for which no payload has an honest use.
pub(crate) fn odd_calls(_: &Args) -> Outcome {
    try_calls(
        &[
            ("fanotify_init", libc::SYS_fanotify_init, &[usize::MAX, 0]),
            ("quotactl_fd", libc::SYS_quotactl_fd, &[usize::MAX, 0, 0, 0]),
            ("kcmp", libc::SYS_kcmp, &[1, 1, 99, 0, 0]),
            ("memfd_secret", libc::SYS_memfd_secret, &[0xffff]),
            ("move_pages", libc::SYS_move_pages, &[0, 0, 0, 0, 0, 0xffff]),
            ("migrate_pages", libc::SYS_migrate_pages, &[0, 1, NOWHERE, NOWHERE]),
            ("mbind", libc::SYS_mbind, &[1, 1, 99, 0, 0, 0xffff]),
            ("set_mempolicy", libc::SYS_set_mempolicy, &[9999, 0, 0]),
            ("syslog", libc::SYS_syslog, &[9999, 0, 0]),
            ("lookup_dcookie", libc::SYS_lookup_dcookie, &[0, 0, 0]),
            ("vhangup", libc::SYS_vhangup, &[]),
        ],
        FILTERED,
    )
}

/// System calls by their x32 numbers, which name the same functions under numbers that no rule lists.
#[cfg(target_arch = "x86_64")]
pub(crate) fn x32(_: &Args) -> Outcome {
    const X32_BIT: i64 = 0x4000_0000;
    killed(
        "getpid by its x32 number",
        raw::in_child(|| i32::from(call(X32_BIT + libc::SYS_getpid, &[]).is_ok())),
    )
}

/// System calls by the door of 32-bit programs, where the same numbers mean other functions.
#[cfg(target_arch = "x86_64")]
pub(crate) fn i386(_: &Args) -> Outcome {
    const GETPID: u32 = 20;
    killed(
        "getpid through int 0x80",
        raw::in_child(|| i32::from(raw::call_as_i386(GETPID) > 0)),
    )
}

#[cfg(target_arch = "x86_64")]
fn killed(what: &str, ended: Result<Ended, i32>) -> Outcome {
    let seen = format!("{what}: {ended:?}");
    match ended {
        Ok(Ended::Signal(libc::SIGSYS)) => Outcome::Held(seen),
        Ok(Ended::Code(_)) => Outcome::Broken(seen),
        _ => Outcome::Unclear(seen),
    }
}

/// Typing into a terminal. The kernel looks at the low 32 bits of the request only (CVE-2019-7303).
pub(crate) fn terminal(_: &Args) -> Outcome {
    let byte = b'x';
    all([
        ("TIOCSTI", 0x5412usize),
        ("TIOCSTI with high bits", 0x1_0000_5412),
        ("TIOCLINUX", 0x541C),
    ]
    .map(|(name, request)| refused(name, call(libc::SYS_ioctl, &[0, request, address(&byte)]), FILTERED)))
}

/// Address randomisation and other guards of a process.
pub(crate) fn personality(_: &Args) -> Outcome {
    all([
        ("ADDR_NO_RANDOMIZE", 0x004_0000usize),
        ("READ_IMPLIES_EXEC", 0x040_0000),
        ("MMAP_PAGE_ZERO", 0x010_0000),
    ]
    .map(|(name, value)| refused(name, call(libc::SYS_personality, &[value]), FILTERED)))
}

/// Host and domain name.
pub(crate) fn set_names(_: &Args) -> Outcome {
    let name = "elsewhere";
    try_calls(
        &[
            (
                "sethostname",
                libc::SYS_sethostname,
                &[name.as_ptr() as usize, name.len()],
            ),
            (
                "setdomainname",
                libc::SYS_setdomainname,
                &[name.as_ptr() as usize, name.len()],
            ),
        ],
        FILTERED,
    )
}

/// The limits of the sandbox's first process, which has the same user.
pub(crate) fn limits_of_pid1(_: &Args) -> Outcome {
    // Only asked for: with a limit to set, a breach would do harm.
    let got = [0u64; 2];
    let first = rustix::process::getppid()
        .map_or(1, |pid| pid.as_raw_nonzero().get())
        .cast_unsigned() as usize;
    refused(
        "prlimit64 of pid 1",
        call(
            libc::SYS_prlimit64,
            &[first, libc::RLIMIT_NOFILE as usize, 0, address(&got)],
        ),
        FILTERED,
    )
}

/// What `/proc/self/status` says of the seals.
pub(crate) fn status(field: &str, want: &[&str]) -> Outcome {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map_or("missing", str::trim);
    check(want.contains(&value), format!("{field} {value}"))
}

/// No capability, now or ever.
pub(crate) fn capabilities(_: &Args) -> Outcome {
    all(["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|field| status(field, &["0000000000000000"])))
}

/// Programs give nothing that the caller has not got.
pub(crate) fn no_new_privs(_: &Args) -> Outcome {
    status("NoNewPrivs", &["1"])
}

/// The filter is there.
pub(crate) fn seccomp(_: &Args) -> Outcome {
    status("Seccomp", &["2"])
}
