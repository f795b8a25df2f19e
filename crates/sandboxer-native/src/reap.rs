//! Removing a sandbox: everything that belongs to it, from any half-done state, with proof. Whoever calls holds the
//! sandbox's lock, or is the only one left.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};

use crate::cgroup::{self, Hierarchies};
use crate::files;
use crate::identity;
use crate::idmap;
use crate::layout::{Home, Layout};
use crate::remove::remove_tree;
use crate::spec::{Intent, Launched};
use crate::wire;

/// How long killed processes and their groups may take to go.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// Removes everything of a sandbox, its directory last: until that is gone, another removal finds what is on record.
pub(crate) fn remove_all(layout: &Layout, hierarchies: &Hierarchies, home: &Home, id: &str) -> CleanupReport {
    let items = free_all(layout, hierarchies, home, id);
    with_directory(layout, home, id, items)
}

/// The same by its keeper, after the first process has ended.
pub(crate) fn remove_ended(
    layout: &Layout,
    home: &Home,
    id: &str,
    intent: &Intent,
    process: CleanupItem,
) -> CleanupReport {
    let leases = Ok(intent.uid_lease.iter().cloned().collect());
    let items = free(id, &intent.cgroups, leases, process);
    with_directory(layout, home, id, items)
}

/// Removes everything of a half-made sandbox but its directory, so that it can be made again there. What could not be
/// removed is returned.
pub(crate) fn remove_contents(
    layout: &Layout,
    hierarchies: &Hierarchies,
    home: &Home,
    id: &str,
) -> Result<(), CleanupItem> {
    for item in free_all(layout, hierarchies, home, id) {
        if item.now != Presence::Absent {
            return Err(item);
        }
    }
    // All but the lock, which the caller holds, and the epochs seen.
    let kept = [home.lock(), home.epoch()];
    let names = files::names(&home.path).map_err(|error| directory_item(home, Presence::Unknown, error.to_string()))?;
    for path in names.into_iter().map(|name| home.path.join(name)) {
        if !kept.contains(&path) {
            remove_tree(&path).map_err(|error| directory_item(home, Presence::Present, error.to_string()))?;
        }
    }
    Ok(())
}

/// Gives back what a sandbox holds outside of its directory, from whatever is on record.
fn free_all(layout: &Layout, hierarchies: &Hierarchies, home: &Home, id: &str) -> Vec<CleanupItem> {
    let intent = match files::read_json_if_any::<Intent>(&home.intent()) {
        Ok(intent) => intent,
        Err(error) => return vec![item("record", &home.intent(), Presence::Unknown, error.to_string())],
    };
    let process = end_process(home, intent.as_ref());
    // Without a record of what there is, what bears its id is looked for.
    let groups = match &intent {
        Some(intent) => intent.cgroups.clone(),
        None => cgroup::groups_of(hierarchies, id),
    };
    // A keeper that died right after it took a lease did not write it down; whoever came after it did not know.
    free(id, &groups, idmap::leases_of(layout, id), process)
}

fn free(id: &str, groups: &[PathBuf], leases: std::io::Result<Vec<PathBuf>>, process: CleanupItem) -> Vec<CleanupItem> {
    let mut items = vec![process];
    items.extend(groups.iter().map(|dir| remove_group(dir)));
    // Ids are given to the next sandbox only when nothing runs under them any more.
    let quiet = items.iter().all(|item| item.now == Presence::Absent);
    items.extend(release_ids(id, leases, quiet));
    items
}

/// Removes the directory too, unless something is left: then its record stays for the next removal.
fn with_directory(layout: &Layout, home: &Home, id: &str, mut items: Vec<CleanupItem>) -> CleanupReport {
    if items.iter().all(|item| item.now == Presence::Absent) {
        items.push(remove_directory(layout, home, id));
    } else {
        close_doors(home);
        items.push(directory_item(home, Presence::Present, "kept while something is left"));
    }
    CleanupReport::new(items)
}

