//! What this machine can enforce, found by trying, and how to get what is missing.

use serde::Serialize;

use crate::cgroup::Hierarchies;
use crate::files;
use crate::sys::{self, Cloned};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One line per thing that was tried.
    pub checks: Vec<Check>,
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name.
    pub name: String,
    /// What came of it.
    pub state: CheckState,
    /// What it means.
    pub detail: String,
    /// How to get what is missing.
    pub fix: Option<String>,
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// It is there.
    Ok,
    /// A weaker mechanism stands in.
    Degraded,
    /// Sandboxes cannot be made, or a limit cannot be held.
    Missing,
}

fn check(name: &str, state: CheckState, detail: impl Into<String>, fix: Option<&str>) -> Check {
    Check {
        name: name.to_owned(),
        state,
        detail: detail.into(),
        fix: fix.map(str::to_owned),
    }
}

/// Tries everything. Makes and ends a few short-lived processes.
pub fn report() -> Report {
    let root = rustix::process::geteuid().is_root();
    let mut checks = vec![
        kernel(),
        privileges(root),
        user_namespaces(),
        overlay(),
        landlock_rules(),
        seccomp(),
    ];
    checks.extend(controllers(root));
    Report { checks }
}

fn kernel() -> Check {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).filter_map(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= (5, 14) {
        check("kernel", CheckState::Ok, format!("Linux {release}"), None)
    } else {
        check(
            "kernel",
            CheckState::Missing,
            format!("Linux {release}; 5.14 is the oldest that works"),
            Some("update the kernel"),
        )
    }
}

fn privileges(root: bool) -> Check {
    if root {
        check(
            "privileges",
            CheckState::Ok,
            "root: each sandbox gets host user ids of its own",
            None,
        )
    } else {
        check(
            "privileges",
            CheckState::Degraded,
            "not root: sandboxes run under your own host user id, walled off by a user namespace",
            Some("run as root for user ids and control groups per sandbox"),
        )
    }
}

fn user_namespaces() -> Check {
    const NAME: &str = "user_namespaces";
    let namespaces = libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWNET;
    match try_in(namespaces, || true) {
        Ok(_) => check(
            NAME,
            CheckState::Ok,
            "user, mount, pid and network namespaces can be made",
            None,
        ),
        Err(error) => check(
            NAME,
            CheckState::Missing,
            format!("cannot be made: {error}"),
            Some(user_namespace_fix()),
        ),
    }
}

fn user_namespace_fix() -> &'static str {
    let number = |path: &str| files::read_line(path).ok().and_then(|text| text.parse::<u64>().ok());
    if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        "AppArmor forbids them to unconfined programs: install docs/apparmor/sandboxer as /etc/apparmor.d/sandboxer and run `apparmor_parser -r` on it, or `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
    } else if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        "run `sysctl kernel.unprivileged_userns_clone=1` as root"
    } else if number("/proc/sys/user/max_user_namespaces") == Some(0) {
        "run `sysctl user.max_user_namespaces=15000` as root"
    } else {
        "inside a container, its runtime forbids them: run sandboxer on the host"
    }
}

/// Runs `what` in a new process with these namespaces and mapped ids.
fn try_in(namespaces: i32, what: impl FnOnce() -> bool) -> Result<bool, String> {
    let (ours, theirs) = crate::wire::pair().map_err(|error| error.to_string())?;
    use std::os::fd::AsFd;
    match sys::clone_process(u64::from(namespaces.cast_unsigned()), None) {
        Err(error) => Err(error.to_string()),
        Ok(Cloned::Child) => {
            drop(ours);
            let go = matches!(crate::wire::recv(theirs.as_fd()), Ok(Some(_)));
            sys::exit_now(i32::from(!(go && what())))
        }
        Ok(Cloned::Parent(pid, _)) => {
            drop(theirs);
            let mapped = crate::idmap::write_maps(pid, None);
            if mapped.is_ok() {
                let _ = crate::wire::send(ours.as_fd(), b"go", &[]);
            }
            drop(ours);
            let ended = sys::reap(pid, true).ok().flatten();
            mapped.map_err(|error| error.message)?;
            Ok(ended.is_some_and(|ended| ended.end == sys::ChildEnd::Code(0)))
        }
    }
}

