//! The system-call filter: a deny-list that keeps ordinary programs working, in three parts.
//!
//! 1. x32 numbers end the process: they would pass by every number that the other parts name.
//! 2. New interfaces that old kernels lack answer ENOSYS, so that programs fall back (clone3, new mount API, io_uring).
//! 3. What a sandbox has no business with answers EPERM.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use crate::error::{Kind, NativeError};

/// The compiled filter, in the order it is installed.
pub(crate) struct Filter {
    programs: Vec<Vec<libc::sock_filter>>,
}

impl Filter {
    /// Compiles it.
    pub(crate) fn compile() -> Result<Filter, NativeError> {
        let failed =
            |error: String| NativeError::new(Kind::Failed, format!("cannot compile the seccomp filter: {error}"));
        let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| failed(error.to_string()))?;
        let compile = |rules, errno: i32| -> Result<Vec<libc::sock_filter>, NativeError> {
            let action = SeccompAction::Errno(errno.unsigned_abs());
            let program: BpfProgram = SeccompFilter::new(rules, SeccompAction::Allow, action, arch)
                .and_then(TryInto::try_into)
                .map_err(|error: seccompiler::BackendError| failed(error.to_string()))?;
            Ok(program
                .into_iter()
                .map(|i| libc::sock_filter {
                    code: i.code,
                    jt: i.jt,
                    jf: i.jf,
                    k: i.k,
                })
                .collect())
        };
        let conditions = deny_rules().map_err(|error| failed(error.to_string()))?;
        let mut programs = vec![
            compile(missing_rules(), libc::ENOSYS)?,
            compile(conditions, libc::EPERM)?,
        ];
        if cfg!(target_arch = "x86_64") {
            programs.push(refuse_x32());
        }
        Ok(Filter { programs })
    }

    /// Installs it on this thread and all it will start.
    pub(crate) fn install(&self) -> std::io::Result<()> {
        self.programs
            .iter()
            .try_for_each(|program| crate::sys::seccomp_install(program))
    }
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn missing_rules() -> Rules {
    // Numbers that libc does not name everywhere yet: listmount, statmount, mseal-time additions of 6.8 and later.
    const STATMOUNT: i64 = 457;
    const LISTMOUNT: i64 = 458;
    const OPEN_TREE_ATTR: i64 = 467;
    [
        libc::SYS_clone3,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_mount_setattr,
        STATMOUNT,
        LISTMOUNT,
        OPEN_TREE_ATTR,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect()
}

fn always_denied() -> Vec<i64> {
    let mut calls = vec![
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_reboot,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_acct,
        libc::SYS_quotactl,
        libc::SYS_quotactl_fd,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_name_to_handle_at,
        libc::SYS_open_by_handle_at,
        libc::SYS_lookup_dcookie,
        libc::SYS_pidfd_getfd,
        libc::SYS_kcmp,
        libc::SYS_fanotify_init,
        libc::SYS_fanotify_mark,
        libc::SYS_move_pages,
        libc::SYS_migrate_pages,
        libc::SYS_mbind,
        libc::SYS_set_mempolicy,
        libc::SYS_syslog,
        libc::SYS_vhangup,
        libc::SYS_nfsservctl,
        libc::SYS_memfd_secret,
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        libc::SYS_kexec_file_load,
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_modify_ldt,
        libc::SYS_uselib,
        libc::SYS_ustat,
        libc::SYS_sysfs,
        libc::SYS__sysctl,
    ]);
    #[cfg(target_arch = "aarch64")]
    calls.push(libc::SYS_kexec_file_load);
    calls
}

