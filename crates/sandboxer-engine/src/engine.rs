//! The façade: one method per thing a caller can ask for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_extension::port::{Clock, IdSource, Outbound, Owners};
use sandboxer_extension::{ExecSession, LogsRequest, Registry};
use sandboxer_model::error::UserError;
use sandboxer_model::event::Event;
use sandboxer_model::id::OperationId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::reachability::Reachability;
use sandboxer_model::sandbox::Sandbox;
use sandboxer_model::sink::SinkStatus;
use sandboxer_store::Store;

use crate::api::{
    AddWebhook, AddedWebhook, CreateRequest, Created, DeliverLimits, Delivered, Destroyed, ExecCommand, ExpireAction,
    Explanation, Extend, ListFilter, ListedEvent, Meant, Plan, Progress, Recovered, Redelivered, RunOutcome,
    TestedWebhook, Viewer,
};
use crate::cancel::Cancel;
use crate::catalog::Catalog;
use crate::faults::{Faults, Safeguard};
use crate::operation::Dropped;

/// Everything the engine reaches the world through.
pub struct Ports {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids and jitter.
    pub ids: Arc<dyn IdSource>,
    /// Names this process and tells whether others live.
    pub owners: Arc<dyn Owners>,
    /// The durable memory.
    pub store: Store,
    /// The backends.
    pub extensions: Registry,
    /// Calls to other services; `None`: none are made.
    pub outbound: Option<Arc<dyn Outbound>>,
}

/// What an operator can set.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long backends may take.
    pub timeouts: Timeouts,
    /// Address of the State Hub that is told what happens; `None`: none is.
    pub state_hub: Option<String>,
}

/// How long one call of a backend may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Making a sandbox.
    pub provision: Duration,
    /// Becoming reachable.
    pub ready: Duration,
    /// Removing it and verifying.
    pub teardown: Duration,
    /// Saying what is known of it.
    pub observe: Duration,
    /// Measuring a host.
    pub probe: Duration,
    /// Everything else.
    pub other: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            provision: Duration::from_secs(600),
            ready: Duration::from_secs(120),
            teardown: Duration::from_secs(60),
            observe: Duration::from_secs(5),
            probe: Duration::from_secs(10),
            other: Duration::from_secs(30),
        }
    }
}

/// Does what callers ask for, durably. Cheap to share behind an `Arc`.
pub struct Engine {
    pub(crate) ports: Ports,
    pub(crate) catalog: Catalog,
    pub(crate) settings: Settings,
    pub(crate) faults: Option<Arc<dyn Faults>>,
    me: String,
    pub(crate) dropped: Dropped,
}

impl Engine {
    /// An engine over these ports.
    pub fn new(ports: Ports, catalog: Catalog, settings: Settings) -> Engine {
        let me = ports.owners.me();
        Engine {
            ports,
            catalog,
            settings,
            faults: None,
            me,
            dropped: Dropped::default(),
        }
    }

    /// The same engine with faults at step boundaries, for tests.
    #[must_use]
    pub fn with_faults(mut self, faults: Arc<dyn Faults>) -> Engine {
        self.faults = Some(faults);
        self
    }

    /// Whether a test switched this safeguard off.
    pub(crate) fn is_off(&self, safeguard: Safeguard) -> bool {
        self.faults.as_ref().is_some_and(|faults| faults.is_off(safeguard))
    }

    /// The name of this process as an owner of leases.
    pub(crate) fn me(&self) -> &str {
        &self.me
    }

    /// The backends of this engine.
    pub fn extensions(&self) -> &Registry {
        &self.ports.extensions
    }

    /// The profiles of this engine.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What [`create`](Engine::create) would do: refuses exactly what it refuses and touches nothing.
    ///
    /// # Errors
    /// Everything a create refuses before it asks a backend.
    pub async fn plan(&self, req: &CreateRequest) -> Result<Plan, UserError> {
        self.do_plan(req).await
    }

