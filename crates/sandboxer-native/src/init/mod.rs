//! Inside: what runs as pid 1 of a sandbox. It builds the root, seals itself, then serves commands until its deadline.

pub(crate) mod attest;
pub(crate) mod command;
pub(crate) mod harden;
pub(crate) mod rootfs;
pub(crate) mod serve;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use sandboxer_model::isolation::{Attestation, Mechanism, MechanismState};
use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::error::{Kind, NativeError, Tried};
use crate::idmap::INSIDE_UID;
use crate::seccomp::Filter;
use crate::spec::{FromInit, LaunchSpec};
use crate::sys;
use crate::weaken;
use crate::wire;

/// What pid 1 is told of its sandbox. Descriptors come beside it: the caller's tree, the writable directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Birth {
    pub(crate) spec: LaunchSpec,
    /// Whether the caller's tree comes.
    pub(crate) workspace: bool,
    /// Whether the writable directory comes.
    pub(crate) disk: bool,
    /// The writable directory, to be opened by pid 1 itself.
    pub(crate) disk_path: Option<PathBuf>,
    /// MiB of memory for writable files, when they go there.
    pub(crate) tmpfs_mb: Option<u64>,
    /// Limits that are set on the process itself.
    pub(crate) process_limits: harden::ProcessLimits,
}

/// What pid 1 is told once its control groups are there. Descriptors come beside it: where commands come in, and the
/// doors of version-1 groups.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Admission {
    /// How many doors come.
    pub(crate) doors: usize,
}

/// For threads that only wait; about the least that every libc takes.
const SMALL_STACK: usize = 32 << 10;

/// Runs pid 1. Returns only by ending the process.
///
/// | keeper | pid 1 |
/// |---|---|
/// | id maps are written: go | what is the same for every sandbox |
/// | [`Birth`] | its own root |
/// | [`Admission`] | into its groups, gives up its rights, `Built`, seccomp, `Sealed` |
/// | it is on record: kept | serves |
pub(crate) fn run(link: OwnedFd, rootful: bool) -> ! {
    let filter = Filter::compile();
    hear(&link);
    match prepare(rootful).and_then(|prepared| be_born(&link, prepared, &filter, rootful)) {
        // From here on we are on record, and outlive the keeper.
        Ok((session, listener)) => serve::run(session, link, listener),
        Err(error) => refuse(&link, error),
    }
}

/// Says why there will be no sandbox, and waits for the keeper to end us: a process that ends with a message unread resets
/// the connection, and its last words are lost.
fn refuse(link: &OwnedFd, error: NativeError) -> ! {
    let _ = wire::send_json(link.as_fd(), &FromInit::Refused(error));
    while matches!(wire::recv(link.as_fd()), Ok(Some(_))) {}
    sys::exit_now(1)
}

/// What was made before it was known for what.
struct Prepared {
    signals: OwnedFd,
    attestations: Vec<Attestation>,
}

/// What is the same for every sandbox.
fn prepare(rootful: bool) -> Result<Prepared, NativeError> {
    // What is made for the sandbox is for its user to see, unlike what the keeper makes on the host.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let signals = sys::child_signal_fd().tried("watch for ended commands")?;
    if rootful {
        sys::become_user(0, 0, true).tried("become root of the user namespace")?;
    }
    if !weaken::is_off("uts_namespace") {
        sys::set_hostname("sandbox").tried("set the host name")?;
    }
    if !weaken::is_off("network_namespace") {
        bring_loopback_up()?;
    }
    rootfs::prepare()?;
    harden::limit_open_files()?;
    // Nothing changes this network namespace any more.
    let attestations = attest::network();
    Ok(Prepared { signals, attestations })
}

/// What is this sandbox's own.
fn be_born(
    link: &OwnedFd,
    prepared: Prepared,
    filter: &Filter,
    rootful: bool,
) -> Result<(serve::Session, OwnedFd), NativeError> {
    let missing = || NativeError::new(Kind::Failed, "the keeper did not pass on all that it announced");
    let packet = hear(link);
    let birth: Birth = serde_json::from_slice(&packet.bytes).map_err(|_| missing())?;
    let mut fds = packet.fds.into_iter();
    let sources = rootfs::Sources {
        workspace: if birth.workspace {
            Some(fds.next().ok_or_else(missing)?)
        } else {
            None
        },
        disk: if birth.disk {
            Some(fds.next().ok_or_else(missing)?)
        } else {
            None
        },
        disk_path: birth.disk_path,
        tmpfs_mb: birth.tmpfs_mb,
    };
    rootfs::finish(&birth.spec, &sources, rootful)?;

    let packet = hear(link);
    let admission: Admission = serde_json::from_slice(&packet.bytes).map_err(|_| missing())?;
    let mut fds = packet.fds.into_iter();
    let listener = fds.next().ok_or_else(missing)?;
    let doors: Vec<File> = fds.map(File::from).collect();
    if doors.len() != admission.doors {
        return Err(missing());
    }
    cgroup::enter(&doors).tried("join the control groups")?;
    drop(doors);
    if !weaken::is_off("cgroup_namespace") {
        sys::unshare(libc::CLONE_NEWCGROUP).tried("make a cgroup namespace")?;
    }
    let mut mechanisms = namespace_mechanisms(rootful);
    mechanisms.extend(harden::give_up(&birth.process_limits, rootful)?);
    mechanisms.extend(harden::filter_mechanism());
    let session = serve::Session::new(birth.spec.ttl_secs, prepared.signals)?;
    // What is to be written down, while the kernel compiles the filter.
    let built = FromInit::Built {
        deadline_ms: session.deadline_ms(),
        mechanisms,
        attestations: prepared.attestations,
    };
    let told = |message: &FromInit| wire::send_json(link.as_fd(), message).unwrap_or_else(|_| sys::exit_now(1));
    told(&built);
    harden::install_filter(&birth.process_limits, filter)?;
    told(&FromInit::Sealed);
    hear(link);
    Ok((session, listener))
}

/// What the keeper says next. Without a keeper there is nothing to live for: nothing is recorded of us yet.
fn hear(link: &OwnedFd) -> wire::Packet {
    match wire::recv(link.as_fd()) {
        Ok(Some(packet)) => packet,
        _ => sys::exit_now(1),
    }
}

fn bring_loopback_up() -> Result<(), NativeError> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .tried("open a socket in the new network namespace")?;
    sys::interface_up(socket.as_fd(), c"lo").tried("bring the loopback interface up")
}

fn namespace_mechanisms(rootful: bool) -> Vec<Mechanism> {
    let enforced = |name: &str, detail: String| Mechanism {
        name: name.to_owned(),
        state: MechanismState::Enforced,
        detail,
    };
    let users = if rootful {
        format!(
            "commands run as uid {INSIDE_UID} inside, a host id that no other sandbox of this installation has, without any right on the host"
        )
    } else {
        format!(
            "commands run as uid {INSIDE_UID} inside, the caller's own id on the host, without any of its groups' rights over the sandbox"
        )
    };
    let mut list = vec![enforced("user_namespace", users)];
    for (name, detail) in [
        ("pid_namespace", "only its own processes exist for it"),
        (
            "mount_namespace",
            "its own root: the host's /usr read-only, everything else made for it",
        ),
        ("network_namespace", "a loopback interface of its own and nothing else"),
        ("ipc_namespace", "its own System V and POSIX queues"),
        ("uts_namespace", "its own host name"),
        ("cgroup_namespace", "it sees its own control group as the root"),
    ] {
        if !weaken::is_off(name) {
            list.push(enforced(name, detail.to_owned()));
        }
    }
    list
}
