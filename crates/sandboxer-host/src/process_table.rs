//! Owners of leases, read from `/proc`.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use sandboxer_extension::port::Owners;
use sandboxer_model::cleanup::Presence;

/// `/proc` files read here are one short line; more is not what we think it is.
const MOST: u64 = 4096;

/// The processes of this machine as owners of leases.
///
/// An owner is `boot_id/pid/start_ticks/pid_namespace`: a process id alone is reused, after a reboot at once, and means
/// another process in another process-id namespace.
#[derive(Debug, Clone)]
pub struct ProcessTable {
    proc: PathBuf,
}

impl Default for ProcessTable {
    fn default() -> ProcessTable {
        ProcessTable {
            proc: PathBuf::from("/proc"),
        }
    }
}

/// What `/proc/<pid>/stat` says of a process.
struct Stat {
    state: char,
    start_ticks: u64,
}

impl ProcessTable {
    /// The processes of this machine.
    pub fn new() -> ProcessTable {
        ProcessTable::default()
    }

    fn boot_id(&self) -> Option<String> {
        read_line(&self.proc.join("sys/kernel/random/boot_id"))
            .ok()
            .filter(|id| !id.is_empty())
    }

    fn pid_namespace(&self) -> Option<String> {
        let link = rustix::fs::readlink(self.proc.join("self/ns/pid"), Vec::new()).ok()?;
        let text = link.into_string().ok()?;
        Some(text.strip_prefix("pid:[")?.strip_suffix(']')?.to_owned())
    }

    fn stat(&self, pid: &str) -> std::io::Result<Option<Stat>> {
        read_line(&self.proc.join(pid).join("stat")).map(|line| parse_stat(&line))
    }
}

impl Owners for ProcessTable {
    fn me(&self) -> String {
        let boot = self.boot_id().unwrap_or_else(|| "unknown".to_owned());
        let start = self.stat("self").ok().flatten().map_or(0, |stat| stat.start_ticks);
        let namespace = self.pid_namespace().unwrap_or_else(|| "unknown".to_owned());
        format!("{boot}/{}/{start}/{namespace}", std::process::id())
    }

    fn is_alive(&self, owner: &str) -> Presence {
        let parts: Vec<&str> = owner.split('/').collect();
        let &[boot, pid, start, namespace] = parts.as_slice() else {
            return Presence::Unknown;
        };
        let (Ok(pid), Ok(start)) = (pid.parse::<u32>(), start.parse::<u64>()) else {
            return Presence::Unknown;
        };
        if pid == 0 || start == 0 || boot.is_empty() || boot == "unknown" {
            return Presence::Unknown;
        }
        let Some(our_boot) = self.boot_id() else {
            return Presence::Unknown;
        };
        if our_boot != boot {
            return Presence::Absent;
        }
        if self.pid_namespace().as_deref() != Some(namespace) {
            return Presence::Unknown;
        }
        match self.stat(&pid.to_string()) {
            Ok(Some(stat)) if stat.start_ticks != start || matches!(stat.state, 'Z' | 'X' | 'x') => Presence::Absent,
            Ok(Some(_)) => Presence::Present,
            Ok(None) => Presence::Unknown,
            // ESRCH: the process ended between the open and the read.
            Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(3) => Presence::Absent,
            Err(_) => Presence::Unknown,
        }
    }
}

fn read_line(path: &Path) -> std::io::Result<String> {
    // These files do not tell their size, and each read of one costs.
    let mut text = String::with_capacity(MOST as usize);
    File::open(path)?.take(MOST).read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

/// Fields 3 (state) and 22 (start time in ticks since boot) of proc_pid_stat(5). The second field is the command's own
/// name and may hold blanks and parentheses, so counting starts behind the last one.
fn parse_stat(line: &str) -> Option<Stat> {
    let (_, rest) = line.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start_ticks = fields.nth(18)?.parse().ok()?;
    Some(Stat { state, start_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_command_name_does_not_shift_fields() {
        let stat = "42 (a ) Z 1) (b) S 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 1";
        let stat = parse_stat(stat).unwrap();
        assert_eq!((stat.state, stat.start_ticks), ('S', 987_654));
        assert!(parse_stat("").is_none());
        assert!(parse_stat("42 (a) S 1 2").is_none());
    }

    #[test]
    fn i_am_alive_and_nobody_else_is_me() {
        let table = ProcessTable::new();
        let me = table.me();
        assert_eq!(table.is_alive(&me), Presence::Present);
        let parts: Vec<&str> = me.split('/').collect();
        let [boot, pid, start, namespace] = parts.as_slice() else {
            panic!("{me}")
        };
        let later: u64 = start.parse::<u64>().unwrap() + 1;
        assert_eq!(
            table.is_alive(&format!("{boot}/{pid}/{later}/{namespace}")),
            Presence::Absent,
            "reused pid"
        );
        assert_eq!(
            table.is_alive(&format!("{boot}/4194303/{start}/{namespace}")),
            Presence::Absent,
            "missing pid"
        );
        assert_eq!(
            table.is_alive(&format!("another-boot/{pid}/{start}/{namespace}")),
            Presence::Absent
        );
        assert_eq!(
            table.is_alive(&format!("{boot}/{pid}/{start}/1")),
            Presence::Unknown,
            "another pid namespace"
        );
        for malformed in [
            "",
            "x",
            "a/b",
            "a/b/c/d",
            &format!("{boot}/{pid}/{start}"),
            &format!("{boot}/-1/1/{namespace}"),
            "///",
        ] {
            assert_eq!(table.is_alive(malformed), Presence::Unknown, "{malformed}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the test needs a zombie of its own")]
    fn a_zombie_is_not_alive() {
        let table = ProcessTable::new();
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id().to_string();
        let me = table.me();
        let parts: Vec<&str> = me.split('/').collect();
        let owner = format!(
            "{}/{pid}/{}/{}",
            parts[0],
            table.stat(&pid).unwrap().unwrap().start_ticks,
            parts[3]
        );
        assert_eq!(table.is_alive(&owner), Presence::Present);
        drop(child.stdin.take());
        let raw = rustix::process::Pid::from_child(&child);
        rustix::process::waitid(
            rustix::process::WaitId::Pid(raw),
            rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT,
        )
        .unwrap();
        assert_eq!(table.is_alive(&owner), Presence::Absent, "unreaped");
        child.wait().unwrap();
        assert_eq!(table.is_alive(&owner), Presence::Absent, "reaped");
    }

    #[test]
    fn an_unreadable_table_is_not_an_empty_one() {
        let nowhere = ProcessTable {
            proc: PathBuf::from("/nonexistent"),
        };
        assert_eq!(nowhere.is_alive(&ProcessTable::new().me()), Presence::Unknown);
        assert_eq!(nowhere.is_alive(&nowhere.me()), Presence::Unknown);
    }
}