    /// Makes a sandbox, or returns the live one that fits the scope. Returns when it is ready.
    ///
    /// # Errors
    /// What the plan refuses, what the backends answered, `Interrupted`.
    pub async fn create(&self, req: CreateRequest, p: &dyn Progress, cancel: &Cancel) -> Result<Created, UserError> {
        self.do_create(&req, p, cancel).await
    }

    /// Stores a sandbox and its operation without doing any of it. Some process must then call [`resume`](Engine::resume)
    /// with the sandbox's `operation_id`.
    ///
    /// # Errors
    /// What the plan refuses.
    pub async fn accept(&self, req: CreateRequest) -> Result<Created, UserError> {
        self.do_accept(&req).await
    }

    /// Takes an accepted or abandoned operation to its end.
    ///
    /// # Errors
    /// `NotFound`, `Busy` when its owner lives, and whatever the operation ends with.
    pub async fn resume(&self, op: &OperationId, p: &dyn Progress) -> Result<(), UserError> {
        self.do_resume(op, p).await
    }

    /// One sandbox, compared with its backend first where that is cheap.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn get(&self, id_or_prefix: &str) -> Result<Sandbox, UserError> {
        self.do_get(id_or_prefix).await
    }

    /// Sandboxes, newest first, compared with their backends first where that is cheap.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, f: &ListFilter) -> Result<Vec<Sandbox>, UserError> {
        self.do_list(f).await
    }

    /// Waits until the sandbox is in `state`.
    ///
    /// # Errors
    /// `Timeout`; `WrongState` at once when the state can no longer be reached.
    pub async fn wait(&self, id: &str, state: State, timeout: Duration) -> Result<Sandbox, UserError> {
        self.do_wait(id, state, timeout).await
    }

    /// Starts a command inside. The first one makes the sandbox `active`.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`, `Unsupported`, and those of the backend.
    pub async fn exec(&self, id: &str, cmd: ExecCommand) -> Result<Box<dyn ExecSession>, UserError> {
        self.do_exec(id, cmd).await
    }

    /// Says that a sandbox is used by other ways than a command inside: a ready one is `active` from here on.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`, `PreconditionFailed`.
    pub async fn activate(&self, meant: impl Into<Meant<'_>>) -> Result<Sandbox, UserError> {
        self.do_activate(meant.into()).await
    }

    /// Shows what a sandbox's services print.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`, `Unsupported`, and those of the backend.
    pub async fn logs(&self, id: &str, request: LogsRequest) -> Result<Box<dyn ExecSession>, UserError> {
        self.do_logs(id, request).await
    }

    /// Creates, runs one command, destroys: in one process, and destroyed whatever happens.
    /// `on_started` is handed the session once, so that signals can be forwarded.
    ///
    /// # Errors
    /// Those of create, exec and destroy.
    pub async fn run(
        &self,
        req: CreateRequest,
        cmd: ExecCommand,
        p: &dyn Progress,
        on_started: &mut (dyn FnMut(&mut dyn ExecSession) + Send),
        cancel: &Cancel,
    ) -> Result<RunOutcome, UserError> {
        self.do_run(req, cmd, p, on_started, cancel).await
    }

    /// Removes a sandbox and proves it. Doing it again is no error.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `PreconditionFailed`, `Stuck` when absence could not be proven.
    pub async fn destroy(&self, meant: impl Into<Meant<'_>>, p: &dyn Progress) -> Result<Destroyed, UserError> {
        self.do_destroy(meant.into(), p).await
    }

    /// Removes a sandbox with proof and makes it again from its frozen profile and inputs, under the same id.
    ///
    /// # Errors
    /// Those of destroy and create.
    pub async fn recreate(
        &self,
        meant: impl Into<Meant<'_>>,
        p: &dyn Progress,
        cancel: &Cancel,
    ) -> Result<Sandbox, UserError> {
        self.do_recreate(meant.into(), p, cancel).await
    }

    /// Moves the deadline later.
    ///
    /// # Errors
    /// `InvalidTtl`, `WrongState`, `PreconditionFailed`, and those of the backend's guard.
    pub async fn extend_ttl(&self, meant: impl Into<Meant<'_>>, by: Extend) -> Result<Sandbox, UserError> {
        self.do_extend(meant.into(), by).await
    }

    /// Finds sandboxes whose time passed, and removes them if `apply`.
    ///
    /// # Errors
    /// Those of the store; a sandbox that cannot be removed is in the answer instead.
    pub async fn expire(&self, apply: bool, p: &dyn Progress) -> Result<Vec<ExpireAction>, UserError> {
        self.do_expire(apply, &Viewer::default(), p).await
    }

    /// The same of what a viewer may see.
    ///
    /// # Errors
    /// As above.
    pub async fn expire_seen(
        &self,
        apply: bool,
        viewer: &Viewer,
        p: &dyn Progress,
    ) -> Result<Vec<ExpireAction>, UserError> {
        self.do_expire(apply, viewer, p).await
    }

    /// The seven questions about one sandbox, from stored evidence.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn explain(&self, id: &str) -> Result<Explanation, UserError> {
        self.do_explain(id).await
    }

    /// How a sandbox is reached.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `WrongState` when it is not ready.
    pub async fn reachability(&self, id: &str) -> Result<Reachability, UserError> {
        self.do_reachability(id).await
    }

    /// Sets and removes labels.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `InvalidInput`, `PreconditionFailed`.
    pub async fn label(
        &self,
        meant: impl Into<Meant<'_>>,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    ) -> Result<Sandbox, UserError> {
        self.do_label(meant.into(), set, remove).await
    }

    /// What happened, in order: to one sandbox or to all.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn events(&self, id: Option<&str>) -> Result<Vec<Event>, UserError> {
        self.do_events(id).await
    }

    /// Takes over what dead processes left, and removes what is past its time. Bounded; cheap when there is nothing to do.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn recover(&self, p: &dyn Progress) -> Result<Recovered, UserError> {
        self.do_recover(p).await
    }

    /// Makes the State Hub of the settings known to the store: from here on events are kept for it. Called once, before
    /// anything else; cheap when it is known.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn announce(&self) -> Result<(), UserError> {
        self.do_announce().await
    }

    /// Sends events that are due to the State Hub and to webhooks. Takes no input, may be called by any number of
    /// processes at once, and returns within the limits whatever the other side does; one query when there is nothing to
    /// do. A server calls it in a loop.
    ///
    /// # Errors
    /// Those of the store. A sink that fails is no error: what failed is stored with it, and tried again later.
    pub async fn deliver(&self, limits: DeliverLimits) -> Result<Delivered, UserError> {
        self.do_deliver(limits).await
    }

    /// Where events are sent, and how delivery stands.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sinks(&self) -> Result<Vec<SinkStatus>, UserError> {
        Ok(self.ports.store.sinks().await?)
    }

    /// Adds a webhook. It gets what happens from here on.
    ///
    /// # Errors
    /// `InvalidInput` when nothing may be sent there, `WrongState` when it is there already.
    pub async fn add_webhook(&self, new: &AddWebhook) -> Result<AddedWebhook, UserError> {
        self.do_add_webhook(new).await
    }

    /// Every webhook in the order they were added.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list_webhooks(&self) -> Result<Vec<SinkStatus>, UserError> {
        self.webhooks().await
    }

    /// Forgets a webhook and what was still to be sent there.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn remove_webhook(&self, id: &str) -> Result<SinkStatus, UserError> {
        self.do_remove_webhook(id).await
    }

    /// Sends a webhook a message that tells of nothing.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `Unavailable` when nobody answers.
    pub async fn test_webhook(&self, id: &str) -> Result<TestedWebhook, UserError> {
        self.do_test_webhook(id).await
    }

    /// Makes due again what was given up or waits for another try: for one sink or all, of one sandbox or all. A webhook
    /// that was disabled and is named is enabled.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn redeliver(&self, sink: Option<&str>, sandbox: Option<&str>) -> Result<Redelivered, UserError> {
        self.do_redeliver(sink, sandbox).await
    }

    /// What happened, in order, and who does not know yet.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn listed_events(&self, id: Option<&str>) -> Result<Vec<ListedEvent>, UserError> {
        self.do_listed_events(id).await
    }
}
