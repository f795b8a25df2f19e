//! Using more than is granted. Every attempt is bounded, so that it does no harm where nothing holds it.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::outcome::{self, Outcome, all, check};
use super::super::raw::{self, Ended};
use super::Args;

/// Most processes that are started.
const MOST_FORKS: i64 = 300;
/// Most memory that is touched, in MiB.
const MOST_MEMORY: usize = 512;
/// Most disk that is written, in MiB.
const MOST_DISK: u64 = 200;

/// Starts processes until it is refused.
pub(crate) fn fork_bomb(args: &Args) -> Outcome {
    let mut pids = Vec::new();
    let mut errno = 0;
    while i64::try_from(pids.len()).unwrap_or(0) < MOST_FORKS {
        match raw::fork(|| {
            raw::pause();
            0
        }) {
            Ok(pid) => pids.push(pid),
            Err(refusal) => {
                errno = refusal;
                break;
            }
        }
    }
    for pid in &pids {
        let _ = raw::kill(*pid, libc::SIGKILL);
        raw::wait(*pid);
    }
    let count = i64::try_from(pids.len()).unwrap_or(0);
    let seen = format!("{count} processes beside this one, then {}", outcome::name(errno));
    if errno == 0 {
        Outcome::Broken(format!("{count} processes, no end"))
    } else {
        // This process is one of those that are granted. One more may be had at first: pid 1 has a place of its own for a
        // thread that it starts once it has time.
        check(
            errno == libc::EAGAIN && count <= args.number("limit") && count >= args.number("limit") / 2,
            seen,
        )
    }
}

/// Touches memory until it is killed.
pub(crate) fn memory_bomb(args: &Args) -> Outcome {
    let hold = Duration::from_millis(u64::try_from(args.number("hold_ms")).unwrap_or(0));
    let ended = raw::in_child(|| {
        let mut pages = vec![0u8; MOST_MEMORY << 20];
        for byte in pages.iter_mut().step_by(4096) {
            *byte = 1;
        }
        let until = Instant::now() + hold;
        while Instant::now() < until {
            std::hint::black_box(&pages);
            std::thread::yield_now();
        }
        0
    });
    match ended {
        Ok(Ended::Signal(libc::SIGKILL)) => Outcome::Held("the process that took it was killed".to_owned()),
        Ok(Ended::Code(0)) => Outcome::Broken(format!("{MOST_MEMORY} MiB were taken")),
        other => Outcome::Unclear(format!("{other:?}")),
    }
}

/// The places that can be written.
const PLACES: [&str; 4] = ["/workspace", "/tmp", "/home/sandbox", "/dev/shm"];

/// Writes until it is refused, in each place.
pub(crate) fn disk_fill(args: &Args) -> Outcome {
    let limit = u64::try_from(args.number("limit")).unwrap_or(0);
    all(PLACES.map(|place| {
        let path = PathBuf::from(place).join("fill");
        let (mut written, mut errno) = (0u64, 0);
        let chunk = vec![7u8; 256 << 10];
        match std::fs::File::create(&path) {
            Err(error) => return Outcome::Unclear(format!("{place}: {error}")),
            Ok(mut file) => {
                while written < MOST_DISK << 20 {
                    match file.write(&chunk) {
                        Ok(count) => written += count as u64,
                        Err(error) => {
                            errno = error.raw_os_error().unwrap_or(0);
                            break;
                        }
                    }
                }
            }
        }
        let _ = std::fs::remove_file(&path);
        let seen = format!("{place}: {} KiB, then {}", written >> 10, outcome::name(errno));
        let near = written * 10 >= (limit << 20) * 9 && written * 10 <= (limit << 20) * 11;
        if errno == libc::ENOSPC && near {
            Outcome::Held(seen)
        } else if errno == 0 || written * 10 > (limit << 20) * 11 {
            Outcome::Broken(seen)
        } else {
            Outcome::Unclear(seen)
        }
    }))
}

/// Makes empty files until it is refused.
pub(crate) fn inode_fill(_: &Args) -> Outcome {
    const MOST: u32 = 5000;
    let mut errno = 0;
    let mut made = 0;
    let _ = std::fs::create_dir("/tmp/many");
    while made < MOST && errno == 0 {
        match std::fs::File::create(format!("/tmp/many/{made}")) {
            Ok(_) => made += 1,
            Err(error) => errno = error.raw_os_error().unwrap_or(0),
        }
    }
    let _ = std::fs::remove_dir_all("/tmp/many");
    check(
        errno == libc::ENOSPC,
        format!("{made} files, then {}", outcome::name(errno)),
    )
}

/// Spins on two CPUs; a quota of a fifth of a CPU holds it, which is less than a busy machine leaves.
pub(crate) fn cpu_quota(_: &Args) -> Outcome {
    const WALL: Duration = Duration::from_millis(1500);
    let start = Instant::now();
    let pids = [(); 2].map(|()| {
        raw::fork(|| {
            while start.elapsed() < WALL {
                std::hint::spin_loop();
            }
            0
        })
    });
    for pid in pids.into_iter().flatten() {
        raw::wait(pid);
    }
    let wall = i64::try_from(start.elapsed().as_micros()).unwrap_or(1).max(1);
    let percent = raw::cpu_of_children() * 100 / wall;
    check(percent <= 28, format!("{percent} % of a CPU"))
}

/// Asks for all CPUs where one was granted.
pub(crate) fn cpu_affinity(_: &Args) -> Outcome {
    let (asked, count) = raw::cpus_after_asking_for_all();
    check(count == 1, format!("{count} CPUs after asking for all ({asked:?})"))
}

/// Prints for ever. It is not expected to return.
pub(crate) fn flood(_: &Args) -> Outcome {
    let chunk = vec![b'x'; 1 << 20];
    let mut out = std::io::stdout().lock();
    for _ in 0..256 {
        if out.write_all(&chunk).is_err() {
            break;
        }
    }
    Outcome::Held("printed".to_owned())
}