fn overlay() -> Check {
    const NAME: &str = "overlay";
    let mounted = try_in(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, || {
        let dirs = ["/tmp/l", "/tmp/u", "/tmp/w", "/tmp/m"];
        sys::mount(c"none", c"/", c"", libc::MS_REC | libc::MS_PRIVATE, c"").is_ok()
            && sys::mount(c"tmpfs", c"/tmp", c"tmpfs", 0, c"size=1m").is_ok()
            && dirs.iter().all(|dir| std::fs::create_dir(dir).is_ok())
            && sys::mount(
                c"overlay",
                c"/tmp/m",
                c"overlay",
                0,
                c"lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w,userxattr,volatile",
            )
            .is_ok()
    });
    match mounted {
        Ok(true) => check(
            NAME,
            CheckState::Ok,
            "a writable layer can be laid over a repo that stays untouched",
            None,
        ),
        Err(_) => check(
            NAME,
            CheckState::Missing,
            "not tried: it needs a user namespace",
            Some(user_namespace_fix()),
        ),
        Ok(false) => check(
            NAME,
            CheckState::Missing,
            "overlayfs cannot be mounted in a user namespace: `--input repo=` does not work",
            Some("use Linux 6.6 or later"),
        ),
    }
}

fn landlock_rules() -> Check {
    const NAME: &str = "landlock";
    // Asking for the version is the one use of this call without a rule set.
    match sys::landlock_abi() {
        Some(abi) if abi >= 6 => check(NAME, CheckState::Ok, format!("ABI {abi}"), None),
        Some(abi) => check(
            NAME,
            CheckState::Degraded,
            format!("ABI {abi}: signals and abstract sockets are walled off by namespaces only"),
            Some("Linux 6.12 has ABI 6"),
        ),
        None => check(
            NAME,
            CheckState::Degraded,
            "not available: mounts and namespaces enforce the same rules",
            Some("boot with `lsm=landlock,…`"),
        ),
    }
}

fn seccomp() -> Check {
    match files::read_line("/proc/sys/kernel/seccomp/actions_avail") {
        Ok(actions) if actions.contains("errno") => {
            check("seccomp", CheckState::Ok, "system calls can be filtered", None)
        }
        _ => check(
            "seccomp",
            CheckState::Missing,
            "system calls cannot be filtered",
            Some("use a kernel with CONFIG_SECCOMP_FILTER"),
        ),
    }
}

fn controllers(root: bool) -> Vec<Check> {
    let hierarchies = Hierarchies::detect(root);
    let fallback = |resource: &str| match resource {
        "memory" => (
            CheckState::Degraded,
            "what processes have mapped is measured four times a second; what none has mapped is not seen",
        ),
        "pids" => (CheckState::Ok, "held by RLIMIT_NPROC of the user namespace"),
        _ => (CheckState::Degraded, "whole CPUs by affinity, fractions not at all"),
    };
    ["memory", "pids", "cpu"]
        .into_iter()
        .map(|name| {
            let label = format!("limit_{name}");
            match hierarchies.holder(name) {
                sandboxer_model::isolation::EnforcedBy::None => {
                    let (state, detail) = fallback(name);
                    let fix = if root {
                        "mount the controller below /sys/fs/cgroup"
                    } else {
                        "run as root, or in a unit with delegation: systemd-run --user --scope -p Delegate=yes sandboxer …"
                    };
                    check(&label, state, detail, (state != CheckState::Ok).then_some(fix))
                }
                holder => {
                    let version = if holder == sandboxer_model::isolation::EnforcedBy::Cgroup2 { 2 } else { 1 };
                    check(&label, CheckState::Ok, format!("held by a version-{version} control group"), None)
                }
            }
        })
        .collect()
}
