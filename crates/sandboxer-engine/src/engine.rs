//! The façade: one method per thing a caller can ask for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sandboxer_extension::port::{Clock, IdSource, Outbound, Owners};
use sandboxer_extension::{ExecSession, Registry};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::event::Event;
use sandboxer_model::id::OperationId;
use sandboxer_model::lifecycle::State;
use sandboxer_model::reachability::Reachability;
use sandboxer_model::sandbox::Sandbox;
use sandboxer_store::Store;

use crate::api::{
    CreateRequest, Created, Destroyed, ExecCommand, ExpireAction, Explanation, Extend, ListFilter, Plan, Progress,
    Recovered, RunOutcome,
};
use crate::cancel::Cancel;
use crate::catalog::Catalog;

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
    /// Configured hosts, in order.
    pub hosts: Vec<String>,
}

/// Does what callers ask for, durably. Cheap to share behind an `Arc`.
pub struct Engine {
    ports: Ports,
    catalog: Catalog,
    settings: Settings,
}

fn unfinished() -> UserError {
    UserError::new(ErrorCode::Internal, "this part of the engine is not built yet")
}

impl Engine {
    /// An engine over these ports.
    pub fn new(ports: Ports, catalog: Catalog, settings: Settings) -> Engine {
        Engine {
            ports,
            catalog,
            settings,
        }
    }

    /// What [`create`](Engine::create) would do: refuses exactly what it refuses and touches nothing.
    ///
    /// # Errors
    /// Everything a create refuses before it asks a backend.
    pub async fn plan(&self, req: &CreateRequest) -> Result<Plan, UserError> {
        let _ = (&self.ports.clock, &self.catalog, &self.settings, req);
        Err(unfinished())
    }

    /// Makes a sandbox, or returns the live one that fits the scope. Returns when it is ready.
    ///
    /// # Errors
    /// What the plan refuses, what the backends answered, `Interrupted`.
    pub async fn create(&self, req: CreateRequest, p: &dyn Progress, cancel: &Cancel) -> Result<Created, UserError> {
        let _ = (req, p, cancel);
        Err(unfinished())
    }

    /// Stores a sandbox and its operation without doing any of it. Some process must then call [`resume`](Engine::resume)
    /// with the sandbox's `operation_id`.
    ///
    /// # Errors
    /// What the plan refuses.
    pub async fn accept(&self, req: CreateRequest) -> Result<Created, UserError> {
        let _ = req;
        Err(unfinished())
    }

    /// Takes an accepted or abandoned operation to its end.
    ///
    /// # Errors
    /// `NotFound`, `Busy` when its owner lives, and whatever the operation ends with.
    pub async fn resume(&self, op: &OperationId, p: &dyn Progress) -> Result<(), UserError> {
        let _ = (op, p);
        Err(unfinished())
    }

    /// One sandbox, compared with its backend first where that is cheap.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn get(&self, id_or_prefix: &str) -> Result<Sandbox, UserError> {
        let _ = id_or_prefix;
        Err(unfinished())
    }

    /// Sandboxes, newest first, compared with their backends first where that is cheap.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, f: &ListFilter) -> Result<Vec<Sandbox>, UserError> {
        let _ = f;
        Err(unfinished())
    }

    /// Waits until the sandbox is in `state`.
    ///
    /// # Errors
    /// `Timeout`; `WrongState` at once when the state can no longer be reached.
    pub async fn wait(&self, id: &str, state: State, timeout: Duration) -> Result<Sandbox, UserError> {
        let _ = (id, state, timeout);
        Err(unfinished())
    }

    /// Starts a command inside. The first one makes the sandbox `active`.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`, `Unsupported`, and those of the backend.
    pub async fn exec(&self, id: &str, cmd: ExecCommand) -> Result<Box<dyn ExecSession>, UserError> {
        let _ = (id, cmd);
        Err(unfinished())
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
        let _ = (req, cmd, p, on_started, cancel);
        Err(unfinished())
    }

    /// Removes a sandbox and proves it. Doing it again is no error.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `Stuck` when absence could not be proven.
    pub async fn destroy(&self, id: &str, p: &dyn Progress) -> Result<Destroyed, UserError> {
        let _ = (id, p);
        Err(unfinished())
    }

    /// Removes a sandbox with proof and makes it again from its frozen profile and inputs, under the same id.
    ///
    /// # Errors
    /// Those of destroy and create.
    pub async fn recreate(&self, id: &str, p: &dyn Progress, cancel: &Cancel) -> Result<Sandbox, UserError> {
        let _ = (id, p, cancel);
        Err(unfinished())
    }

    /// Moves the deadline later.
    ///
    /// # Errors
    /// `InvalidTtl`, `WrongState`, and those of the backend's guard.
    pub async fn extend_ttl(&self, id: &str, by: Extend) -> Result<Sandbox, UserError> {
        let _ = (id, by);
        Err(unfinished())
    }

    /// Finds sandboxes whose time passed, and removes them if `apply`.
    ///
    /// # Errors
    /// Those of the store; a sandbox that cannot be removed is in the answer instead.
    pub async fn expire(&self, apply: bool, p: &dyn Progress) -> Result<Vec<ExpireAction>, UserError> {
        let _ = (apply, p);
        Err(unfinished())
    }

    /// The seven questions about one sandbox, from stored evidence.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn explain(&self, id: &str) -> Result<Explanation, UserError> {
        let _ = id;
        Err(unfinished())
    }

    /// How a sandbox is reached.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `WrongState` when it is not ready.
    pub async fn reachability(&self, id: &str) -> Result<Reachability, UserError> {
        let _ = id;
        Err(unfinished())
    }

    /// Sets and removes labels.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`, `InvalidInput`.
    pub async fn label(
        &self,
        id: &str,
        set: BTreeMap<String, String>,
        remove: Vec<String>,
    ) -> Result<Sandbox, UserError> {
        let _ = (id, set, remove);
        Err(unfinished())
    }

    /// What happened, in order: to one sandbox or to all.
    ///
    /// # Errors
    /// `NotFound`, `Ambiguous`.
    pub async fn events(&self, id: Option<&str>) -> Result<Vec<Event>, UserError> {
        let _ = id;
        Err(unfinished())
    }

    /// Takes over what dead processes left, and removes what is past its time. Bounded; cheap when there is nothing to do.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn recover(&self, p: &dyn Progress) -> Result<Recovered, UserError> {
        let _ = p;
        Err(unfinished())
    }
}