fn deny_rules() -> Result<Rules, seccompiler::BackendError> {
    use SeccompCmpArgLen::{Dword, Qword};
    use SeccompCmpOp::{Eq, MaskedEq, Ne};
    let when = |argument, length, operator, value| SeccompCondition::new(argument, length, operator, value);
    let rule = |conditions| SeccompRule::new(conditions);

    let mut rules: Rules = always_denied().into_iter().map(|call| (call, Vec::new())).collect();

    // Namespaces: any of these flags.
    let namespaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    let mut clone = Vec::new();
    for flag in namespaces {
        let flag = u64::from(flag.cast_unsigned());
        clone.push(rule(vec![when(0, Qword, MaskedEq(flag), flag)?])?);
    }
    rules.insert(libc::SYS_clone, clone);

    // Sockets: unix, IPv4, IPv6, and of netlink only what getaddrinfo and `ip` need.
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let mut other = Vec::new();
    for family in families {
        other.push(when(0, Dword, Ne, u64::from(family.unsigned_abs()))?);
    }
    let netlink = vec![
        when(0, Dword, Eq, u64::from(libc::AF_NETLINK.unsigned_abs()))?,
        when(2, Dword, Ne, u64::from(libc::NETLINK_ROUTE.unsigned_abs()))?,
    ];
    rules.insert(libc::SYS_socket, vec![rule(other)?, rule(netlink)?]);
    let pair = vec![when(0, Dword, Ne, u64::from(libc::AF_UNIX.unsigned_abs()))?];
    rules.insert(libc::SYS_socketpair, vec![rule(pair)?]);

    // Typing into somebody's terminal. The kernel looks at the low 32 bits only, so do we (CVE-2019-7303).
    let mut ioctl = Vec::new();
    for request in [libc::TIOCSTI, libc::TIOCLINUX] {
        ioctl.push(rule(vec![when(1, Dword, Eq, request)?])?);
    }
    rules.insert(libc::SYS_ioctl, ioctl);

    // Personalities other than the default, a query, and the 32-bit one: the rest weakens address randomisation.
    let mut personality = Vec::new();
    for value in [0, 0xffff_ffff, 8] {
        personality.push(when(0, Dword, Ne, value)?);
    }
    rules.insert(libc::SYS_personality, vec![rule(personality)?]);

    // Devices.
    for (call, argument) in mknod_calls() {
        let mut devices = Vec::new();
        for kind in [libc::S_IFCHR, libc::S_IFBLK] {
            let mask = u64::from(libc::S_IFMT);
            devices.push(rule(vec![when(argument, Dword, MaskedEq(mask), u64::from(kind))?])?);
        }
        rules.insert(call, devices);
    }

    // Set-user-id and set-group-id bits.
    for (call, argument) in chmod_calls() {
        let mut bits = Vec::new();
        for bit in [u64::from(libc::S_ISUID), u64::from(libc::S_ISGID)] {
            bits.push(rule(vec![when(argument, Dword, MaskedEq(bit), bit)?])?);
        }
        rules.insert(call, bits);
    }

    // Pid 1 runs as the same user: its limits are not the payload's to change.
    let first = vec![when(0, Dword, Eq, 1)?];
    rules.insert(libc::SYS_prlimit64, vec![rule(first)?]);
    Ok(rules)
}

fn mknod_calls() -> Vec<(i64, u8)> {
    let mut calls = vec![(libc::SYS_mknodat, 2)];
    #[cfg(target_arch = "x86_64")]
    calls.push((libc::SYS_mknod, 1));
    calls
}

fn chmod_calls() -> Vec<(i64, u8)> {
    const FCHMODAT2: i64 = 452;
    let mut calls = vec![(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (FCHMODAT2, 2)];
    #[cfg(target_arch = "x86_64")]
    calls.push((libc::SYS_chmod, 1));
    calls
}

/// Ends a process that uses x32 system-call numbers.
fn refuse_x32() -> Vec<libc::sock_filter> {
    const X32_BIT: u32 = 0x4000_0000;
    let code = |bits: u32| u16::try_from(bits).unwrap_or(0);
    let statement = |bits, k| libc::sock_filter {
        code: code(bits),
        jt: 0,
        jf: 0,
        k,
    };
    vec![
        // Offset 0 of seccomp_data is the number.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K),
            jt: 0,
            jf: 1,
            k: X32_BIT,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_and_fits_the_kernel() {
        let filter = Filter::compile().expect("compiles");
        assert_eq!(filter.programs.len(), 3);
        assert!(filter.programs.iter().all(|program| program.len() < 4096));
    }
}
