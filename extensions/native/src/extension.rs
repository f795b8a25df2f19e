//! The contract over the native runtime.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_extension::{
    Call, Ended, ErrorKind, ExecRequest, ExecSession, ExecStdio, Extension, ExtensionError, Handle, Inventory,
    InventoryItem, Manifest, Observation, ProvisionRequest, Ready, Removal, Target, Validation, async_trait, cut,
};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::duration::Span;
use sandboxer_model::isolation::IsolationReport;
use sandboxer_model::money::{Micros, Quote, Usage};
use sandboxer_model::operation::Epoch;
use sandboxer_model::profile::{IsolationLevel, Profile};
use sandboxer_model::reachability::Reachability;
use sandboxer_native::runtime::{Command, CommandIo, Keeper, Runtime, Spare};
use sandboxer_native::spec::{How, Launched};
use sandboxer_native::{Kind, NativeError};

use crate::config;
use crate::session::Session;

/// What the extension needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The data directory; the runtime keeps everything below `native/` in it.
    pub data_dir: PathBuf,
}

/// The native runtime as an extension.
pub struct NativeExtension {
    manifest: Manifest,
    runtime: Runtime,
    root: PathBuf,
    spare: Mutex<Option<Spare>>,
    keepers: Mutex<HashMap<String, Keeper>>,
    /// Made by this process and not looked at since: what was said of them still holds.
    fresh: Mutex<HashMap<String, Launched>>,
}

impl NativeExtension {
    /// The extension over a data directory. Touches nothing.
    pub fn new(settings: Settings) -> Arc<NativeExtension> {
        let root = sandboxer_native::runtime::root_in(&settings.data_dir);
        Arc::new(NativeExtension {
            manifest: config::manifest(),
            runtime: Runtime::new(&root),
            root,
            spare: Mutex::new(None),
            keepers: Mutex::new(HashMap::new()),
            fresh: Mutex::new(HashMap::new()),
        })
    }

    /// Starts a keeper that the next provision will use, beside whatever the caller does until then, or takes the one
    /// that was started before. One that is not used ends with this process and leaves nothing.
    pub fn prewarm(&self, spare: Option<Spare>) {
        let spare = spare.or_else(|| Spare::fork().or_else(|_| self.runtime.spare()).ok());
        let mut place = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        *place = place.take().or(spare);
    }

    fn keep(&self, id: &str, keeper: Keeper) {
        self.keepers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id.to_owned(), keeper);
    }
}

/// Whether this process does one thing, such as the command line: a second thread would then cost more than it saves.
pub(crate) fn does_one_thing() -> bool {
    use tokio::runtime::{Handle, RuntimeFlavor};
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::CurrentThread)
}

/// Starting a thread that waits takes longer than most waits here last. An interrupt is held up by at most this.
pub(crate) const SOON: Duration = Duration::from_millis(10);

/// Runs what waits a few milliseconds for the kernel: on the spot where that holds up nobody.
pub(crate) async fn brief<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ExtensionError> {
    if does_one_thing() {
        Ok(work())
    } else {
        blocking(work).await
    }
}

/// Runs what waits for another process without holding up other tasks.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ExtensionError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        ExtensionError::new(
            ErrorKind::Failed,
            format!("a worker of the native runtime ended early: {error}"),
        )
    })
}

pub(crate) fn translate(error: NativeError) -> ExtensionError {
    let kind = match error.kind {
        Kind::Invalid => ErrorKind::Invalid,
        Kind::CannotEnforce => ErrorKind::CannotEnforce,
        Kind::MissingPrerequisite => ErrorKind::MissingPrerequisite,
        Kind::NotFound => ErrorKind::NotFound,
        Kind::Fenced => ErrorKind::Fenced,
        Kind::Busy => ErrorKind::Unavailable,
        Kind::Timeout => ErrorKind::Timeout,
        Kind::Failed => ErrorKind::Failed,
    };
    let translated = ExtensionError::new(kind, error.message);
    match error.hint {
        Some(hint) => translated.hint(hint),
        None => translated,
    }
}

fn ended(how: How) -> Ended {
    match how {
        How::Deadline => Ended::Deadline,
        How::Killed => Ended::Killed,
        How::OutOfMemory => Ended::OutOfMemory,
        How::OutOfDisk => Ended::OutOfDisk,
    }
}

fn ready(id: &str, launched: &Launched) -> Ready {
    Ready {
        reachability: Reachability {
            exec: Some(format!("sandboxer exec {id} --")),
            workspace: launched.has_workspace.then(|| "/workspace".to_owned()),
            ..Reachability::default()
        },
        isolation: IsolationReport {
            level: IsolationLevel::Container,
            mechanisms: launched.mechanisms.clone(),
            limits: launched.limits.clone(),
            attestations: launched.attestations.clone(),
        },
        guard_deadline: Timestamp::from_millisecond(launched.deadline_ms).ok(),
        delta: None,
    }
}

#[async_trait]
impl Extension for NativeExtension {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    async fn validate(&self, request: &ProvisionRequest) -> Result<Validation, ExtensionError> {
        config::check(&request.profile)?;
        let spec = config::launch_spec(request, "", 0, &self.root);
        let limits = self.runtime.check(&spec).map_err(translate)?;
        let detail = serde_json::json!({
            "workspace": spec.workspace,
            "network": "none: a loopback interface of its own",
            "rootfs": "the host's /usr, read-only",
        });
        Ok(Validation { limits, detail })
    }

