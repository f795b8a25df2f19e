//! Inside: what runs as pid 1 of a sandbox. It builds the root, seals itself, then serves commands until its deadline.

pub(crate) mod attest;
pub(crate) mod command;
pub(crate) mod harden;
pub(crate) mod rootfs;
pub(crate) mod serve;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use sandboxer_model::isolation::{Mechanism, MechanismState};
use serde::{Deserialize, Serialize};

use crate::cgroup;
use crate::error::{Kind, NativeError, Tried};
use crate::idmap::INSIDE_UID;
use crate::seccomp::Filter;
use crate::spec::{FromInit, LaunchSpec};
use crate::sys;
use crate::weaken;
use crate::wire;

/// What pid 1 is told of its sandbox. Descriptors come beside it: where commands come in, the doors of version-1 groups,
/// the caller's tree, the writable directory.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Birth {
    pub(crate) spec: LaunchSpec,
    /// How many doors come.
    pub(crate) doors: usize,
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

/// Runs pid 1. Returns only by ending the process.
pub(crate) fn run(link: OwnedFd, filter: &Filter, rootful: bool) -> ! {
    // The keeper writes our id maps, then says go. If it died, so do we: nothing is recorded of us yet.
    if !matches!(wire::recv(link.as_fd()), Ok(Some(_))) {
        sys::exit_now(1);
    }
    let prepared = prepare(rootful);
    let Ok(Some(packet)) = wire::recv(link.as_fd()) else {
        sys::exit_now(1)
    };
    let born = prepared.and_then(|signals| be_born(packet, signals, filter, rootful));
    let (session, listener) = match born {
        Ok(born) => born,
        Err(error) => {
            let _ = wire::send_json(link.as_fd(), &FromInit::Refused(error));
            sys::exit_now(1);
        }
    };
    let ready = FromInit::Ready {
        deadline_ms: session.deadline_ms(),
        mechanisms: session.mechanisms.clone(),
        attestations: session.attestations.clone(),
    };
    if wire::send_json(link.as_fd(), &ready).is_err() || !matches!(wire::recv(link.as_fd()), Ok(Some(_))) {
        sys::exit_now(1);
    }
    // From here on we are on record, and outlive the keeper.
    serve::run(session, link, listener)
}

/// What is the same for every sandbox.
fn prepare(rootful: bool) -> Result<OwnedFd, NativeError> {
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
    Ok(signals)
}

/// What is this sandbox's own.
fn be_born(
    packet: wire::Packet,
    signals: OwnedFd,
    filter: &Filter,
    rootful: bool,
) -> Result<(serve::Session, OwnedFd), NativeError> {
    let missing = || NativeError::new(Kind::Failed, "the keeper did not pass on all that it announced");
    let birth: Birth = serde_json::from_slice(&packet.bytes).map_err(|_| missing())?;
    let mut fds = packet.fds.into_iter();
    let listener = fds.next().ok_or_else(missing)?;
    let doors: Vec<File> = fds.by_ref().take(birth.doors).map(File::from).collect();
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
    cgroup::enter(&doors).tried("join the control groups")?;
    if !weaken::is_off("cgroup_namespace") {
        sys::unshare(libc::CLONE_NEWCGROUP).tried("make a cgroup namespace")?;
    }
    rootfs::finish(&birth.spec, &sources, rootful)?;
    let attestations = attest::network();
    let mut mechanisms = namespace_mechanisms(rootful);
    mechanisms.extend(harden::seal(&birth.process_limits, filter, rootful)?);
    let session = serve::Session::new(birth.spec.ttl_secs, signals, mechanisms, attestations)?;
    Ok((session, listener))
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
            "commands run as uid {INSIDE_UID} inside, a host id that no other sandbox has, without any right on the host"
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
