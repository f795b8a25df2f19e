//! What is on a host, and what of that was not there before.
//!
//! Everything a host writes to its disk is in one place, so this finds any file whatever it is called; and all of its
//! processes are in one namespace, so it finds any process whatever it detached itself from.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::host::Host;
use crate::network::TABLE;
use crate::plan::Compose;
use crate::skip::Unavailable;

/// The label every resource of a sandbox carries.
pub const LABEL: &str = "dev.sandboxer.sandbox";

/// What is on a host: one line each, `kind name`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// The lines.
    pub lines: BTreeSet<String>,
}

impl Audit {
    /// Those that hold this text: an id, a name, a label.
    pub fn of(&self, text: &str) -> Vec<String> {
        self.lines.iter().filter(|line| line.contains(text)).cloned().collect()
    }
}

impl Host {
    /// Looks at everything: containers, networks, volumes and images with their labels, files, processes, network
    /// interfaces, tables of the packet filter, mounts, control groups.
    ///
    /// # Errors
    /// Some of it could not be looked at: not the same as empty.
    pub fn audit(&self) -> Result<Audit, Unavailable> {
        let mut lines = if self.compose() == Compose::Podman {
            self.in_podman()?
        } else {
            self.in_docker()?
        };
        let seen = self.sh(LOOK)?;
        lines.extend(seen.lines().filter_map(told));
        lines.extend(self.processes()?.iter().map(|line| format!("process {line}")));
        Ok(Audit { lines })
    }

    /// What its engine lists, asked at its socket: a client of it would cost more than everything else here.
    fn in_docker(&self) -> Result<BTreeSet<String>, Unavailable> {
        let mut lines = BTreeSet::new();
        for (kind, path, list, names, image) in DOCKER {
            let answer = self.ask_docker(path)?;
            let things = if list.is_empty() { &answer } else { &answer[list] };
            // An empty list may be `null`.
            for thing in things.as_array().into_iter().flatten() {
                let rest = format!(
                    "{} {}",
                    thing[image].as_str().unwrap_or_default(),
                    labels(&thing["Labels"])
                );
                let one_each = each(&thing[names]).map(|name| format!("{kind} {name} {}", rest.trim()));
                lines.extend(one_each.map(|line| line.trim_end().to_owned()));
            }
        }
        Ok(lines)
    }

    fn in_podman(&self) -> Result<BTreeSet<String>, Unavailable> {
        let mut lines = BTreeSet::new();
        for (kind, words) in PODMAN {
            let listing = self.must(&[&["podman"], *words].concat())?;
            let found = listing.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.extend(found.map(|line| format!("{kind} {line}")));
        }
        Ok(lines)
    }

    /// The command lines of its processes, except its daemons and those that look.
    ///
    /// # Errors
    /// They could not be listed.
    pub fn processes(&self) -> Result<Vec<String>, Unavailable> {
        let listing = self.must(&["ps", "-eo", "stat=,args=", "--no-headers", "-ww"])?;
        let lines = listing.lines().filter_map(|line| {
            let (state, command) = line.trim().split_once(' ')?;
            let plumbing = |known: &str| command.trim().starts_with(known);
            let told = !PLUMBING.iter().any(|known| plumbing(known)) || state.starts_with('Z');
            told.then(|| format!("{} ({})", command.trim(), state.get(..1).unwrap_or_default()))
        });
        Ok(lines.map(|line| line.replace(" (R)", " (S)")).collect())
    }

