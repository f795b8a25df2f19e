//! Other processes: of the host, of other sandboxes, and the first of one's own.

use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;

use super::super::outcome::{Outcome, all, check, refused, refused_io};
use super::super::raw::{self, address, call};
use super::Args;

/// The first process: our parent, since it started us.
fn first() -> i32 {
    rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get())
}

fn as_argument(pid: i32) -> usize {
    pid.cast_unsigned() as usize
}

/// Tracing the first process.
pub(crate) fn trace_pid1(_: &Args) -> Outcome {
    const PTRACE_SEIZE: usize = 0x4206;
    // The tracer's end ends the tracing.
    refused(
        "PTRACE_SEIZE of pid 1",
        call(libc::SYS_ptrace, &[PTRACE_SEIZE, as_argument(first()), 0, 0]),
        &[libc::EPERM],
    )
}

/// Memory of the first process.
pub(crate) fn memory_of_pid1(_: &Args) -> Outcome {
    let mut buffer = [0u8; 8];
    let ours = [buffer.as_mut_ptr() as usize, buffer.len()];
    let theirs = [1usize, 8];
    // No memory is at that address: a kernel that lets us look says EFAULT.
    all([
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("process_vm_writev", libc::SYS_process_vm_writev),
    ]
    .map(|(name, number)| {
        let arguments = [as_argument(first()), address(&ours), 1, address(&theirs), 1, 0];
        refused(name, call(number, &arguments), &[libc::EPERM])
    }))
}

/// What `/proc` shows of the first process.
pub(crate) fn proc_of_pid1(_: &Args) -> Outcome {
    let no = &[libc::EACCES, libc::EPERM];
    let of = |name: &str| format!("/proc/{}/{name}", first());
    let links = ["exe", "root", "cwd", "ns/user"].map(|name| refused_io(name, std::fs::read_link(of(name)), no));
    let files = ["environ", "mem", "maps", "auxv", "io", "syscall", "stack"].map(|name| {
        let mut byte = [0; 1];
        let result = std::fs::File::open(of(name)).and_then(|mut file| file.read(&mut byte));
        // `mem` opens for its owner, and then has nothing at address 0.
        refused_io(name, result, no)
    });
    let fds = refused_io("fd", std::fs::read_dir(of("fd")), no);
    all(links.into_iter().chain(files).chain([fds]))
}

/// A process of the host with the same user id.
pub(crate) fn kill_one(args: &Args) -> Outcome {
    let pid = i32::try_from(args.number("pid")).unwrap_or(0);
    if pid <= 1 {
        return Outcome::Unclear("no process was named".to_owned());
    }
    let kill = refused(
        &format!("kill {pid}"),
        raw::kill(pid, libc::SIGKILL),
        &[libc::ESRCH, libc::EPERM],
    );
    let pidfd = refused(
        "pidfd_open",
        call(libc::SYS_pidfd_open, &[as_argument(pid), 0]),
        &[libc::ESRCH, libc::EINVAL, libc::ENOENT],
    );
    all([kill, pidfd])
}

/// Everything that may be signalled, all at once.
pub(crate) fn kill_everything(args: &Args) -> Outcome {
    if args.weak() {
        // Without a process namespace that would be everything of this user on the machine.
        return kill_one(args);
    }
    let bystander = raw::fork(|| {
        raw::pause();
        0
    });
    let killed = raw::kill(-1, libc::SIGKILL);
    let end = bystander.map(raw::wait);
    // What that did outside is for the host to see.
    check(
        killed.is_ok() && end == Ok(raw::Ended::Signal(libc::SIGKILL)),
        format!("kill -1: {killed:?}, own process {end:?}"),
    )
}

/// The first process, by every signal.
pub(crate) fn kill_pid1(args: &Args) -> Outcome {
    let target = first();
    if i64::from(target) != args.number("init") {
        return Outcome::Unclear(format!("the parent is {target}"));
    }
    let sent: Vec<i32> = (1..=64).filter(|signal| raw::kill(target, *signal).is_ok()).collect();
    Outcome::Held(format!("{} signals sent", sent.len()))
}

/// The processes that can be seen.
pub(crate) fn list(_: &Args) -> Outcome {
    let pids: Vec<i32> = std::fs::read_dir("/proc")
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    let mut own = vec![1, std::process::id().cast_signed()];
    own.sort_unstable();
    let mut seen = pids;
    seen.sort_unstable();
    seen.dedup();
    check(
        seen == own,
        format!(
            "processes {:?}, {} in all",
            seen.iter().take(5).collect::<Vec<_>>(),
            seen.len()
        ),
    )
}

/// Another sandbox's first process, by its number on the host.
pub(crate) fn other_sandbox(args: &Args) -> Outcome {
    let pid = i32::try_from(args.number("pid")).unwrap_or(0);
    let no = &[libc::ESRCH, libc::EPERM];
    all([
        // Signal 0 asks only whether one could.
        refused("signal", raw::kill(pid, 0), no),
        refused_io(
            "/proc entry",
            std::fs::metadata(format!("/proc/{pid}/status")),
            &[libc::ENOENT],
        ),
        refused(
            "PTRACE_SEIZE",
            call(libc::SYS_ptrace, &[0x4206, as_argument(pid), 0, 0]),
            no,
        ),
    ])
}

