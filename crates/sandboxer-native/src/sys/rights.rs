//! What a process may do and use, and giving it up.

use std::io;

use super::check;

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