    /// What is there now, was not before and is not kept on purpose. What is on its way out gets some time; lines that stay
    /// are returned.
    ///
    /// # Errors
    /// It could not be looked.
    pub fn leftovers(
        &self,
        before: &Audit,
        patience: Duration,
        is_kept: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Unavailable> {
        self.remaining(patience, |now| {
            let news = now.lines.difference(&before.lines);
            news.filter(|line| !is_kept(line)).cloned().collect()
        })
    }

    /// What is there that carries this text: the id of a sandbox that is gone. For hosts that others use as well.
    ///
    /// # Errors
    /// It could not be looked.
    pub fn leftovers_of(&self, text: &str, patience: Duration) -> Result<Vec<String>, Unavailable> {
        self.remaining(patience, |now| now.of(text))
    }

    fn remaining(&self, patience: Duration, pick: impl Fn(&Audit) -> Vec<String>) -> Result<Vec<String>, Unavailable> {
        let deadline = Instant::now() + patience;
        loop {
            let left = pick(&self.audit()?);
            if left.is_empty() || Instant::now() >= deadline {
                return Ok(left);
            }
            std::thread::park_timeout(AGAIN);
        }
    }
}

/// What one line of the look at a host tells, if it is about something that may be left over.
fn told(line: &str) -> Option<String> {
    let (kind, what) = line.split_once(' ')?;
    match kind {
        // A folder of this machine that something was written to and removed from again shows as an empty one.
        "folder" => (!Path::new(what).is_dir()).then(|| format!("file {what}")),
        // The engine's own; podman makes them when it needs them first.
        "table" => {
            let is_engines = ["ip filter", "ip nat", "ip6 filter", "ip6 nat"].contains(&what);
            (!what.contains(TABLE) && !is_engines).then(|| line.to_owned())
        }
        _ => Some(line.to_owned()),
    }
}

/// The names in a field that holds one or many; what has none is told as well.
fn each(names: &Value) -> impl Iterator<Item = &str> {
    let all = names.as_array().map_or(std::slice::from_ref(names), Vec::as_slice);
    let all = if all.is_empty() { &[Value::Null] } else { all };
    all.iter()
        .map(|name| name.as_str().map_or("<none>", |name| name.trim_start_matches('/')))
}

fn labels(value: &Value) -> String {
    let all = value.as_object().into_iter().flatten();
    let all = all.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    all.collect::<Vec<_>>().join(",")
}

/// How long until the next look at what is on its way out.
const AGAIN: Duration = Duration::from_millis(200);

/// Kind, what to ask, where in the answer the list is, and in which fields names and images are.
const DOCKER: [(&str, &str, &str, &str, &str); 4] = [
    ("container", "/containers/json?all=1", "", "Names", "Image"),
    ("network", "/networks", "", "Name", ""),
    ("volume", "/volumes", "Volumes", "Name", ""),
    ("image", "/images/json?all=1", "", "RepoTags", "Id"),
];

const PODMAN: &[(&str, &[&str])] = &[
    (
        "container",
        &[
            "ps",
            "--all",
            "--no-trunc",
            "--format",
            "{{.Names}} {{.Image}} {{.Labels}}",
        ],
    ),
    (
        "network",
        &["network", "ls", "--no-trunc", "--format", "{{.Name}} {{.Labels}}"],
    ),
    ("volume", &["volume", "ls", "--format", "{{.Name}} {{.Labels}}"]),
    (
        "image",
        &[
            "images",
            "--all",
            "--no-trunc",
            "--format",
            "{{.Repository}}:{{.Tag}} {{.ID}}",
        ],
    ),
];

/// Files: everything written below the root, and in the folders that are file systems of their own; not what the engines
/// keep for themselves, which they were asked about. Mounts: those of containers that run are their own, and go with them.
/// Groups: empty ones of an engine's own are left out, since runc leaves one behind now and then.
const LOOK: &str = r#"
cd /run/testbed/up && find . -mindepth 1 \( -path ./var/lib/docker -o -path ./var/lib/containers \) -prune -o \
    \( -type d -empty -printf 'folder /%P\n' -o ! -type d -printf 'file /%P\n' \) |
    grep -v -e '^[a-z]* /usr/.*docker' -e '^[a-z]* /etc/passwd' -e '^[a-z]* /etc/docker/' -e '\.pyc$' -e '/__pycache__' \
        -e '^[a-z]* /var/log/' -e '^[a-z]* /var/cache/containers/' -e '^[a-z]* /var/lib/cni/' -e '^[a-z]* /etc/cni/net.d/'
find /root /tmp /var/tmp /run -mindepth 1 -xdev \( -path /run/testbed -o -path /run/docker -o -path /run/containerd \
    -o -path /run/containers -o -path /run/crun -o -path /run/libpod -o -path /run/runc -o -path /run/netns \
    -o -path /run/shared \) -prune -o -printf 'file %p\n' |
    grep -v -e '^file /run/docker\.\(sock\|pid\)$' -e '^file /run/xtables.lock$' -e '^file /root/\.docker' \
        -e '^file /root/\.cache'
links=$(ip -o link) && tables=$(nft list tables) || exit 1
printf '%s\n' "$links" | sed -e 's/^[0-9]*: */interface /' -e 's/[@:].*//'
[ -z "$tables" ] || printf '%s\n' "$tables"
awk '$2 !~ "^(/proc$|/sys|/dev)" { print "mount " $2 }' /proc/self/mounts
find /sys/fs/cgroup -mindepth 2 -type d -printf '%P\n' | while read -r group; do
    case $group in
        init | docker | */docker | */libpod_parent | *buildkit*) ;;
        */docker/* | */libpod_parent/*) ! read -r _ 2>/dev/null <"/sys/fs/cgroup/$group/cgroup.procs" || echo "cgroup $group" ;;
        *) echo "cgroup $group" ;;
    esac
done
exit 0
"#;

/// What belongs to the host, and what is there while somebody looks or is on the line.
const PLUMBING: &[&str] = &[
    "bash /",
    "/usr/sbin/dockerd",
    "containerd --config",
    "sshd:",
    "/usr/sbin/sshd",
    "busybox httpd -p 80",
    "python3 /run/testbed/resolver.py",
    "timeout -k 1 100 ",
    "ps -eo stat=",
];
