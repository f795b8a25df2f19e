//! The system-call filter: a deny-list that keeps ordinary programs working.
//!
//! - Numbers of another architecture or of x32 end the process: they would pass by every number named here.
//! - New interfaces that old kernels lack answer ENOSYS, so that programs fall back (clone3, new mount API, io_uring).
//! - What a sandbox has no business with answers EPERM.
//!
//! The program is laid out here, and not by a library, for its size: the kernel runs a new filter once for each of its
//! system calls to learn which are always allowed. As a plain list of comparisons in three filters that took 290 µs of
//! each sandbox's start; sorted into short groups in one filter it takes a fraction of that.

use libc::sock_filter;

/// The compiled filter.
pub(crate) struct Filter {
    program: Vec<sock_filter>,
}

impl Filter {
    /// Compiles it.
    pub(crate) fn compile() -> Filter {
        Filter {
            program: lay_out(&mut rules()),
        }
    }

    /// What keeps a process on the CPUs it was bound to.
    pub(crate) fn keep_affinity() -> Filter {
        let number = u32::try_from(libc::SYS_sched_setaffinity).unwrap_or(u32::MAX);
        Filter {
            program: lay_out(&mut vec![(number, Verdict::Errno(libc::EPERM))]),
        }
    }

    /// Installs it on this thread and all it will start.
    pub(crate) fn install(&self) -> std::io::Result<()> {
        crate::sys::seccomp_install(&self.program)
    }
}

/// What becomes of a system call.
enum Verdict {
    /// It answers this error.
    Errno(i32),
    /// It answers EPERM when one of these alternatives fits, each of which is a list of conditions.
    DenyWhen(Vec<Vec<Condition>>),
}

/// A condition on the low 32 bits of an argument. The kernel, too, looks only at these for the arguments named here:
/// comparing all 64 would let a caller hide behind high bits (CVE-2019-7303).
#[derive(Clone, Copy)]
struct Condition {
    argument: u8,
    test: Test,
}

#[derive(Clone, Copy)]
enum Test {
    Is(u32),
    IsNot(u32),
    HasAnyOf(u32),
    MaskedIs(u32, u32),
}

fn when(argument: u8, test: Test) -> Condition {
    Condition { argument, test }
}

type Rules = Vec<(u32, Verdict)>;

fn rules() -> Rules {
    let mut rules: Rules = Vec::new();
    let number = |call: i64| u32::try_from(call).unwrap_or(u32::MAX);
    rules.extend(
        missing()
            .into_iter()
            .map(|call| (number(call), Verdict::Errno(libc::ENOSYS))),
    );
    rules.extend(
        denied()
            .into_iter()
            .map(|call| (number(call), Verdict::Errno(libc::EPERM))),
    );
    rules.extend(
        conditional()
            .into_iter()
            .map(|(call, alternatives)| (number(call), Verdict::DenyWhen(alternatives))),
    );
    rules
}

/// Interfaces that programs can do without.
fn missing() -> Vec<i64> {
    // Numbers that libc does not name everywhere yet; the same on every architecture.
    const STATMOUNT: i64 = 457;
    const LISTMOUNT: i64 = 458;
    const OPEN_TREE_ATTR: i64 = 467;
    vec![
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
        // Its mode is out of a filter's sight.
        libc::SYS_openat2,
        STATMOUNT,
        LISTMOUNT,
        OPEN_TREE_ATTR,
    ]
}

/// Calls that are refused whatever their arguments.
fn denied() -> Vec<i64> {
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
        libc::SYS_kexec_file_load,
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
        libc::SYS_iopl,
        libc::SYS_ioperm,
        libc::SYS_modify_ldt,
        libc::SYS_uselib,
        libc::SYS_ustat,
        libc::SYS_sysfs,
        libc::SYS__sysctl,
    ]);
    calls
}

