//! What hosts leave outside of their namespaces: a folder and control groups, named after their owner. Those of owners
//! that are dead are removed before the next host starts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::wait;

const PREFIX: &str = "sbx-testbed-";

/// The name of this process's nth host: `sbx-testbed-<pid>-<start>-<n>`.
pub(crate) fn name(number: u32) -> String {
    let pid = std::process::id();
    format!("{PREFIX}{pid}-{}-{number}", start_of(pid).unwrap_or(0))
}

/// Whether the process that a name speaks of is alive. A name that says nothing is taken for alive.
fn is_alive(name: &str) -> bool {
    let mut numbers = name.trim_start_matches(PREFIX).split('-').map(str::parse::<u64>);
    let (Some(Ok(pid)), Some(Ok(start))) = (numbers.next(), numbers.next()) else {
        return true;
    };
    u32::try_from(pid).is_ok_and(|pid| start_of(pid) == Some(start))
}

/// Removes what dead owners left.
pub(crate) fn remove() {
    for folder in entries(&std::env::temp_dir()).chain(groups()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && !is_alive(&name) {
            remove_named(&name, &std::env::temp_dir().join(&name));
        }
    }
}

/// Removes the folder and the control groups of a host that has ended.
pub(crate) fn remove_named(name: &str, folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    for group in groups().filter(|group| group.file_name().is_some_and(|last| last == name)) {
        // The last process may be on its way out still.
        wait::until_true(Duration::from_secs(2), || remove_group(&group));
    }
}

fn remove_group(group: &Path) -> bool {
    for child in entries(group).filter(|path| path.is_dir()) {
        remove_group(&child);
    }
    let _ = std::fs::remove_dir(group);
    !group.exists()
}

/// Control groups on the first two levels: those of hosts are at the top, or below the group of their owner.
fn groups() -> impl Iterator<Item = PathBuf> {
    let hierarchies: Vec<_> = entries(Path::new("/sys/fs/cgroup"))
        .filter(|path| path.is_dir())
        .collect();
    let below: Vec<_> = hierarchies.iter().flat_map(|path| entries(path)).collect();
    hierarchies.into_iter().chain(below).filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
    })
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

/// Kills a process.
pub(crate) fn kill(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// The only child of a process.
pub(crate) fn child_of(parent: u32) -> Option<u32> {
    entries(Path::new("/proc"))
        .filter_map(|path| path.file_name()?.to_str()?.parse::<u32>().ok())
        .find(|pid| stat(*pid).is_some_and(|fields| fields.get(1).is_some_and(|field| *field == parent.to_string())))
}

/// When a process started, in ticks since boot.
fn start_of(pid: u32) -> Option<u64> {
    let fields = stat(pid)?;
    (fields.first()? != "Z").then_some(())?;
    fields.get(19)?.parse().ok()
}

/// The fields of proc_pid_stat(5) from the third on; the second is a name that may hold anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
