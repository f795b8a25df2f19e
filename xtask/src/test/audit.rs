//! The audit after the tests: what of theirs is still on the machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Supervisor;
use crate::process;

/// How long what is on its way out may take. Teardown that was proven needs none of it; what ends by its own deadline
/// needs some.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was there before.
pub(super) struct Baseline {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    loops: BTreeSet<String>,
    network: BTreeSet<String>,
}

impl Baseline {
    /// Looks.
    pub(super) fn take() -> Baseline {
        Baseline {
            mounts: mounts(),
            cgroups: cgroups(),
            loops: loops(),
            network: network(),
        }
    }

    /// What is there now that was not, one line each. Processes among it are ended after they were named.
    pub(super) fn leaks(&self, supervisor: &Supervisor, scratch: &Path) -> Vec<String> {
        let mut leaks = Vec::new();
        for (pid, line) in supervisor.left_over(PATIENCE) {
            leaks.push(format!("process {pid}: {line}{}", namespaces(pid)));
            supervisor.end(pid);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut others = self.others(scratch);
        // Others may be running sandboxes of their own: theirs go away, ours would stay.
        while !others.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(200));
            others = self.others(scratch);
        }
        leaks.extend(others);
        leaks
    }

    fn others(&self, scratch: &Path) -> Vec<String> {
        let scratch_text = scratch.to_string_lossy().into_owned();
        let ours = |text: &str| text.contains("sbx-") || text.contains(&scratch_text) || text.contains("nsfs");
        let mounts = mounts()
            .difference(&self.mounts)
            .filter(|line| ours(line))
            .map(|m| format!("mount {m}"))
            .collect();
        let cgroups = cgroups()
            .difference(&self.cgroups)
            .map(|dir| format!("cgroup {}", dir.display()))
            .collect();
        let loops = loops()
            .difference(&self.loops)
            .filter(|l| ours(l))
            .map(|l| format!("loop device {l}"))
            .collect();
        let network = network().difference(&self.network).cloned().collect();
        let files = std::fs::read_dir(scratch).into_iter().flatten().flatten();
        let files = files.map(|entry| format!("file {}", entry.path().display())).collect();
        [mounts, cgroups, loops, network, files]
            .into_iter()
            .collect::<Vec<Vec<String>>>()
            .concat()
    }
}

/// The namespaces of a process that are not ours.
fn namespaces(pid: u32) -> String {
    let link = |pid: &str, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    let other = |kind: &&str| {
        let theirs = link(&pid.to_string(), kind);
        theirs.is_some() && theirs != link("self", kind)
    };
    let kinds: Vec<_> = ["net", "mnt", "pid", "user"].into_iter().filter(other).collect();
    if kinds.is_empty() {
        String::new()
    } else {
        format!(" (own namespaces: {})", kinds.join(", "))
    }
}

fn mounts() -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // The first two columns are numbers that change when an unrelated mount comes or goes.
    table
        .lines()
        .map(|line| line.splitn(3, ' ').nth(2).unwrap_or(line).to_owned())
        .collect()
}

fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![(PathBuf::from("/sys/fs/cgroup"), 0)];
    while let Some((folder, depth)) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = entry.path();
            // A group with processes in it is somebody's who runs sandboxes now: a process of ours that was left is
            // found as a process.
            let empty = || std::fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|text| text.trim().is_empty());
            if entry.file_name().to_string_lossy().starts_with("sbx-") && empty() {
                found.insert(path.clone());
            }
            if depth < 6 {
                open.push((path, depth + 1));
            }
        }
    }
    found
}

fn loops() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        if let Ok(file) = std::fs::read_to_string(entry.path().join("loop/backing_file")) {
            found.insert(format!("{} {}", entry.file_name().to_string_lossy(), file.trim()));
        }
    }
    found
}

/// Interfaces, network namespaces with a name, and tables of the packet filter, as far as they are called like ours.
fn network() -> BTreeSet<String> {
    let listing = |folder: &str| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect::<Vec<_>>()
    };
    let tables = if process::is_root() && process::is_installed("nft") {
        process::capture(process::command("nft").args(["list", "tables"])).unwrap_or_default()
    } else {
        String::new()
    };
    let interfaces = listing("/sys/class/net")
        .into_iter()
        .map(|name| format!("interface {name}"));
    let namespaces = listing("/run/netns")
        .into_iter()
        .map(|name| format!("network namespace {name}"));
    let tables = tables.lines().map(|line| format!("packet filter {line}"));
    let all = interfaces.chain(namespaces).chain(tables);
    all.filter(|line| line.contains("sbx") || line.contains("sandboxer"))
        .collect()
}