/// Calls that are refused for some arguments.
fn conditional() -> Vec<(i64, Vec<Vec<Condition>>)> {
    use Test::{HasAnyOf, Is, IsNot, MaskedIs};
    const FCHMODAT2: i64 = 452;
    let bits = |value: i32| value.cast_unsigned();
    let namespaces = libc::CLONE_NEWNS
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET;
    // Unix, IPv4, IPv6, and of netlink only what getaddrinfo and `ip` need.
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let other_family = families.iter().map(|family| when(0, IsNot(bits(*family)))).collect();
    let other_netlink = vec![
        when(0, Is(bits(libc::AF_NETLINK))),
        when(2, IsNot(bits(libc::NETLINK_ROUTE))),
    ];
    // The default personality, a query, and the 32-bit one: the rest weakens address randomisation.
    let personalities = [0, u32::MAX, 8].iter().map(|value| when(0, IsNot(*value))).collect();
    let request = |value: libc::Ioctl| u32::try_from(value).unwrap_or(u32::MAX);
    let set_id_bits = libc::S_ISUID | libc::S_ISGID;
    let set_id = |argument| vec![vec![when(argument, HasAnyOf(set_id_bits))]];
    let devices = |argument| {
        let mut alternatives = set_id(argument);
        for kind in [libc::S_IFCHR, libc::S_IFBLK] {
            alternatives.push(vec![when(argument, MaskedIs(libc::S_IFMT, kind))]);
        }
        alternatives
    };
    // The mode counts only where a file may be made; else it is whatever was in the register.
    let makes = bits(libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY));
    let set_id_of_new = |flags, mode| vec![vec![when(flags, HasAnyOf(makes)), when(mode, HasAnyOf(set_id_bits))]];
    let mut rules = vec![
        (libc::SYS_clone, vec![vec![when(0, HasAnyOf(bits(namespaces)))]]),
        (libc::SYS_socket, vec![other_family, other_netlink]),
        (libc::SYS_socketpair, vec![vec![when(0, IsNot(bits(libc::AF_UNIX)))]]),
        // Typing into somebody's terminal.
        (
            libc::SYS_ioctl,
            vec![
                vec![when(1, Is(request(libc::TIOCSTI)))],
                vec![when(1, Is(request(libc::TIOCLINUX)))],
            ],
        ),
        (libc::SYS_personality, vec![personalities]),
        (libc::SYS_mknodat, devices(2)),
        (libc::SYS_openat, set_id_of_new(2, 3)),
        (libc::SYS_fchmod, set_id(1)),
        (libc::SYS_fchmodat, set_id(2)),
        (FCHMODAT2, set_id(2)),
        // Pid 1 runs as the same user: its limits are not the payload's to change.
        (libc::SYS_prlimit64, vec![vec![when(0, Is(1))]]),
    ];
    #[cfg(target_arch = "x86_64")]
    rules.extend([
        (libc::SYS_mknod, devices(1)),
        (libc::SYS_chmod, set_id(1)),
        (libc::SYS_creat, set_id(1)),
        (libc::SYS_open, set_id_of_new(1, 2)),
    ]);
    rules
}

#[cfg(target_arch = "x86_64")]
const AUDIT_ARCH: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const AUDIT_ARCH: u32 = 0xC000_00B7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("the system-call filter knows x86_64 and aarch64");

/// Set in the number of every x32 system call.
const X32_BIT: u32 = 0x4000_0000;
/// Rules that are compared one after the other.
const GROUP: usize = 8;

/// Where `struct seccomp_data` has the number, the architecture and the low half of an argument (little-endian).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
fn low_half(argument: u8) -> u32 {
    16 + 8 * u32::from(argument)
}

fn instruction(bits: u32, yes: usize, no: usize, k: u32) -> sock_filter {
    let offset = |distance: usize| u8::try_from(distance).unwrap_or(u8::MAX);
    sock_filter {
        code: u16::try_from(bits).unwrap_or(0),
        jt: offset(yes),
        jf: offset(no),
        k,
    }
}

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset)
}

fn answer(value: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value)
}

fn refuse(errno: i32) -> sock_filter {
    answer(libc::SECCOMP_RET_ERRNO | errno.unsigned_abs())
}

/// A conditional jump: `yes` and `no` are instructions to skip.
fn jump(test: u32, k: u32, yes: usize, no: usize) -> sock_filter {
    instruction(libc::BPF_JMP | test | libc::BPF_K, yes, no, k)
}

