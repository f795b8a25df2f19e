//! The contract over hosts with a compose command.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use sandboxer_extension::port::Clock;
use sandboxer_extension::{
    Call, ErrorKind, ExecRequest, ExecSession, Extension, ExtensionError, Handle, HostProbe, Inventory, LogsRequest,
    Manifest, Observation, ProvisionRequest, Ready, Removal, Target, Validation, async_trait,
};
use sandboxer_host::outcome::{cut_short, deadline_moved, ended, removal, seconds_until, unknown};
use sandboxer_host::reply::{Reply, ask};
use sandboxer_host::{Machine, SshSettings};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::duration::Span;
use sandboxer_model::host::HostAddress;
use sandboxer_model::id::SandboxId;
use sandboxer_model::money::{Micros, Quote};
use sandboxer_model::profile::Profile;

use crate::plan::Plan;
use crate::program::program;
use crate::{config, inventory, provision, session};

/// What the extension needs to know.
#[derive(Clone)]
pub struct Settings {
    /// How hosts are reached.
    pub ssh: Arc<SshSettings>,
    /// Directory on hosts that sandboxes live in.
    pub base_dir: String,
    /// The compose command of hosts; `None`: looked for on each.
    pub compose_command: Option<String>,
    /// Time, for deadlines.
    pub clock: Arc<dyn Clock>,
}

/// Compose stacks on hosts as an extension.
pub struct ComposeSshExtension {
    manifest: Manifest,
    settings: Settings,
    /// Made by this process and not looked at since: what was said of them still holds.
    fresh: Mutex<HashMap<SandboxId, Ready>>,
}

impl ComposeSshExtension {
    /// The extension with these settings. Touches nothing.
    pub fn new(settings: Settings) -> Arc<ComposeSshExtension> {
        Arc::new(ComposeSshExtension {
            manifest: config::manifest(),
            settings,
            fresh: Mutex::new(HashMap::new()),
        })
    }

    fn machine(&self, host: Option<&str>) -> Result<Machine, ExtensionError> {
        let host = host.ok_or_else(|| {
            ExtensionError::new(ErrorKind::Invalid, "ext.compose-ssh needs a host").hint("name one with --host")
        })?;
        let address: HostAddress = host.parse().map_err(|error: sandboxer_model::host::HostAddressError| {
            ExtensionError::new(ErrorKind::Invalid, error.to_string())
                .hint("write `local` or `[user@]name[:port]`, such as me@box")
        })?;
        Ok(Machine::at(&address, &self.settings.ssh))
    }

    /// Where the sandbox is on its host: what was stored, else what holds now.
    fn base_dir<'a>(&'a self, target: &'a Target) -> &'a str {
        target
            .handle
            .as_ref()
            .and_then(|handle| handle.get(BASE_DIR))
            .map_or(self.settings.base_dir.as_str(), String::as_str)
    }

    /// The compose command: what was chosen for this sandbox, else what is configured, else the host's choice.
    fn compose_line(&self) -> Vec<u8> {
        let mut line = self.settings.compose_command.clone().unwrap_or_default().into_bytes();
        line.push(b'\n');
        line
    }

    /// One call of the host's program that needs no conversation.
    async fn ask(&self, verb: &str, call: &Call, target: &Target, words: Vec<String>) -> Result<Reply, ExtensionError> {
        let machine = self.machine(target.host.as_deref())?;
        let id = target.sandbox_id.as_str();
        let program = program(verb, self.base_dir(target), id, call, words);
        ask(&machine, program, self.compose_line()).await
    }
}

/// Keys of the handle.
pub(crate) const BASE_DIR: &str = "base_dir";
/// The sandbox's tree on the host.
pub(crate) const REMOTE_DIR: &str = "remote_dir";
/// The compose project.
pub(crate) const PROJECT: &str = "compose_project";
/// What was decided when it was made.
pub(crate) const PLAN: &str = "plan";

#[async_trait]
impl Extension for ComposeSshExtension {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    async fn validate(&self, request: &ProvisionRequest) -> Result<Validation, ExtensionError> {
        self.machine(request.host.as_deref())?;
        provision::validate(&self.settings, request).await
    }

    async fn estimate_cost(&self, _: &Profile, _: Span) -> Result<Quote, ExtensionError> {
        Ok(Quote {
            per_hour: Micros::ZERO,
            worst_case: Micros::ZERO,
            source: "own host".to_owned(),
        })
    }