fn item(kind: &str, path: &Path, now: Presence, detail: impl Into<String>) -> CleanupItem {
    CleanupItem {
        kind: kind.to_owned(),
        name: path.display().to_string(),
        found: true,
        now,
        detail: detail.into(),
    }
}

fn directory_item(home: &Home, now: Presence, detail: impl Into<String>) -> CleanupItem {
    item("directory", &home.path, now, detail)
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

fn end_process(home: &Home, intent: Option<&Intent>) -> CleanupItem {
    let mut item = process_item(None, false);
    let unknown = |mut item: CleanupItem, error: std::io::Error| {
        item.now = Presence::Unknown;
        item.detail = error.to_string();
        item
    };
    let state = match files::read_json_if_any::<Launched>(&home.state()) {
        Ok(state) => state,
        Err(error) => return unknown(item, error),
    };
    let first = intent.and_then(|intent| intent.first.as_ref());
    let Some(init) = state.as_ref().map(|state| &state.init).or(first) else {
        return item;
    };
    item = process_item(Some(init.pid), false);
    let fd = match init.open(&identity::boot_id()) {
        Ok(Some(fd)) => fd,
        Ok(None) => return item,
        Err(error) => return unknown(item, error),
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
        Err(error) => return unknown(item, error.into()),
    }
    item
}

/// Between the first two tries to remove a group; doubles.
const FIRST_PAUSE: Duration = Duration::from_micros(100);

fn remove_group(dir: &Path) -> CleanupItem {
    let mut item = item("cgroup", dir, Presence::Absent, "");
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

fn release_ids(id: &str, leases: std::io::Result<Vec<PathBuf>>, quiet: bool) -> Vec<CleanupItem> {
    let leases = match leases {
        Ok(leases) => leases,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            return vec![item(
                "uid_lease",
                Path::new("any"),
                Presence::Unknown,
                error.to_string(),
            )];
        }
    };
    leases
        .into_iter()
        .map(|path| {
            if !quiet {
                return item("uid_lease", &path, Presence::Present, "kept while something still runs");
            }
            match idmap::release(&path, id) {
                Ok(found) => CleanupItem {
                    found,
                    ..item("uid_lease", &path, Presence::Absent, "")
                },
                Err(error) => item("uid_lease", &path, Presence::Unknown, error.to_string()),
            }
        })
        .collect()
}

/// Renames the directory away, so that it is gone at once and whole, then removes what it held.
pub(crate) fn remove_directory(layout: &Layout, home: &Home, id: &str) -> CleanupItem {
    let mut item = directory_item(home, Presence::Absent, "");
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
    for grave in graves(layout, id)? {
        remove_tree(&grave)?;
    }
    Ok(())
}

/// What was renamed away of a sandbox and is not removed yet.
pub(crate) fn graves(layout: &Layout, id: &str) -> std::io::Result<Vec<PathBuf>> {
    let names = match files::names(&layout.trash()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let is_its = |name: &String| {
        let rest = name.strip_prefix(id).and_then(|rest| rest.strip_prefix('-'));
        // Two numbers, as `remove_directory` names it: another id may begin with this one.
        let numbers = rest.and_then(|rest| rest.split_once('-'));
        numbers.is_some_and(|(pid, at)| pid.parse::<u32>().is_ok() && at.parse::<u64>().is_ok())
    };
    Ok(names
        .into_iter()
        .filter(is_its)
        .map(|name| layout.trash().join(name))
        .collect())
}

/// After a sandbox ended by itself: frees what it holds, and keeps the intent, so that the removal that will be asked
/// for later proves the absence of everything by looking again.
pub(crate) fn remove_contents_after_end(home: &Home, id: &str, intent: &Intent) {
    let leases = Ok(intent.uid_lease.iter().cloned().collect());
    free(id, &intent.cgroups, leases, process_item(None, true));
    close_doors(home);
}

/// Nobody reaches it any more, and what it wrote is gone; its records stay.
fn close_doors(home: &Home) {
    let _ = remove_tree(&home.disk());
    for name in ["init.sock", "shim.sock"] {
        let _ = std::fs::remove_file(home.path.join(name));
    }
}