const SEGMENT_BYTES: usize = 4096;

/// Another sandbox's shared memory.
pub(crate) fn shared_memory(args: &Args) -> Outcome {
    let key = usize::try_from(args.number("key")).unwrap_or(0);
    refused("shmget", call(libc::SYS_shmget, &[key, 0, 0]), &[libc::ENOENT])
}

/// The neighbour: leaves things where another sandbox could find them, and stays until its input ends.
pub(crate) fn neighbour(args: &Args) -> Outcome {
    let name = args.text("name");
    let listener = std::os::unix::net::SocketAddr::from_abstract_name(name)
        .and_then(|address| std::os::unix::net::UnixListener::bind_addr(&address));
    let files = ["/tmp", "/dev/shm"].map(|dir| std::fs::write(format!("{dir}/{name}"), "secret"));
    let key = usize::try_from(args.number("key")).unwrap_or(0);
    let segment = call(
        libc::SYS_shmget,
        &[key, SEGMENT_BYTES, libc::IPC_CREAT as usize | 0o666],
    );
    println!(
        "READY {} {} {}",
        listener.is_ok(),
        files.iter().all(Result::is_ok),
        segment.is_ok()
    );
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read(&mut [0]);
    if let Ok(segment) = segment {
        let _ = call(libc::SYS_shmctl, &[segment.cast_unsigned() as usize, 0, 0]);
    }
    for dir in ["/tmp", "/dev/shm"] {
        let _ = std::fs::remove_file(format!("{dir}/{name}"));
    }
    Outcome::Held("left".to_owned())
}

/// Makes itself as hard to remove as a payload can, and stays.
pub(crate) fn stubborn(args: &Args) -> Outcome {
    for place in ["/workspace", "/tmp", "/home/sandbox"] {
        if std::env::set_current_dir(place).is_err() {
            return Outcome::Unclear(format!("no {place}"));
        }
        // Step by step: the whole path is longer than many programs take.
        let depth = if place == "/workspace" { args.number("depth") } else { 3 };
        for _ in 0..depth {
            let made = rustix::fs::mkdir("deep", rustix::fs::Mode::from_raw_mode(0o700));
            if made.is_err() || rustix::process::chdir("deep").is_err() {
                return Outcome::Unclear(format!("cannot dig in {place}"));
            }
        }
        let _ = std::fs::write("treasure", "x");
        let _ = std::env::set_current_dir(place);
        let _ = std::fs::create_dir_all("closed/inner");
        let _ = std::fs::write("closed/inner/file", "x");
        for dir in ["closed/inner", "closed"] {
            let _ = rustix::fs::chmod(dir, rustix::fs::Mode::empty());
        }
    }
    for _ in 0..8 {
        // Nobody waits for these.
        let _ = raw::fork(|| 0);
        let _ = raw::fork(|| {
            raw::hang_in_vfork();
            0
        });
    }
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
        let _ = call(libc::SYS_rt_sigaction, &[as_argument(signal), 0, 0, 8]);
    }
    println!("READY");
    let _ = std::io::stdout().flush();
    loop {
        raw::pause();
    }
}

/// Open descriptors.
pub(crate) fn descriptors(_: &Args) -> Outcome {
    let mut numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    numbers.sort_unstable();
    // The last is the directory that is being read.
    check(
        numbers.len() == 4 && numbers[..3] == [0, 1, 2],
        format!("descriptors {numbers:?}"),
    )
}

/// Who we are, and whether we can become somebody else.
pub(crate) fn identity(_: &Args) -> Outcome {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let other = call(libc::SYS_setresuid, &[0, 0, 0]);
    all([
        check(uid == 1000 && gid == 1000, format!("uid {uid}, gid {gid}")),
        refused("setresuid 0", other, &[libc::EPERM, libc::EINVAL]),
    ])
}

/// The environment: nothing of the caller's.
pub(crate) fn environment(args: &Args) -> Outcome {
    let names: Vec<String> = std::env::vars_os()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    check(
        !names.iter().any(|name| name == args.text("secret")),
        format!("variables {names:?}"),
    )
}

/// Stays until its input ends.
pub(crate) fn stay(_: &Args) -> Outcome {
    println!("READY");
    let _ = std::io::stdout().flush();
    let _ = std::io::stdin().read(&mut [0]);
    Outcome::Held("stayed".to_owned())
}

/// Says how its terminal looks.
pub(crate) fn window(_: &Args) -> Outcome {
    let size = raw::window_size(0);
    let terminal = std::fs::File::open("/dev/tty").is_ok();
    check(
        size == Some((33, 99)) && terminal,
        format!("window {size:?}, terminal of the session: {terminal}"),
    )
}
