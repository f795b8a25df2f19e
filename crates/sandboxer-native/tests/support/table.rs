//! The table of probes: what is tried, what holds it, and what is switched off to see the probe fail.

use std::path::Path;

use super::host;
use super::inside::{Args, calls, files, limits, network, processes};
use super::outcome::Outcome;
use super::trial::Mode;
use super::world::World;

/// One thing that must not work.
pub(crate) struct Probe {
    pub(crate) name: &'static str,
    /// What is tried.
    pub(crate) tries: &'static str,
    /// Every layer that holds it.
    pub(crate) layers: &'static str,
    /// The protections that are switched off to see it fail: as root, and as a plain user.
    pub(crate) off: [&'static str; 2],
    run: Run,
}

enum Run {
    Inside(Try),
    Beside(fn(&World) -> Outcome),
}

type Try = fn(&Args) -> Outcome;

const fn inside_probe(
    name: &'static str,
    tries: &'static str,
    layers: &'static str,
    off: [&'static str; 2],
    run: Try,
) -> Probe {
    Probe {
        name,
        tries,
        layers,
        off,
        run: Run::Inside(run),
    }
}

const fn beside_probe(
    name: &'static str,
    tries: &'static str,
    layers: &'static str,
    off: [&'static str; 2],
    run: fn(&World) -> Outcome,
) -> Probe {
    Probe {
        name,
        tries,
        layers,
        off,
        run: Run::Beside(run),
    }
}

/// Switched off alike for both.
const fn both(off: &'static str) -> [&'static str; 2] {
    [off, off]
}

const FILTER: [&str; 2] = both("seccomp");
/// What root of the user namespace could do.
const RIGHTS: [&str; 2] = both("seccomp,landlock,capabilities,user");
const NETWORK: [&str; 2] = both("network_namespace,attestation,landlock");

/// All of them.
pub(crate) const PROBES: &[Probe] = &[
    beside_probe(
        "fork_bomb",
        "start processes without end",
        "pids control group, or RLIMIT_NPROC of the user namespace",
        both("limits_pids"),
        host::fork_bomb,
    ),
    beside_probe(
        "memory_bomb",
        "take memory without end",
        "memory control group kills in the group only; else the keeper ends the sandbox",
        both("limits_memory"),
        host::memory_bomb,
    ),
    beside_probe(
        "disk_fill",
        "write without end, in each writable place",
        "tmpfs of the limit's size under all of them",
        both("limits_disk"),
        host::disk_fill,
    ),
    beside_probe(
        "inode_fill",
        "make empty files without end",
        "tmpfs with one inode for each 8 KiB",
        both("limits_disk"),
        host::inode_fill,
    ),
    beside_probe(
        "cpu",
        "use more CPU than granted",
        "cpu control group quota; else affinity to whole CPUs, which the filter keeps",
        both("limits_cpu"),
        host::cpu,
    ),
    inside_probe(
        "proc_sys",
        "change settings of the kernel",
        "read-only mount, user namespace, Landlock",
        both("proc_masks"),
        files::proc_sys,
    ),
    inside_probe(
        "proc_doors",
        "sysrq-trigger, kcore, keys, kmsg, kallsyms, timer_list",
        "covered by /dev/null, user namespace",
        both("proc_masks"),
        files::proc_doors,
    ),
    inside_probe(
        "mounts",
        "mount, remount, unmount, pivot_root",
        "seccomp, no capabilities, Landlock",
        RIGHTS,
        calls::mounts,
    ),
    inside_probe(
        "new_mounts",
        "fsopen, open_tree, move_mount, mount_setattr and their family",
        "seccomp, no capabilities, Landlock",
        FILTER,
        calls::new_mounts,
    ),
    inside_probe(
        "unshare",
        "unshare each namespace, alone and in a user namespace",
        "seccomp, no capabilities",
        FILTER,
        calls::unshare,
    ),
    inside_probe(
        "clone",
        "clone into each namespace",
        "seccomp, no capabilities",
        FILTER,
        calls::clone,
    ),
    inside_probe(
        "clone3",
        "clone3, whose flags a filter cannot see",
        "seccomp",
        FILTER,
        calls::clone3,
    ),
    inside_probe(
        "setns",
        "enter a namespace",
        "seccomp, no capabilities",
        FILTER,
        calls::setns,
    ),
    inside_probe(
        "pidfd_getfd",
        "take a descriptor out of a process",
        "seccomp, pid 1 not dumpable",
        FILTER,
        calls::pidfd_getfd,
    ),
    inside_probe(
        "trace_pid1",
        "ptrace pid 1",
        "pid 1 not dumpable",
        both("dumpable"),
        processes::trace_pid1,
    ),
    inside_probe(
        "memory_of_pid1",
        "read and write the memory of pid 1",
        "pid 1 not dumpable",
        both("dumpable"),
        processes::memory_of_pid1,
    ),
    inside_probe(
        "proc_of_pid1",
        "exe, root, cwd, environ, mem, maps, fd of pid 1 in /proc",
        "pid 1 not dumpable",
        both("dumpable"),
        processes::proc_of_pid1,
    ),
    inside_probe(
        "limits_of_pid1",
        "change limits of pid 1",
        "seccomp",
        FILTER,
        calls::limits_of_pid1,
    ),
    beside_probe(
        "kill_host_process",
        "kill a process of the host that has the same host user id",
        "pid namespace, Landlock scope, own user ids (as root)",
        both("pid_namespace,landlock"),
        host::kill_host_process,
    ),
    beside_probe(
        "kill_everything",
        "kill -1",
        "pid namespace, Landlock scope, own user ids (as root)",
        both("pid_namespace,landlock"),
        host::kill_everything,
    ),
    beside_probe(
        "kill_pid1",
        "every signal to pid 1",
        "pid namespace: its first process takes no signal it does not ask for",
        both("pid_namespace"),
        host::kill_pid1,
    ),
    inside_probe(
        "list_processes",
        "list processes",
        "pid namespace with a /proc of its own",
        both("pid_namespace"),
        processes::list,
    ),
    inside_probe(
        "raw_sockets",
        "raw IP sockets",
        "no capabilities, network namespace",
        both("capabilities,user"),
        network::raw_sockets,
    ),
    inside_probe(
        "packet_sockets",
        "packet sockets",
        "seccomp, no capabilities, network namespace",
        FILTER_AND_RIGHTS,
        network::packet_sockets,
    ),
    inside_probe(
        "exotic_sockets",
        "vsock, crypto, bluetooth, CAN, TIPC, RDS, IPsec, XDP sockets",
        "seccomp",
        FILTER,
        network::exotic_sockets,
    ),
    inside_probe("netlink", "netlink beyond routes", "seccomp", FILTER, network::netlink),
    inside_probe(
        "interfaces",
        "see network interfaces of the host",
        "network namespace",
        NETWORK,
        network::interfaces,
    ),
    beside_probe(
        "host_loopback",
        "connect to a service on the host's 127.0.0.1 and ::1",
        "network namespace",
        NETWORK,
        host::loopback,
    ),
    beside_probe(
        "public_addresses",
        "connect to a public IPv4 address",
        "network namespace without routes",
        NETWORK,
        host::public_addresses,
    ),
    beside_probe(
        "ipv6",
        "connect to public, private and metadata IPv6 addresses",
        "network namespace without routes",
        NETWORK,
        host::public_ipv6,
    ),
    beside_probe(
        "cloud_metadata",
        "connect to 169.254.169.254",
        "network namespace without routes",
        NETWORK,
        host::metadata,
    ),
    beside_probe(
        "private_ranges",
        "connect to private ranges",
        "network namespace without routes",
        NETWORK,
        host::private_ranges,
    ),
    beside_probe(
        "host_abstract_socket",
        "connect to an abstract unix socket of the host",
        "network namespace, Landlock scope",
        NETWORK,
        host::host_abstract_socket,
    ),
    beside_probe(
        "host_path_sockets",
        "connect to unix sockets of the host by path",
        "mount namespace",
        both("private_tmp"),
        host::host_path_sockets,
    ),
    beside_probe(
        "socket_in_tree",
        "connect to a socket that a process of the host listens at inside the caller's tree",
        "overlay: its sockets are not those below",
        both("overlay"),
        host::socket_in_tree,
    ),
    beside_probe(
        "pipe_in_tree",
        "write to a named pipe in the caller's tree that a process of the host reads",
        "overlay: its pipes are not those below",
        both("overlay"),
        host::pipe_in_tree,
    ),
    beside_probe(
        "device_in_tree",
        "open a device file in the caller's tree",
        "nodev mounts",
        both("overlay"),
        host::device_in_tree,
    ),
    beside_probe(
        "tree_untouched",
        "write, rename, remove, chmod in the caller's tree",
        "overlay: the writable layer is the sandbox's",
        both("overlay"),
        host::tree_untouched,
    ),
    beside_probe(
        "tree_read_only",
        "the same in a tree that may only be read",
        "read-only overlay",
        both("overlay"),
        host::tree_read_only,
    ),
    beside_probe(
        "links",
        "follow links in the caller's tree that lead out of it",
        "mount namespace: they lead to the same names inside",
        both("private_tmp"),
        host::links,
    ),
    beside_probe(
        "inherited_descriptors",
        "use descriptors that the caller had open",
        "keeper and pid 1 close all; commands get three",
        both("close_fds"),
        host::descriptors,
    ),
    inside_probe(
        "set_user_id_programs",
        "gain from set-user-id programs of the host and of the tree",
        "no_new_privs, nosuid mounts, user namespace",
        both("no_new_privs,landlock,seccomp"),
        files::set_user_id_programs,
    ),
    inside_probe(
        "set_user_id_bits",
        "make a set-user-id program: chmod, open, mknod and their families",
        "seccomp",
        FILTER,
        files::set_user_id,
    ),
    inside_probe(
        "make_devices",
        "make device files",
        "seccomp, Landlock, user namespace, nodev mounts",
        both("seccomp,landlock"),
        files::make_device,
    ),
    inside_probe(
        "devices",
        "/dev/mem, kmsg, port, kvm, disks",
        "a /dev with seven devices",
        both("devices"),
        files::devices,
    ),
    inside_probe("keys", "keyctl, add_key, request_key", "seccomp", FILTER, calls::keys),
    inside_probe(
        "bpf_perf_userfaultfd",
        "bpf, perf_event_open, userfaultfd",
        "seccomp, no capabilities",
        FILTER,
        calls::bpf_perf_userfaultfd,
    ),
    inside_probe("io_uring", "io_uring", "seccomp", FILTER, calls::io_uring),
    inside_probe(
        "file_handles",
        "open files by handle, past every path",
        "seccomp, no capabilities",
        FILTER,
        calls::file_handles,
    ),
    inside_probe(
        "machine",
        "reboot, kexec, modules, swap, accounting, quotas",
        "seccomp, user namespace",
        RIGHTS,
        calls::machine,
    ),
    inside_probe(
        "clock",
        "set the clock",
        "seccomp, user namespace",
        FILTER,
        calls::clock,
    ),
    #[cfg(target_arch = "x86_64")]
    inside_probe(
        "ports",
        "iopl, ioperm, modify_ldt",
        "seccomp, user namespace",
        FILTER,
        calls::ports,
    ),
    inside_probe(
        "odd_calls",
        "fanotify, kcmp, memfd_secret, page moving, syslog and others",
        "seccomp",
        FILTER,
        calls::odd_calls,
    ),
    #[cfg(target_arch = "x86_64")]
    inside_probe(
        "x32",
        "system calls by x32 numbers",
        "seccomp ends the process",
        FILTER,
        calls::x32,
    ),
    #[cfg(target_arch = "x86_64")]
    inside_probe(
        "i386",
        "system calls through int 0x80",
        "seccomp ends the process",
        FILTER,
        calls::i386,
    ),
    inside_probe(
        "terminal",
        "TIOCSTI (also with high bits set), TIOCLINUX",
        "seccomp, a terminal of its own",
        FILTER,
        calls::terminal,
    ),
    inside_probe(
        "personality",
        "switch address randomisation off",
        "seccomp",
        FILTER,
        calls::personality,
    ),
    inside_probe(
        "control_groups",
        "see or mount control groups, write release_agent",
        "no mount of them, seccomp, no capabilities, cgroup namespace",
        RIGHTS,
        files::control_groups,
    ),
    inside_probe(
        "group_names",
        "learn the names of one's control groups",
        "cgroup namespace",
        both("cgroup_namespace"),
        files::group_names,
    ),
    beside_probe(
        "leave_root",
        "chroot and `..` past the root",
        "pivot_root forgets the host's root; seccomp, no capabilities, Landlock",
        both("pivot_root,seccomp,landlock,capabilities,user"),
        host::leave_root,
    ),
    inside_probe(
        "set_names",
        "set the host's name",
        "seccomp, no capabilities, uts namespace",
        both("seccomp,capabilities,user"),
        calls::set_names,
    ),
    beside_probe(
        "host_name",
        "learn the host's name",
        "uts namespace",
        both("uts_namespace"),
        host::host_name,
    ),
    beside_probe(
        "other_sandbox_processes",
        "see, signal, trace the first process of another sandbox",
        "pid namespace, Landlock scope, own user ids (as root)",
        both("pid_namespace,landlock,ids"),
        host::other_sandbox_processes,
    ),
    beside_probe(
        "other_sandbox_sockets",
        "connect to an abstract socket of another sandbox",
        "network namespace, Landlock scope",
        NETWORK,
        host::other_sandbox_sockets,
    ),
    beside_probe(
        "other_sandbox_files",
        "files of another sandbox: /tmp, /dev/shm, its layer, state, sockets",
        "mount namespace, directories of mode 0700",
        both("private_tmp"),
        host::other_sandbox_files,
    ),
    beside_probe(
        "other_sandbox_memory",
        "System V shared memory of another sandbox",
        "ipc namespace",
        both("ipc_namespace"),
        host::other_sandbox_memory,
    ),
    beside_probe(
        "secrets",
        "find the caller's environment and arguments in keeper, pid 1, commands or on disk",
        "cleared environment and arguments; nothing of a command is written down",
        both("clean_environment"),
        host::secrets,
    ),
    beside_probe(
        "flood",
        "256 MiB of output that nobody reads, and 256 MiB into a log",
        "commands write to the caller's descriptors directly; a log counts as disk",
        both("limits_disk"),
        host::flood,
    ),
    inside_probe(
        "capabilities",
        "have a capability, now or later",
        "all sets empty, secure bits locked",
        both("capabilities,user"),
        calls::capabilities,
    ),
    inside_probe(
        "no_new_privs",
        "gain by running a program",
        "no_new_privs",
        both("no_new_privs,landlock,seccomp"),
        calls::no_new_privs,
    ),
    inside_probe("seccomp", "run without the filter", "seccomp", FILTER, calls::seccomp),
    inside_probe(
        "usr",
        "write to /usr",
        "read-only mount, Landlock, user namespace",
        both("readonly_usr"),
        files::usr,
    ),
    inside_probe(
        "root",
        "write to /, /etc, /run, /var",
        "read-only mount, Landlock",
        both("readonly_root,landlock,user"),
        files::root,
    ),
    beside_probe(
        "users",
        "have the user id of another sandbox, or become another user",
        "a block of ids for each sandbox (as root), a map of one id (else)",
        both("ids"),
        host::users,
    ),
    beside_probe(
        "stubborn_payload",
        "be hard to remove: 1000 directories deep, directories without rights, zombies, uninterruptible waits",
        "end of the pid namespace; removal that opens and does not follow",
        both("removal"),
        host::stubborn,
    ),
];

const FILTER_AND_RIGHTS: [&str; 2] = both("seccomp,capabilities,user");

/// Parts of probes that run inside, and helpers.
const INSIDE: &[(&str, Try)] = &[
    ("fork_bomb_inside", limits::fork_bomb),
    ("memory_bomb_inside", limits::memory_bomb),
    ("disk_fill_inside", limits::disk_fill),
    ("inode_fill_inside", limits::inode_fill),
    ("cpu_quota_inside", limits::cpu_quota),
    ("cpu_affinity_inside", limits::cpu_affinity),
    ("flood_inside", limits::flood),
    ("loopback_inside", network::loopback),
    ("unreachable_inside", network::unreachable),
    ("abstract_socket_inside", network::abstract_socket),
    ("path_sockets_inside", network::path_sockets),
    ("pipe_in_tree_inside", files::pipe_in_tree),
    ("device_in_tree_inside", files::device_in_tree),
    ("scribble_inside", files::scribble),
    ("read_only_tree_inside", files::read_only_tree),
    ("links_inside", files::links),
    ("leave_root_inside", files::leave_root),
    ("host_name_inside", files::host_name),
    ("absent_inside", files::absent),
    ("kill_one_inside", processes::kill_one),
    ("kill_everything_inside", processes::kill_everything),
    ("kill_pid1_inside", processes::kill_pid1),
    ("other_sandbox_inside", processes::other_sandbox),
    ("shared_memory_inside", processes::shared_memory),
    ("descriptors_inside", processes::descriptors),
    ("environment_inside", processes::environment),
    ("identity_inside", processes::identity),
    ("neighbour", processes::neighbour),
    ("stubborn", processes::stubborn),
    ("stay", processes::stay),
    ("window", processes::window),
];

/// Starts what is said where a probe cannot be shown to fail.
pub(crate) const CANNOT_SHOW: &str = "cannot be shown here: ";

fn find(name: &str) -> Option<&'static Probe> {
    PROBES.iter().find(|probe| probe.name == name)
}

/// What runs inside under this name.
pub(crate) fn inside(name: &str) -> Option<Try> {
    match find(name).map(|probe| &probe.run) {
        Some(Run::Inside(run)) => Some(*run),
        _ => INSIDE.iter().find(|(known, _)| *known == name).map(|(_, run)| *run),
    }
}

/// The protections to switch off to see this probe fail.
pub(crate) fn switches(name: &str, mode: Mode) -> String {
    find(name).map_or_else(String::new, |probe| {
        probe.off[usize::from(mode == Mode::Rootless)].to_owned()
    })
}

/// Why this machine cannot show that a probe is able to fail.
fn cannot_show(name: &str, world: &World) -> Option<&'static str> {
    let no_route =
        |address| (network::knock(address) == Err(libc::ENETUNREACH)).then_some("the machine has no route there");
    match name {
        "public_addresses" => no_route("203.0.113.1:443"),
        "cloud_metadata" => no_route("169.254.169.254:80"),
        "private_ranges" => no_route("10.0.0.1:22"),
        "ipv6" => no_route("[2001:db8::1]:443"),
        "devices" => (!Path::new("/dev/kmsg").exists()).then_some("the machine has no /dev/kmsg"),
        "cpu" if world.mode == Mode::Rootless => std::thread::available_parallelism()
            .is_ok_and(|count| count.get() < 2)
            .then_some("the machine has one CPU"),
        "group_names" if world.mode == Mode::Rootless => std::fs::read_to_string("/proc/self/cgroup")
            .is_ok_and(|text| text.lines().all(|line| line.ends_with(":/")))
            .then_some("the caller's own groups are the roots"),
        _ => None,
    }
}

/// Runs one probe.
pub(crate) fn run(name: &str, world: &World) -> Outcome {
    if world.weak
        && let Some(why) = cannot_show(name, world)
    {
        return Outcome::Unclear(format!("{CANNOT_SHOW}{why}"));
    }
    match find(name).map(|probe| &probe.run) {
        Some(Run::Inside(_)) => world.probe(name, &[]),
        Some(Run::Beside(run)) => run(world),
        None => Outcome::Unclear(format!("no probe `{name}`")),
    }
}
