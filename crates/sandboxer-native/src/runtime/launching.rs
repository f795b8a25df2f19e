//! Making a sandbox: finding a keeper for it, and waiting until it is ready.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use sandboxer_model::isolation::Limit;

use super::{Runtime, SHIM_ARGUMENT, answer, nonsense};
use crate::error::{Kind, NativeError, Tried};
use crate::fence;
use crate::layout::Home;
use crate::shim;
use crate::spec::{Access, FromShim, LaunchSpec, Launched, ToShim};
use crate::wire;

/// Longest wait for a sandbox to be made; the keeper itself gives up earlier.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(30);

/// A keeper that waits for something to keep.
#[derive(Debug)]
pub struct Spare {
    socket: OwnedFd,
    /// The keeper's short-lived parent, to be reaped.
    parent: Option<std::process::Child>,
}

impl Spare {
    /// Starts a keeper as a copy of this process, in a third of the time of a program start.
    ///
    /// # Errors
    /// This process has several threads.
    pub fn fork() -> Result<Spare, NativeError> {
        Ok(Spare {
            socket: shim::fork_keeper()?,
            parent: None,
        })
    }

    /// Hands over the socket, once the keeper's parent is gone.
    fn into_socket(mut self) -> Result<OwnedFd, NativeError> {
        let socket = self.socket.try_clone().tried("copy a descriptor")?;
        self.reap();
        Ok(socket)
    }

    fn reap(&mut self) {
        // It ended with its first instructions; what is waited for is at most that.
        if let Some(mut parent) = self.parent.take() {
            let _ = parent.wait();
        }
    }
}

/// Reaps the keeper's parent, so that an unused spare leaves no zombie. The keeper itself ends by its closed socket.
impl Drop for Spare {
    fn drop(&mut self) {
        self.reap();
    }
}

/// The way to the keeper of a sandbox that this process made.
#[derive(Debug)]
pub struct Keeper {
    pub(super) socket: OwnedFd,
}

impl Keeper {
    /// Has the sandbox removed as soon as it ends by itself. The answer is for the [`Runtime::destroy`] that follows.
    ///
    /// # Errors
    /// `Failed` when the keeper is gone.
    pub fn remove_at_end(&self, epoch: u64) -> Result<(), NativeError> {
        wire::send_json(self.socket.as_fd(), &ToShim::DestroyAtEnd { epoch }).tried("tell the sandbox's keeper")
    }
}

/// A sandbox that is ready.
#[derive(Debug)]
pub struct Launch {
    /// What stands.
    pub launched: Launched,
    /// The way to its keeper; `None` when it was made before.
    pub keeper: Option<Keeper>,
}

/// A sandbox that is being made.
#[derive(Debug)]
pub struct Launching(Begun);

#[derive(Debug)]
enum Begun {
    Found(Launched),
    Asked {
        runtime: Runtime,
        home: Home,
        socket: OwnedFd,
    },
}

impl Launching {
    /// Waits until it is ready or failed, at most this long; whether it is.
    pub fn wait_at_most(&self, timeout: Duration) -> bool {
        match &self.0 {
            Begun::Found(_) => true,
            Begun::Asked { socket, .. } => wire::wait_readable(socket.as_fd(), timeout).unwrap_or(true),
        }
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// As [`Runtime::launch`].
    pub fn wait(self) -> Result<Launch, NativeError> {
        let (runtime, home, socket) = match self.0 {
            Begun::Found(launched) => return Ok(Launch { launched, keeper: None }),
            Begun::Asked { runtime, home, socket } => (runtime, home, socket),
        };
        match answer(socket.as_fd(), LAUNCH_TIMEOUT)? {
            FromShim::Launched(launched) => Ok(Launch {
                launched: *launched,
                keeper: Some(Keeper { socket }),
            }),
            FromShim::Refused(error) if error.kind == Kind::Busy => match runtime.running(&home) {
                Some(launched) => Ok(Launch { launched, keeper: None }),
                None => Err(error),
            },
            FromShim::Refused(error) => Err(error),
            FromShim::Destroyed { .. } | FromShim::Usage(_) => Err(nonsense()),
        }
    }
}

impl Runtime {
    /// Starts a keeper before it is known what to keep. One that is dropped leaves nothing behind.
    ///
    /// # Errors
    /// The keeper cannot be started.
    pub fn spare(&self) -> Result<Spare, NativeError> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the keeper is this program itself, started by the runtime"
        )]
        let mut command = std::process::Command::new("/proc/self/exe");
        let (ours, theirs) = wire::pair().tried("make a socket pair")?;
        command
            .arg(SHIM_ARGUMENT)
            .env_clear()
            .envs(crate::weaken::inherited_environment())
            .stdin(std::process::Stdio::from(theirs))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let parent = command.spawn().tried("start the sandbox's keeper")?;
        Ok(Spare {
            socket: ours,
            parent: Some(parent),
        })
    }

    /// What would hold each limit here.
    ///
    /// # Errors
    /// `CannotEnforce` when the launch would refuse it.
    pub fn check(&self, spec: &LaunchSpec) -> Result<Vec<Limit>, NativeError> {
        check_source(spec)?;
        shim::plan_limits(spec, &self.machine().hierarchies).map(|plan| plan.report)
    }

    /// Makes a sandbox, or finds the one of the same id.
    ///
    /// # Errors
    /// Any kind; what was made before the failure has been removed.
    pub fn launch(&self, spec: &LaunchSpec, spare: Option<Spare>) -> Result<Launch, NativeError> {
        self.begin_launch(spec, spare)?.wait()
    }

    /// Begins to make a sandbox, or finds the one of the same id.
    ///
    /// # Errors
    /// As [`Runtime::launch`].
    pub fn begin_launch(&self, spec: &LaunchSpec, spare: Option<Spare>) -> Result<Launching, NativeError> {
        let home = self.layout.home(&spec.id);
        if let Some(launched) = self.running(&home) {
            fence::raise(&self.layout, &spec.id, spec.epoch)?;
            return Ok(Launching(Begun::Found(launched)));
        }
        check_source(spec)?;
        let spare = match spare {
            Some(spare) => spare,
            None => self.spare()?,
        };
        let socket = spare.into_socket()?;
        let request = ToShim::Launch {
            spec: Box::new(spec.clone()),
            machine: self.machine().clone(),
        };
        wire::send_json(socket.as_fd(), &request).tried("ask the keeper")?;
        Ok(Launching(Begun::Asked {
            runtime: self.clone(),
            home,
            socket,
        }))
    }
}

fn is_readable(dir: &Path) -> bool {
    use rustix::fs::Access;
    rustix::fs::access(dir, Access::READ_OK | Access::EXEC_OK).is_ok()
}

/// Refuses a workspace that is not a directory.
fn check_source(spec: &LaunchSpec) -> Result<(), NativeError> {
    match &spec.workspace.source {
        Some(source) if !source.is_dir() => Err(NativeError::new(
            Kind::Invalid,
            format!("the workspace {} is not a directory", source.display()),
        )
        .hint("give an existing directory: --input repo=DIR")),
        Some(source) if spec.workspace.access != Access::None && !is_readable(source) => Err(NativeError::new(
            Kind::Invalid,
            format!("the workspace {} cannot be read by you", source.display()),
        )
        .hint("give a directory whose files you may list and read")),
        _ => Ok(()),
    }
}