    async fn provision(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        let machine = self.machine(request.host.as_deref())?;
        let (handle, ready) = provision::provision(&self.settings, &machine, call, request).await?;
        self.fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(request.sandbox_id.clone(), ready);
        Ok(handle)
    }

    async fn wait_ready(&self, call: &Call, target: &Target) -> Result<Ready, ExtensionError> {
        // Making it ended with the proof that it is ready, over the same connection.
        let fresh = self
            .fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&target.sandbox_id);
        if let Some(ready) = fresh {
            return Ok(ready);
        }
        let plan = Plan::of(target)?;
        let machine = self.machine(target.host.as_deref())?;
        let reply = self.ask("ready", call, target, plan.ready_words()).await?;
        if !reply.complete {
            return Err(cut_short("becoming ready", &machine));
        }
        plan.ready(&self.settings, &machine, &reply)
    }

    async fn teardown(&self, call: &Call, target: &Target) -> Result<Removal, ExtensionError> {
        self.fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&target.sandbox_id);
        let machine = self.machine(target.host.as_deref())?;
        let reply = self.ask("teardown", call, target, Vec::new()).await?;
        removal(reply, &machine)
    }

    async fn observe(&self, call: &Call, target: &Target) -> Observation {
        match self.ask("observe", call, target, Vec::new()).await {
            Ok(reply) if reply.complete => observation(&reply),
            Ok(_) => unknown("the host's answer broke off".to_owned()),
            Err(error) => unknown(error.message),
        }
    }

    async fn inventory(&self, _: &Call) -> Inventory {
        Inventory::Unknown {
            why: "hosts are asked one by one".to_owned(),
        }
    }

    async fn inventory_at(&self, call: &Call, host: &str) -> Inventory {
        let asked = async {
            let machine = self.machine(Some(host))?;
            let program = program(
                "inventory",
                &self.settings.base_dir,
                inventory::NOBODY,
                call,
                Vec::new(),
            );
            ask(&machine, program, self.compose_line()).await
        };
        match asked.await {
            Ok(reply) => inventory::read(&reply),
            Err(error) => Inventory::Unknown { why: error.message },
        }
    }

    async fn probe_host(&self, call: &Call, host: &str) -> Result<HostProbe, ExtensionError> {
        let machine = self.machine(Some(host))?;
        let program = program("probe", &self.settings.base_dir, inventory::NOBODY, call, Vec::new());
        let reply = ask(&machine, program, self.compose_line()).await?;
        if !reply.complete {
            return Err(cut_short("looking at it", &machine));
        }
        Ok(inventory::probe(&reply))
    }

    async fn exec(
        &self,
        _: &Call,
        target: &Target,
        request: ExecRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        let plan = Plan::of(target)?;
        let machine = self.machine(target.host.as_deref())?;
        session::start(&machine, self.base_dir(target), target, &plan, request).await
    }

    async fn logs(
        &self,
        call: &Call,
        target: &Target,
        request: LogsRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        let plan = Plan::of(target)?;
        let machine = self.machine(target.host.as_deref())?;
        session::logs(&machine, call, self.base_dir(target), target, &plan, request)
    }

    async fn set_deadline(&self, call: &Call, target: &Target, deadline: Timestamp) -> Result<(), ExtensionError> {
        let seconds = seconds_until(deadline, self.settings.clock.now());
        let machine = self.machine(target.host.as_deref())?;
        let reply = self.ask("deadline", call, target, vec![seconds.to_string()]).await?;
        deadline_moved(&reply, &machine)
    }
}

fn observation(reply: &Reply) -> Observation {
    let (Some(state), Some(directory), Some((up, all))) = (reply.state, reply.directory, reply.containers) else {
        return unknown("the host's answer was not understood".to_owned());
    };
    if !state && !directory && all == 0 {
        return Observation {
            presence: Presence::Absent,
            usable: Some(false),
            ended: ended(reply),
            busy: None,
            detail: "nothing of it is on the host".to_owned(),
        };
    }
    let guard = match (reply.guarded, reply.guard) {
        (Some(true), Some(left)) => format!("its guard ends it in {left} s"),
        (_, Some(left)) => format!("its time ends in {left} s, and no guard watches"),
        _ => "no deadline is set on the host".to_owned(),
    };
    Observation {
        presence: Presence::Present,
        usable: Some(up > 0),
        ended: None,
        busy: None,
        detail: format!("{up} of {all} containers run; {guard}"),
    }
}
