//! Removing a sandbox: everything that belongs to it, from any half-done state, with proof. Whoever calls holds the
//! sandbox's lock, or is the only one left.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};

use crate::cgroup;
use crate::files;
use crate::identity::{self, ProcessRef};
use crate::idmap;
use crate::layout::{Home, Layout};
use crate::remove::remove_tree;
use crate::spec::{Intent, Launched};
use crate::wire;

/// How long killed processes and their groups may take to go.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Removes everything of a sandbox, its directory last: until that is gone, another removal finds what is on record.
pub(crate) fn remove_all(layout: &Layout, home: &Home, id: &str) -> CleanupReport {
    let intent = files::read_json::<Intent>(&home.intent()).ok();
    let process = end_process(home);
    remove_ended(layout, home, id, intent.as_ref(), process)
}

/// The same for a sandbox whose first process has ended.
pub(crate) fn remove_ended(
    layout: &Layout,
    home: &Home,
    id: &str,
    intent: Option<&Intent>,
    process: CleanupItem,
) -> CleanupReport {
    let mut items = free(layout, id, intent, process);
    items.push(remove_directory(layout, home, id));
    CleanupReport::new(items)
}

/// The same for one whose directory is gone: what bears its id on this machine.
pub(crate) fn remove_without_directory(layout: &Layout, home: &Home, id: &str, groups: &[PathBuf]) -> CleanupReport {
    let mut items: Vec<CleanupItem> = groups.iter().map(|dir| remove_group(dir)).collect();
    let quiet = items.iter().all(|item| item.now == Presence::Absent);
    items.extend(release_ids(layout, id, None, quiet));
    items.push(remove_directory(layout, home, id));
    CleanupReport::new(items)
}

/// Removes everything of a half-made sandbox but its directory, so that it can be made again there.
pub(crate) fn remove_contents(layout: &Layout, home: &Home, id: &str) {
    let intent = files::read_json::<Intent>(&home.intent()).ok();
    free(layout, id, intent.as_ref(), end_process(home));
    // All but the lock, which the caller holds, and the highest epoch seen.
    for path in files::names(&home.path)
        .unwrap_or_default()
        .into_iter()
        .map(|name| home.path.join(name))
        .filter(|path| *path != home.lock() && *path != home.epoch())
    {
        let _ = remove_tree(&path);
    }
}

/// Gives back what a sandbox holds outside of its directory.
fn free(layout: &Layout, id: &str, intent: Option<&Intent>, process: CleanupItem) -> Vec<CleanupItem> {
    let mut items = vec![process];
    if let Some(intent) = intent {
        items.extend(intent.cgroups.iter().map(|dir| remove_group(dir)));
    }
    // Ids are given to the next sandbox only when nothing runs under them any more.
    let quiet = items.iter().all(|item| item.now == Presence::Absent);
    items.extend(release_ids(layout, id, intent, quiet));
    items
}

/// What a removal says of the first process.
pub(crate) fn process_item(pid: Option<i32>, found: bool) -> CleanupItem {
    CleanupItem {
        kind: "process".to_owned(),
        name: pid.map_or_else(|| "pid 1".to_owned(), |pid| format!("pid 1 (host pid {pid})")),
        found,
        now: Presence::Absent,
        detail: String::new(),
    }
}

fn end_process(home: &Home) -> CleanupItem {
    let state = files::read_json::<Launched>(&home.state()).ok();
    let intent = files::read_json::<Intent>(&home.intent()).ok();
    let first = intent.as_ref().and_then(|intent| intent.first.as_ref());
    let init: Option<&ProcessRef> = state.as_ref().map(|state| &state.init).or(first);
    let mut item = process_item(init.map(|init| init.pid), false);
    let Some(fd) = init.and_then(|init| init.open(&identity::boot_id())) else {
        return item;
    };
    item.found = true;
    let _ = pidfd_send_signal(&fd, Signal::KILL);
    // The death of pid 1 is the death of all processes of its namespace, and is reported after theirs.
    match wire::wait_readable(fd.as_fd(), GONE_WITHIN) {
        Ok(true) => {}
        Ok(false) => {
            item.now = Presence::Present;
            item.detail = format!("did not end within {GONE_WITHIN:?} of SIGKILL");
        }
        Err(error) => {
            item.now = Presence::Unknown;
            item.detail = std::io::Error::from(error).to_string();
        }
    }
    item
}

