//! What is on a host, and what of that was not there before.
//!
//! Everything a host writes to its disk is in one place, so this finds any file whatever it is called; and all of its
//! processes are in one namespace, so it finds any process whatever it detached itself from.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::host::Host;
use crate::network::TABLE;
use crate::plan::Compose;
use crate::skip::Unavailable;
use crate::wait;

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
        let mut lines = BTreeSet::new();
        let mut add = |kind: &str, text: &str| {
            let found = text.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.extend(found.map(|line| format!("{kind} {line}")));
        };
        let engine = if self.compose() == Compose::Podman {
            "podman"
        } else {
            "docker"
        };
        for (kind, words) in ENGINE {
            add(kind, &self.must(&[&[engine], *words].concat())?);
        }
        // A folder of this machine that something was written to and removed from again shows as an empty one.
        let is_news = |line: &&str| line.strip_prefix("d ").is_none_or(|folder| !Path::new(folder).is_dir());
        let files = self.sh(FILES)?;
        let files: Vec<_> = files.lines().filter(is_news).filter_map(|line| line.get(2..)).collect();
        add("file", &files.join("\n"));
        add("interface", &self.sh(INTERFACES)?);
        let tables = self.sh("nft list tables | sed 's/^table //'")?;
        // The engine's own; podman makes them when it needs them first.
        let engines = ["ip filter", "ip nat", "ip6 filter", "ip6 nat"];
        let ours = |line: &&str| !line.contains(TABLE) && !engines.contains(&line.trim());
        add("table", &tables.lines().filter(ours).collect::<Vec<_>>().join("\n"));
        add("mount", &self.sh(MOUNTS)?);
        add("cgroup", &self.sh(GROUPS)?);
        add("process", &self.processes()?.join("\n"));
        Ok(Audit { lines })
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

    /// What is there now and was not before. What is on its way out gets some time; lines that stay are returned.
    ///
    /// # Errors
    /// It could not be looked.
    pub fn leftovers(&self, before: &Audit, patience: Duration) -> Result<Vec<String>, Unavailable> {
        self.remaining(patience, |now| now.lines.difference(&before.lines).cloned().collect())
    }

    /// What is there that carries this text: the id of a sandbox that is gone. For hosts that others use as well.
    ///
    /// # Errors
    /// It could not be looked.
    pub fn leftovers_of(&self, text: &str, patience: Duration) -> Result<Vec<String>, Unavailable> {
        self.remaining(patience, |now| now.of(text))
    }

    fn remaining(&self, patience: Duration, pick: impl Fn(&Audit) -> Vec<String>) -> Result<Vec<String>, Unavailable> {
        let mut last = Ok(Vec::new());
        wait::until_true(patience, || {
            last = self.audit().map(|now| pick(&now));
            !matches!(&last, Ok(lines) if !lines.is_empty())
        });
        last
    }
}

const ENGINE: &[(&str, &[&str])] = &[
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

/// Everything written below the root, and in the folders that are file systems of their own; not what the engines keep
/// for themselves, which they were asked about.
const FILES: &str = r#"
cd /run/testbed/up && find . -mindepth 1 \( -path ./var/lib/docker -o -path ./var/lib/containers \) -prune -o \
    \( ! -type d -o -empty \) -printf '%y /%P\n' |
    grep -v -e '^. /usr/.*docker' -e '^. /etc/passwd' -e '^. /etc/docker/' -e '\.pyc$' -e '/__pycache__' \
        -e '^. /var/log/' -e '^. /var/cache/containers/' -e '^. /var/lib/cni/' -e '^. /etc/cni/net.d/'
find /root /tmp /var/tmp /run -mindepth 1 -xdev \( -path /run/testbed -o -path /run/docker -o -path /run/containerd \
    -o -path /run/containers -o -path /run/crun -o -path /run/libpod -o -path /run/runc -o -path /run/netns \
    -o -path /run/shared \) -prune -o -printf 'f %p\n' |
    grep -v -e '^f /run/docker\.\(sock\|pid\)$' -e '^f /run/xtables.lock$' -e '^f /root/\.docker' -e '^f /root/\.cache'
exit 0
"#;

const INTERFACES: &str = r"ip -o link | sed -e 's/^[0-9]*: *//' -e 's/[@:].*//'";

/// Containers that run have mounts of their own, which go when the containers are gone.
const MOUNTS: &str = r"awk '{ print $2 }' /proc/self/mounts | grep -v -e '^/proc$' -e '^/sys' -e '^/dev' || :";

/// Empty groups of an engine's own are left out: runc leaves one behind now and then.
const GROUPS: &str = r#"find /sys/fs/cgroup -mindepth 2 -type d -printf '%P\n' | while read -r group; do
    case $group in
        init | docker | */docker | */libpod_parent | *buildkit*) ;;
        */docker/* | */libpod_parent/*) [ -z "$(cat /sys/fs/cgroup/$group/cgroup.procs)" ] || echo $group ;;
        *) echo $group ;;
    esac
done"#;

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
