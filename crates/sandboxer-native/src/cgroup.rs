//! Control groups, version 1, version 2 and both at once: each limit is put where its controller lives.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use sandboxer_model::isolation::EnforcedBy;
use sandboxer_model::money::Usage;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::spec::Limits;

/// Which hierarchies this machine has, and where we may make groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hierarchies {
    /// Directory for our groups in the unified hierarchy, with the controllers it offers.
    pub(crate) v2: Option<(PathBuf, Vec<String>)>,
    /// Version-1 controller → directory for our groups.
    pub(crate) v1: Vec<(String, PathBuf)>,
}

/// Controllers we use: the limits, and what accounts for CPU time.
const V1_CONTROLLERS: [&str; 4] = ["memory", "pids", "cpu", "cpuacct"];
const V2_CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// Our directory in every hierarchy.
const OURS: &str = "sandboxer";

impl Hierarchies {
    /// Whether this machine has the unified hierarchy alone, which a new process has to be born into.
    pub(crate) fn is_unified() -> bool {
        const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
        rustix::fs::statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.f_type.cast_unsigned() == CGROUP2_SUPER_MAGIC)
    }

    /// Finds them.
    pub(crate) fn detect(root: bool) -> Hierarchies {
        let Ok(mounts) = files::read_text("/proc/self/mountinfo", 1 << 20) else {
            return Hierarchies::default();
        };
        let mut found = Hierarchies::default();
        for line in mounts.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = left.split(' ').nth(4) else { continue };
            let mut right = right.split(' ');
            let (kind, options) = (right.next().unwrap_or(""), right.nth(1).unwrap_or(""));
            match kind {
                "cgroup2" => found.v2 = found.v2.or_else(|| usable_v2(Path::new(point), root)),
                "cgroup" if root => {
                    for option in options.split(',').filter(|option| V1_CONTROLLERS.contains(option)) {
                        if !found.v1.iter().any(|(name, _)| name == option) {
                            found.v1.push((option.to_owned(), Path::new(point).join(OURS)));
                        }
                    }
                }
                _ => {}
            }
        }
        found
    }

    fn has_v2(&self, controller: &str) -> bool {
        self.v2
            .as_ref()
            .is_some_and(|(_, controllers)| controllers.iter().any(|name| name == controller))
    }

    fn v1_dir(&self, controller: &str) -> Option<&Path> {
        self.v1
            .iter()
            .find(|(name, _)| name == controller)
            .map(|(_, dir)| dir.as_path())
    }

    /// What would hold a limit that this controller enforces.
    pub(crate) fn holder(&self, controller: &str) -> EnforcedBy {
        if self.has_v2(controller) {
            EnforcedBy::Cgroup2
        } else if self.v1_dir(controller).is_some() {
            EnforcedBy::Cgroup1
        } else {
            EnforcedBy::None
        }
    }
}

/// The directory for our groups below a unified mount, if controllers can be had there.
fn usable_v2(mount: &Path, root: bool) -> Option<(PathBuf, Vec<String>)> {
    let base = if root { mount.to_owned() } else { delegated(mount)? };
    let available = files::read_line(base.join("cgroup.controllers")).ok()?;
    let controllers: Vec<String> = V2_CONTROLLERS
        .iter()
        .filter(|name| available.split(' ').any(|have| have == **name))
        .map(|s| (*s).to_owned())
        .collect();
    (!controllers.is_empty()).then(|| (base.join(OURS), controllers))
}

/// The nearest ancestor of our own group that we may make groups in and move processes through.
fn delegated(mount: &Path) -> Option<PathBuf> {
    let text = files::read_text("/proc/self/cgroup", 64 << 10).ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let own = mount.join(own);
    own.ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(mount))
        .find(|dir| {
            ["cgroup.procs", "cgroup.subtree_control"]
                .iter()
                .all(|name| rustix::fs::access(dir.join(name), rustix::fs::Access::WRITE_OK).is_ok())
        })
        .map(Path::to_owned)
}