/// Between the first two tries to remove a group; doubles.
const FIRST_PAUSE: Duration = Duration::from_micros(100);

fn remove_group(dir: &Path) -> CleanupItem {
    let mut item = CleanupItem {
        kind: "cgroup".to_owned(),
        name: dir.display().to_string(),
        found: true,
        now: Presence::Absent,
        detail: String::new(),
    };
    let deadline = identity::monotonic() + GONE_WITHIN;
    let mut pause = FIRST_PAUSE;
    loop {
        // The kernel refuses to remove a group that has a process, so success is proof that it has none.
        let error = match std::fs::remove_dir(dir) {
            Ok(()) => break,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                item.found = pause > FIRST_PAUSE;
                break;
            }
            Err(error) => error,
        };
        if identity::monotonic() > deadline {
            item.now = if dir.exists() {
                Presence::Present
            } else {
                Presence::Unknown
            };
            item.detail = error.to_string();
            break;
        }
        cgroup::kill_all(&[dir.to_owned()]);
        nap(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    item
}

/// The kernel has no way to be told when a group becomes removable.
fn nap(duration: Duration) {
    let spec = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(duration.subsec_nanos()),
    };
    let _ = rustix::thread::nanosleep(&spec);
}

fn release_ids(layout: &Layout, id: &str, intent: Option<&Intent>, quiet: bool) -> Vec<CleanupItem> {
    let leases = match intent {
        Some(intent) => Ok(intent.uid_lease.iter().cloned().collect()),
        None => idmap::leases_of(layout, id),
    };
    let item = |name: String, found, now, detail: String| CleanupItem {
        kind: "uid_lease".to_owned(),
        name,
        found,
        now,
        detail,
    };
    match leases {
        Ok(leases) => leases
            .into_iter()
            .map(|path| {
                let name = path.display().to_string();
                if !quiet {
                    return item(
                        name,
                        true,
                        Presence::Present,
                        "kept while something still runs".to_owned(),
                    );
                }
                match idmap::release(&path, id) {
                    Ok(found) => item(name, found, Presence::Absent, String::new()),
                    Err(error) => item(name, true, Presence::Unknown, error.to_string()),
                }
            })
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => vec![item("any".to_owned(), false, Presence::Unknown, error.to_string())],
    }
}

/// Renames the directory away, so that it is gone at once and whole, then removes what it held.
pub(crate) fn remove_directory(layout: &Layout, home: &Home, id: &str) -> CleanupItem {
    let mut item = CleanupItem {
        kind: "directory".to_owned(),
        name: home.path.display().to_string(),
        found: true,
        now: Presence::Absent,
        detail: String::new(),
    };
    let grave = layout.trash().join(format!(
        "{id}-{}-{}",
        rustix::process::getpid().as_raw_nonzero(),
        identity::unix_ms()
    ));
    let removed = match std::fs::rename(&home.path, &grave) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            item.found = false;
            Ok(())
        }
        Err(error) => Err(error),
        Ok(()) => remove_tree(&grave),
    }
    .and_then(|()| remove_graves(layout, id));
    if let Err(error) = removed {
        item.now = Presence::Present;
        item.detail = error.to_string();
    }
    item
}

/// What an earlier removal of the same sandbox renamed away and did not finish.
fn remove_graves(layout: &Layout, id: &str) -> std::io::Result<()> {
    for name in files::names(&layout.trash())? {
        if name.strip_prefix(id).is_some_and(|rest| rest.starts_with('-')) {
            remove_tree(&layout.trash().join(name))?;
        }
    }
    Ok(())
}

/// After a sandbox ended by itself: frees what it holds, and keeps the intent, so that the removal that will be asked
/// for later proves the absence of everything by looking again.
pub(crate) fn remove_contents_after_end(layout: &Layout, home: &Home, id: &str) {
    if let Ok(intent) = files::read_json::<Intent>(&home.intent()) {
        let groups: Vec<CleanupItem> = intent.cgroups.iter().map(|dir| remove_group(dir)).collect();
        let quiet = groups.iter().all(|item| item.now == Presence::Absent);
        release_ids(layout, id, Some(&intent), quiet);
    }
    let _ = remove_tree(&home.disk());
    for name in ["init.sock", "shim.sock"] {
        let _ = std::fs::remove_file(home.path.join(name));
    }
}