    async fn estimate_cost(&self, _: &Profile, _: Span) -> Result<Quote, ExtensionError> {
        Ok(Quote {
            per_hour: Micros::ZERO,
            worst_case: Micros::ZERO,
            source: "own machine".to_owned(),
        })
    }

    async fn provision(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        config::check(&request.profile)?;
        let spec = config::launch_spec(request, call.installation_id.as_str(), call.epoch.0, &self.root);
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).take();
        let runtime = self.runtime.clone();
        let id = spec.id.clone();
        let launching = brief(move || runtime.begin_launch(&spec, spare))
            .await?
            .map_err(translate)?;
        cut!("native.provision.asked");
        let launch = if does_one_thing() && launching.wait_at_most(SOON) {
            launching.wait()
        } else {
            blocking(move || launching.wait()).await?
        };
        let launch = launch.map_err(translate)?;
        let made_now = launch.keeper.is_some();
        if let Some(keeper) = launch.keeper {
            self.keep(&id, keeper);
        }
        let handle = Handle::from([
            ("init_pid".to_owned(), launch.launched.init_pid().to_string()),
            ("keeper_pid".to_owned(), launch.launched.shim_pid().to_string()),
            (
                "directory".to_owned(),
                self.root.join("sb").join(&id).display().to_string(),
            ),
        ]);
        if made_now {
            self.fresh
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(id, launch.launched);
        }
        Ok(handle)
    }

    async fn wait_ready(&self, _: &Call, target: &Target) -> Result<Ready, ExtensionError> {
        let id = target.sandbox_id.as_str();
        // A launch returns when the sandbox serves, so there is nothing left to wait for.
        if let Some(launched) = self.fresh.lock().unwrap_or_else(PoisonError::into_inner).remove(id) {
            return Ok(ready(id, &launched));
        }
        let not_found = || ExtensionError::new(ErrorKind::NotFound, format!("{id} does not run on this machine"));
        let mut launched = self.runtime.find(id).ok_or_else(not_found)?;
        launched.deadline_ms = self.runtime.deadline(id).map_err(translate)?;
        Ok(ready(id, &launched))
    }

    async fn teardown(&self, call: &Call, target: &Target) -> Result<Removal, ExtensionError> {
        let id = target.sandbox_id.to_string();
        let keeper = self.keepers.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let (runtime, epoch, timeout) = (self.runtime.clone(), call.epoch.0, call.timeout);
        let removed = brief(move || runtime.destroy(&id, epoch, keeper, timeout))
            .await?
            .map_err(translate)?;
        Ok(Removal {
            report: removed.report,
            usage: removed.usage,
            ended: removed.ended.map(ended),
        })
    }

    async fn observe(&self, _: &Call, target: &Target) -> Observation {
        let observed = self.runtime.observe(target.sandbox_id.as_str());
        Observation {
            presence: observed.presence,
            usable: (observed.presence != Presence::Unknown).then_some(observed.alive),
            ended: observed.ended.map(ended),
            busy: observed.busy,
            detail: observed.detail,
        }
    }

    async fn inventory(&self, _: &Call) -> Inventory {
        match self.runtime.list() {
            Ok(listed) => Inventory::Complete(
                listed
                    .into_iter()
                    .map(|sandbox| InventoryItem {
                        kind: "sandbox".to_owned(),
                        sandbox_id: sandbox.id.parse().ok(),
                        name: sandbox.id,
                        installation_id: sandbox.installation.and_then(|id| id.parse().ok()),
                        epoch: sandbox.epoch.map(Epoch),
                    })
                    .collect(),
            ),
            Err(error) => Inventory::Unknown { why: error.message },
        }
    }

    async fn exec(
        &self,
        call: &Call,
        target: &Target,
        request: ExecRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        if request.argv.is_empty() {
            return Err(ExtensionError::new(ErrorKind::Invalid, "no command was given"));
        }
        let id = target.sandbox_id.as_str();
        // Only its keeper can begin the removal.
        let last = request.last
            && self
                .keepers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get(id)
                .is_some_and(|keeper| keeper.remove_at_end(call.epoch.0).is_ok());
        let command = |io| Command {
            last,
            argv: request.argv,
            env: request.env,
            cwd: request.cwd,
            io,
        };
        let running = match request.stdio {
            ExecStdio::Pipes { stdin, stdout, stderr } => {
                let io = CommandIo::Pipes([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
                self.runtime.exec(id, command(io))
            }
            ExecStdio::Terminal(size) => self.runtime.exec(
                id,
                command(CommandIo::Terminal {
                    rows: size.rows,
                    columns: size.columns,
                }),
            ),
            ExecStdio::Detached => self.runtime.exec(id, command(CommandIo::Detached)),
        };
        Ok(Box::new(Session::new(running.map_err(translate)?)))
    }

    async fn set_deadline(&self, call: &Call, target: &Target, deadline: Timestamp) -> Result<(), ExtensionError> {
        self.runtime
            .set_deadline(target.sandbox_id.as_str(), call.epoch.0, deadline.as_millisecond())
            .map(|_| ())
            .map_err(translate)
    }

    async fn usage(&self, _: &Call, target: &Target) -> Result<Option<Usage>, ExtensionError> {
        self.runtime
            .usage(target.sandbox_id.as_str())
            .map(Some)
            .map_err(translate)
    }
}
