//! The runtime as its callers see it: launch, run commands, move the deadline, look, remove. No daemon: any process of
//! the same user can do any of these to any sandbox, whoever made it.

mod command;
mod launching;
mod observation;
mod removal;

use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cgroup::Hierarchies;
use crate::error::{Kind, NativeError, Tried};
use crate::exec_wire::{self, ExecReply, ToInit};
use crate::fence;
use crate::files;
use crate::identity;
use crate::layout::{Home, Layout};
use crate::socket;
use crate::spec::{FromShim, Launched, Machine};
use crate::wire;

pub use command::{Command, CommandIo, Exit, Running, Signaller};
pub use launching::{Keeper, Launch, Launching, Spare};
pub use observation::{Listed, Observed};
pub use removal::Removed;

/// The hidden first argument that makes the binary a keeper.
pub(crate) const SHIM_ARGUMENT: &str = "__shim";

/// Longest wait for an answer that needs no work.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The runtime over one directory.
#[derive(Debug, Clone)]
pub struct Runtime {
    layout: Layout,
    /// Looked up when first needed.
    machine: Arc<OnceLock<Machine>>,
}

impl Runtime {
    /// The runtime over this directory; it is made when first needed.
    pub fn new(root: &Path) -> Runtime {
        Runtime {
            layout: Layout::new(root),
            machine: Arc::default(),
        }
    }

    /// What the machine offers does not change while a process lives.
    fn machine(&self) -> &Machine {
        self.machine.get_or_init(|| Machine {
            hierarchies: Hierarchies::detect(rustix::process::geteuid().is_root()),
            boot: identity::boot_id(),
        })
    }

    /// What was made under this id, if it runs.
    pub fn find(&self, id: &str) -> Option<Launched> {
        self.running(&self.layout.home(id))
    }

    fn running(&self, home: &Home) -> Option<Launched> {
        let launched = files::read_json::<Launched>(&home.state()).ok()?;
        let is_alive = launched.init.is_alive(&self.machine().boot).unwrap_or(false);
        is_alive.then_some(launched)
    }

    /// Moves the deadline to this time, in milliseconds since 1970; rounded up to a second.
    ///
    /// # Errors
    /// `NotFound`, `Fenced`.
    pub fn set_deadline(&self, id: &str, epoch: u64, deadline_ms: i64) -> Result<i64, NativeError> {
        fence::raise(&self.layout, id, epoch)?;
        let left = u64::try_from(deadline_ms.saturating_sub(identity::unix_ms())).unwrap_or(0);
        let in_secs = left.div_ceil(1000);
        self.ask_init(id, &ToInit::Deadline { in_secs })
    }

    /// When its first process will end it, in milliseconds since 1970.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn deadline(&self, id: &str) -> Result<i64, NativeError> {
        self.ask_init(id, &ToInit::Ping)
    }

    fn ask_init(&self, id: &str, request: &ToInit) -> Result<i64, NativeError> {
        let socket = self.connect_init(id)?;
        exec_wire::send(socket.as_fd(), request, &[]).map_err(|_| gone(id))?;
        if !wire::wait_readable(socket.as_fd(), ANSWER_TIMEOUT).tried("wait for the sandbox")? {
            return Err(NativeError::new(
                Kind::Timeout,
                format!("{id} did not answer within {ANSWER_TIMEOUT:?}"),
            ));
        }
        match wire::recv_json::<ExecReply>(socket.as_fd()).tried("hear from the sandbox")? {
            Some(ExecReply::Alive { deadline_ms }) => Ok(deadline_ms),
            Some(ExecReply::Refused { why }) => Err(NativeError::new(Kind::Failed, why)),
            Some(_) => Err(nonsense()),
            None => Err(gone(id)),
        }
    }

    fn connect_init(&self, id: &str) -> Result<OwnedFd, NativeError> {
        let home = self.layout.home(id);
        socket::connect(&home.path, "init.sock").map_err(|errno| match errno {
            Errno::ACCESS | Errno::PERM => NativeError::new(
                Kind::Failed,
                format!("cannot look for {id} in {}: permission denied", home.path.display()),
            )
            .hint("another user made it: run this as that user"),
            _ => gone(id),
        })
    }
}

fn answer(socket: BorrowedFd<'_>, timeout: Duration) -> Result<FromShim, NativeError> {
    if !wire::wait_readable(socket, timeout).tried("wait for the sandbox's keeper")? {
        return Err(NativeError::new(
            Kind::Timeout,
            format!("the sandbox's keeper did not answer within {timeout:?}"),
        ));
    }
    wire::recv_json(socket)
        .tried("hear from the sandbox's keeper")?
        .ok_or_else(|| NativeError::new(Kind::Failed, "the sandbox's keeper ended without an answer"))
}

fn gone(id: &str) -> NativeError {
    NativeError::new(Kind::NotFound, format!("{id} does not run here"))
}

fn nonsense() -> NativeError {
    NativeError::new(Kind::Failed, "the sandbox's keeper gave an answer to another question")
}

/// The directory of the runtime below a data directory.
pub fn root_in(data_dir: &Path) -> PathBuf {
    data_dir.join("native")
}