/// Lays the rules out: sorted, in groups that are skipped as a whole.
fn lay_out(rules: &mut Rules) -> Vec<sock_filter> {
    rules.sort_by_key(|(number, _)| *number);
    let mut program = vec![
        load(ARCHITECTURE),
        jump(libc::BPF_JEQ, AUDIT_ARCH, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
    ];
    if cfg!(target_arch = "x86_64") {
        program.push(jump(libc::BPF_JGE, X32_BIT, 0, 1));
        program.push(answer(libc::SECCOMP_RET_KILL_PROCESS));
    }
    let groups: Vec<&[(u32, Verdict)]> = rules.chunks(GROUP).collect();
    for (index, group) in groups.iter().enumerate() {
        let mut body = Vec::new();
        for (number, verdict) in *group {
            let block = verdict_block(verdict);
            body.push(jump(libc::BPF_JEQ, *number, 0, block.len()));
            body.extend(block);
        }
        body.push(answer(libc::SECCOMP_RET_ALLOW));
        if let Some((next, _)) = groups.get(index + 1).and_then(|group| group.first()) {
            // A conditional jump reaches 255 instructions, an unconditional one any number.
            program.push(jump(libc::BPF_JGE, *next, 0, 1));
            let distance = u32::try_from(body.len()).unwrap_or(u32::MAX);
            program.push(instruction(libc::BPF_JMP | libc::BPF_JA, 0, 0, distance));
        }
        program.extend(body);
    }
    program
}

/// What follows when the number fits. Ends in an answer whatever the arguments are.
fn verdict_block(verdict: &Verdict) -> Vec<sock_filter> {
    let alternatives = match verdict {
        Verdict::Errno(errno) => return vec![refuse(*errno)],
        Verdict::DenyWhen(alternatives) => alternatives,
    };
    let mut block = Vec::new();
    for conditions in alternatives {
        // Built from the end, so that each condition knows how far the next alternative is.
        let mut tail = vec![refuse(libc::EPERM)];
        for condition in conditions.iter().rev() {
            let away = tail.len();
            let mut check = vec![load(low_half(condition.argument))];
            match condition.test {
                Test::Is(value) => check.push(jump(libc::BPF_JEQ, value, 0, away)),
                Test::IsNot(value) => check.push(jump(libc::BPF_JEQ, value, away, 0)),
                Test::HasAnyOf(bits) => check.push(jump(libc::BPF_JSET, bits, 0, away)),
                Test::MaskedIs(mask, value) => {
                    check.push(instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, mask));
                    check.push(jump(libc::BPF_JEQ, value, 0, away));
                }
            }
            check.extend(tail);
            tail = check;
        }
        block.extend(tail);
    }
    block.push(answer(libc::SECCOMP_RET_ALLOW));
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program the way the kernel does.
    fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let (mut at, mut accumulator) = (0usize, 0u32);
        loop {
            let step = program[at];
            at += 1;
            let code = u32::from(step.code);
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            match code {
                c if c == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    accumulator = match step.k {
                        NUMBER => number,
                        ARCHITECTURE => architecture,
                        offset => arguments[(offset as usize - 16) / 8] as u32,
                    }
                }
                c if c == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => accumulator &= step.k,
                c if c == libc::BPF_JMP | libc::BPF_JA => at += step.k as usize,
                c if c == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => at += jump(accumulator == step.k),
                c if c == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => at += jump(accumulator >= step.k),
                c if c == libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K => at += jump(accumulator & step.k != 0),
                c if c == libc::BPF_RET | libc::BPF_K => return step.k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    fn verdict(number: i64, arguments: [u64; 6]) -> u32 {
        run(&Filter::compile().program, AUDIT_ARCH, number as u32, arguments)
    }

    #[test]
    fn every_listed_call_gets_its_answer_and_every_other_passes() {
        let program = Filter::compile().program;
        let answer_of = |number: u32| run(&program, AUDIT_ARCH, number, [0; 6]);
        let conditional: Vec<u32> = conditional().iter().map(|(call, _)| *call as u32).collect();
        for number in 0..600u32 {
            let expected = if missing().contains(&i64::from(number)) {
                ENOSYS
            } else if denied().contains(&i64::from(number)) {
                EPERM
            } else if conditional.contains(&number) {
                continue;
            } else {
                ALLOW
            };
            assert_eq!(answer_of(number), expected, "call {number}");
        }
        assert!(program.len() < 400, "{} instructions", program.len());
    }

    #[test]
    fn arguments_decide() {
        let stream = libc::SOCK_STREAM as u64;
        let cases: &[(i64, [u64; 6], u32)] = &[
            (libc::SYS_clone, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_clone, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0], EPERM),
            (
                libc::SYS_clone,
                [libc::CLONE_NEWNET as u64 | libc::CLONE_VM as u64, 0, 0, 0, 0, 0],
                EPERM,
            ),
            (libc::SYS_socket, [libc::AF_INET as u64, stream, 0, 0, 0, 0], ALLOW),
            (libc::SYS_socket, [libc::AF_INET6 as u64, stream, 0, 0, 0, 0], ALLOW),
            (libc::SYS_socket, [libc::AF_UNIX as u64, stream, 0, 0, 0, 0], ALLOW),
            (
                libc::SYS_socket,
                [libc::AF_NETLINK as u64, stream, libc::NETLINK_ROUTE as u64, 0, 0, 0],
                ALLOW,
            ),
            (
                libc::SYS_socket,
                [libc::AF_NETLINK as u64, stream, libc::NETLINK_AUDIT as u64, 0, 0, 0],
                EPERM,
            ),
            (libc::SYS_socket, [libc::AF_VSOCK as u64, stream, 0, 0, 0, 0], EPERM),
            (libc::SYS_socket, [libc::AF_ALG as u64, stream, 0, 0, 0, 0], EPERM),
            (libc::SYS_socketpair, [libc::AF_UNIX as u64, stream, 0, 0, 0, 0], ALLOW),
            (libc::SYS_socketpair, [libc::AF_TIPC as u64, stream, 0, 0, 0, 0], EPERM),
            (libc::SYS_ioctl, [0, libc::TCGETS, 0, 0, 0, 0], ALLOW),
            (libc::SYS_ioctl, [0, libc::TIOCSTI, 0, 0, 0, 0], EPERM),
            (libc::SYS_ioctl, [0, 1 << 32 | libc::TIOCSTI, 0, 0, 0, 0], EPERM),
            (libc::SYS_ioctl, [0, libc::TIOCLINUX, 0, 0, 0, 0], EPERM),
            (libc::SYS_personality, [0, 0, 0, 0, 0, 0], ALLOW),
            (libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0, 0], ALLOW),
            (
                libc::SYS_personality,
                [libc::ADDR_NO_RANDOMIZE as u64, 0, 0, 0, 0, 0],
                EPERM,
            ),
            (
                libc::SYS_mknodat,
                [0, 0, u64::from(libc::S_IFIFO) | 0o600, 0, 0, 0],
                ALLOW,
            ),
            (
                libc::SYS_mknodat,
                [0, 0, u64::from(libc::S_IFCHR) | 0o600, 0, 0, 0],
                EPERM,
            ),
            (
                libc::SYS_mknodat,
                [0, 0, u64::from(libc::S_IFBLK) | 0o600, 0, 0, 0],
                EPERM,
            ),
            (libc::SYS_fchmod, [0, 0o755, 0, 0, 0, 0], ALLOW),
            (libc::SYS_fchmod, [0, 0o4755, 0, 0, 0, 0], EPERM),
            (libc::SYS_fchmodat, [0, 0, 0o2755, 0, 0, 0], EPERM),
            (libc::SYS_prlimit64, [0, 7, 0, 0, 0, 0], ALLOW),
            (libc::SYS_prlimit64, [1, 7, 0, 0, 0, 0], EPERM),
        ];
        for (index, (number, arguments, expected)) in cases.iter().enumerate() {
            assert_eq!(
                verdict(*number, *arguments),
                *expected,
                "case {index}: call {number} {arguments:x?}"
            );
        }
    }

    #[test]
    fn other_architectures_end_the_process() {
        const I386: u32 = 0x4000_0003;
        let program = Filter::compile().program;
        assert_eq!(run(&program, I386, 1, [0; 6]), KILL);
        if cfg!(target_arch = "x86_64") {
            assert_eq!(run(&program, AUDIT_ARCH, X32_BIT | 1, [0; 6]), KILL);
        }
    }
}
