//! Inside: what runs as pid 1 of a sandbox. It builds the root, seals itself, then serves commands until its deadline.

pub(crate) mod attest;
pub(crate) mod command;
pub(crate) mod harden;
pub(crate) mod rootfs;
pub(crate) mod serve;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use sandboxer_model::isolation::{Mechanism, MechanismState};

use crate::cgroup;
use crate::error::{NativeError, Tried};
use crate::idmap::INSIDE_UID;
use crate::seccomp::Filter;
use crate::spec::{FromInit, LaunchSpec};
use crate::sys;
use crate::weaken;
use crate::wire;

/// What pid 1 gets from the shim through the copy of memory that a fork is.
pub(crate) struct Birth {
    pub(crate) spec: LaunchSpec,
    /// To the shim: closes when the shim dies.
    pub(crate) link: OwnedFd,
    /// Where commands come in.
    pub(crate) listener: OwnedFd,
    /// Doors of the version-1 groups.
    pub(crate) doors: Vec<File>,
    pub(crate) sources: rootfs::Sources,
    pub(crate) filter: Filter,
    /// Whether the shim is root on the host.
    pub(crate) rootful: bool,
    /// Limits that are set on the process itself.
    pub(crate) process_limits: harden::ProcessLimits,
}

/// Runs pid 1. Returns only by ending the process.
pub(crate) fn run(birth: Birth) -> ! {
    let link = birth.link.as_fd();
    // The shim writes our id maps, then says go. If it died, so do we: nothing is recorded of us yet.
    if !matches!(wire::recv(link), Ok(Some(_))) {
        sys::exit_now(1);
    }
    let session = match set_up(&birth) {
        Ok(session) => session,
        Err(error) => {
            let _ = wire::send_json(link, &FromInit::Refused(error));
            sys::exit_now(1);
        }
    };
    let ready = FromInit::Ready {
        deadline_ms: session.deadline_ms(),
        mechanisms: session.mechanisms.clone(),
        attestations: session.attestations.clone(),
    };
    if wire::send_json(link, &ready).is_err() || !matches!(wire::recv(link), Ok(Some(_))) {
        sys::exit_now(1);
    }
    // From here on we are on record, and outlive the shim.
    serve::run(session, birth)
}

fn set_up(birth: &Birth) -> Result<serve::Session, NativeError> {
    // What is made for the sandbox is for its user to see, unlike what the keeper makes on the host.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let signals = sys::child_signal_fd().tried("watch for ended commands")?;
    cgroup::enter(&birth.doors).tried("join the control groups")?;
    sys::unshare(libc::CLONE_NEWCGROUP).tried("make a cgroup namespace")?;
    if birth.rootful {
        sys::become_user(0, 0, true).tried("become root of the user namespace")?;
    }
    sys::set_hostname("sandbox").tried("set the host name")?;
    bring_loopback_up()?;
    rootfs::build(&birth.spec, &birth.sources, birth.rootful)?;
    let attestations = attest::network();
    let mut mechanisms = namespace_mechanisms(birth.rootful);
    mechanisms.extend(harden::seal(birth)?);
    serve::Session::new(birth.spec.ttl_secs, signals, mechanisms, attestations)
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
