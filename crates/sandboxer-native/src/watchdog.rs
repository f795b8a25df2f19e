//! Measuring what no kernel mechanism limits here: memory without a controller, disk without a size.

use std::path::Path;
use std::time::Duration;

use sandboxer_model::money::Usage;

use crate::files;
use crate::identity;
use crate::shim::Kept;
use crate::spec::How;

const MEMORY_PERIOD: Duration = Duration::from_millis(250);
const DISK_PERIOD: Duration = Duration::from_secs(1);

/// What the keeper measures, and how often.
pub(crate) struct Watch {
    memory_mb: Option<u64>,
    disk_mb: Option<u64>,
    next_disk_look: Duration,
    verdict: Option<How>,
}

impl Watch {
    pub(crate) fn new(kept: &Kept) -> Watch {
        Watch {
            memory_mb: kept.watched.memory_mb,
            disk_mb: kept.watched.disk_mb,
            next_disk_look: Duration::ZERO,
            verdict: None,
        }
    }

    /// Time between two looks; `None`: nothing is watched, and the keeper sleeps.
    pub(crate) fn period(&self) -> Option<Duration> {
        match (self.memory_mb, self.disk_mb) {
            (Some(_), _) => Some(MEMORY_PERIOD),
            (None, Some(_)) => Some(DISK_PERIOD),
            (None, None) => None,
        }
    }

    /// The keeper ends it for another reason.
    pub(crate) fn overrule(&mut self, verdict: How) {
        self.verdict = Some(verdict);
    }

    /// Why the keeper ended it, if it did.
    pub(crate) fn verdict(&self) -> Option<How> {
        self.verdict
    }

    /// Looks; whether a limit is broken.
    pub(crate) fn is_over_limit(&mut self, kept: &Kept) -> bool {
        if let Some(limit) = self.memory_mb
            && memory_of(kept.init_pid) > limit << 20
        {
            self.verdict = Some(How::OutOfMemory);
        }
        let now = identity::monotonic();
        if let Some(limit) = self.disk_mb
            && now >= self.next_disk_look
        {
            if disk_of(&kept.home.disk()) > limit << 20 {
                self.verdict = Some(How::OutOfDisk);
            }
            // A tree that takes long to measure is measured less often.
            let took = identity::monotonic() - now;
            self.next_disk_look = identity::monotonic() + DISK_PERIOD.max(took * 10);
        }
        self.verdict.is_some()
    }
}

/// A process and all its descendants. Everything in a pid namespace descends from its first process.
fn descendants(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut index = 0;
    while let Some(parent) = all.get(index).copied() {
        index += 1;
        let Ok(tasks) = files::names(Path::new(&format!("/proc/{parent}/task"))) else {
            continue;
        };
        for task in tasks {
            let Ok(children) = files::read_text(format!("/proc/{parent}/task/{task}/children"), 1 << 20) else {
                continue;
            };
            all.extend(children.split(' ').filter_map(|child| child.parse::<i32>().ok()));
        }
    }
    all
}

/// Bytes of memory that belong to these processes alone or to their shared memory.
fn memory_of(pid: i32) -> u64 {
    let of_one = |pid: i32| -> Option<u64> {
        let text = files::read_text(format!("/proc/{pid}/status"), 8192).ok()?;
        let kib = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
                .unwrap_or(0)
        };
        Some((kib("RssAnon:") + kib("RssShmem:")) * 1024)
    };
    descendants(pid).into_iter().filter_map(of_one).sum()
}

/// Bytes on disk below a directory, without following links.
fn disk_of(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    let below: u64 = if meta.is_dir() {
        files::names(path)
            .map(|names| names.iter().map(|name| disk_of(&path.join(name))).sum())
            .unwrap_or(0)
    } else {
        0
    };
    meta.blocks() * 512 + below
}

/// What a sandbox uses at this moment, where no control group accounts for it.
pub(crate) fn sample(pid: i32) -> Usage {
    let processes = descendants(pid);
    let ticks: u64 = processes
        .iter()
        .filter_map(|pid| {
            let text = files::read_text(format!("/proc/{pid}/stat"), 4096).ok()?;
            let rest = text.get(text.rfind(')')? + 2..)?;
            let fields: Vec<u64> = rest
                .split(' ')
                .skip(11)
                .take(4)
                .filter_map(|field| field.parse().ok())
                .collect();
            Some(fields.iter().sum::<u64>())
        })
        .sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Usage {
        cpu_us: Some(ticks * 1_000_000 / per_second),
        memory_peak_bytes: Some(memory_of(pid)),
        pids_peak: Some(processes.len() as u64),
        estimated: true,
    }
}