/// The groups of this sandbox that exist, found without any record of it.
pub(crate) fn groups_of(hierarchies: &Hierarchies, id: &str) -> Vec<PathBuf> {
    let ours = hierarchies.v2.iter().map(|(dir, _)| dir);
    let mut found: Vec<PathBuf> = ours
        .chain(hierarchies.v1.iter().map(|(_, dir)| dir))
        .map(|dir| dir.join(id))
        .filter(|dir| dir.is_dir())
        .collect();
    found.dedup();
    found
}

/// The groups of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    v2: Option<PathBuf>,
    v1: Vec<(String, PathBuf)>,
}

impl Groups {
    /// The groups a sandbox will have; nothing is made yet.
    pub(crate) fn plan(hierarchies: &Hierarchies, id: &str, limits: &Limits) -> Groups {
        let v1 = hierarchies
            .v1
            .iter()
            .filter(|(name, _)| {
                !hierarchies.has_v2(name) && (name != "cpu" || limits.cpu.is_some() || shares_mount(hierarchies))
            })
            .map(|(name, dir)| (name.clone(), dir.join(id)))
            .collect();
        Groups {
            v2: hierarchies.v2.as_ref().map(|(dir, _)| dir.join(id)),
            v1,
        }
    }

    /// Every directory, once.
    pub(crate) fn dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = self.v2.iter().cloned().collect();
        for (_, dir) in &self.v1 {
            if !dirs.contains(dir) {
                dirs.push(dir.clone());
            }
        }
        dirs
    }

    /// Makes them and sets the limits.
    pub(crate) fn create(&self, hierarchies: &Hierarchies, limits: &Limits) -> io::Result<()> {
        for dir in self.dirs() {
            make_group(&dir)?;
        }
        if let (Some(dir), Some((ours, controllers))) = (&self.v2, &hierarchies.v2) {
            enable_v2(ours, controllers, dir)?;
            let set = |file: &str, value: &str| files::write_control(dir.join(file), value);
            if let Some(mb) = limits.memory_mb.filter(|_| hierarchies.has_v2("memory")) {
                set("memory.max", &(mb << 20).to_string())?;
                ignore_missing(set("memory.swap.max", "0"))?;
                ignore_missing(set("memory.oom.group", "0"))?;
            }
            if let Some(pids) = limits.pids.filter(|_| hierarchies.has_v2("pids")) {
                set("pids.max", &(pids + OWN_TASKS).to_string())?;
            }
            if let Some(cpu) = limits.cpu.filter(|_| hierarchies.has_v2("cpu")) {
                set("cpu.max", &format!("{} {CPU_PERIOD_US}", quota(cpu)))?;
            }
        }
        for (controller, dir) in &self.v1 {
            let set = |file: &str, value: &str| files::write_control(dir.join(file), value);
            match controller.as_str() {
                "memory" => {
                    if let Some(mb) = limits.memory_mb {
                        set("memory.limit_in_bytes", &(mb << 20).to_string())?;
                        // Counts memory and swap together; absent where swap accounting is off.
                        ignore_missing(set("memory.memsw.limit_in_bytes", &(mb << 20).to_string()))?;
                    }
                }
                "pids" => {
                    if let Some(pids) = limits.pids {
                        set("pids.max", &(pids + OWN_TASKS).to_string())?;
                    }
                }
                "cpu" => {
                    if let Some(cpu) = limits.cpu {
                        set("cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                        set("cpu.cfs_quota_us", &quota(cpu).to_string())?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The group to start the first process in.
    pub(crate) fn open_v2(&self) -> io::Result<Option<File>> {
        use std::os::unix::fs::OpenOptionsExt;
        #[expect(clippy::disallowed_methods, reason = "a descriptor for clone3")]
        self.v2
            .as_ref()
            .map(|dir| {
                std::fs::OpenOptions::new()
                    .read(true)
                    .custom_flags(libc::O_DIRECTORY)
                    .open(dir)
            })
            .transpose()
    }

    /// Doors of the version-1 groups: a process that writes `0` to one moves itself in.
    ///
    /// `tasks`, and by the process itself: that is the one way the kernel does not take its global thread-group lock
    /// for, whose first use costs a whole RCU grace period (5–17 ms on a loaded machine).
    pub(crate) fn open_doors(&self) -> io::Result<Vec<File>> {
        let mut dirs: Vec<&Path> = self.v1.iter().map(|(_, dir)| dir.as_path()).collect();
        dirs.dedup();
        #[expect(clippy::disallowed_methods, reason = "descriptors for the new process")]
        dirs.into_iter()
            .map(|dir| std::fs::OpenOptions::new().write(true).open(dir.join("tasks")))
            .collect()
    }
}

/// Moves this process through the doors.
pub(crate) fn enter(doors: &[File]) -> io::Result<()> {
    use std::io::Write as _;
    doors.iter().try_for_each(|mut door| door.write_all(b"0"))
}

/// Pid 1 and the thread of it that keeps the deadline.
pub(crate) const OWN_TASKS: u64 = 2;
const CPU_PERIOD_US: u64 = 100_000;

fn quota(cpu: f64) -> u64 {
    // The kernel's least quota is one millisecond.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0.01 to 1024 CPUs by validation"
    )]
    let micros = (cpu * CPU_PERIOD_US as f64).round() as u64;
    micros.max(1000)
}

fn shares_mount(hierarchies: &Hierarchies) -> bool {
    hierarchies.v1_dir("cpu").is_some() && hierarchies.v1_dir("cpu") == hierarchies.v1_dir("cpuacct")
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn make_group(dir: &Path) -> io::Result<()> {
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir_all(dir),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Hands controllers down to our groups. Done once for a machine, then found done.
fn enable_v2(ours: &Path, controllers: &[String], dir: &Path) -> io::Result<()> {
    let enabled = files::read_line(dir.join("cgroup.controllers"))?;
    if controllers
        .iter()
        .all(|name| enabled.split(' ').any(|have| have == name))
    {
        return Ok(());
    }
    let wanted = controllers
        .iter()
        .map(|name| format!("+{name}"))
        .collect::<Vec<_>>()
        .join(" ");
    for level in ours.parent().into_iter().chain([ours]) {
        files::write_control(level.join("cgroup.subtree_control"), &wanted)?;
    }
    Ok(())
}

/// Kills everything in these groups. Needed when the first process is gone but its keeper never saw it.
pub(crate) fn kill_all(dirs: &[PathBuf]) {
    for dir in dirs {
        if files::write_control(dir.join("cgroup.kill"), "1").is_ok() {
            continue;
        }
        let Ok(text) = files::read_text(dir.join("cgroup.procs"), 1 << 20) else {
            continue;
        };
        for pid in text
            .lines()
            .filter_map(|line| line.parse::<i32>().ok())
            .filter(|pid| *pid > 1)
        {
            let _ = crate::sys::kill(pid, libc::SIGKILL);
        }
    }
}

/// What the groups accounted.
pub(crate) fn usage(dirs: &[PathBuf]) -> Usage {
    let number = |file: &str| {
        dirs.iter()
            .find_map(|dir| files::read_line(dir.join(file)).ok())
            .and_then(|text| text.parse::<u64>().ok())
    };
    let cpu_v2 = || {
        dirs.iter().find_map(|dir| {
            let text = files::read_text(dir.join("cpu.stat"), 4096).ok()?;
            text.lines()
                .find_map(|line| line.strip_prefix("usage_usec "))?
                .parse::<u64>()
                .ok()
        })
    };
    Usage {
        cpu_us: number("cpuacct.usage").map(|ns| ns / 1000).or_else(cpu_v2),
        memory_peak_bytes: number("memory.max_usage_in_bytes").or_else(|| number("memory.peak")),
        pids_peak: number("pids.peak"),
        estimated: false,
    }
}

/// How many processes the kernel killed in these groups for want of memory.
pub(crate) fn oom_kills(dirs: &[PathBuf]) -> u64 {
    dirs.iter()
        .flat_map(|dir| ["memory.oom_control", "memory.events"].map(|file| dir.join(file)))
        .filter_map(|path| files::read_text(path, 4096).ok())
        .filter_map(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("oom_kill "))?
                .parse::<u64>()
                .ok()
        })
        .sum()
}
