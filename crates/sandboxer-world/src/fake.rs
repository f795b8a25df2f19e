//! An extension over the world: does what the contract says, unless told otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use sandboxer_extension::capability::PricingModel;
use sandboxer_extension::port::Clock as _;
use sandboxer_extension::{
    Call, Capabilities, ErrorKind, ExecExit, ExecRequest, ExecSession, ExecStdio, Extension, ExtensionError, Handle,
    HostProbe, Inventory, Manifest, Observation, ProvisionRequest, Ready, Removal, Target, Validation, async_trait,
};
use sandboxer_model::cleanup::Presence;
use sandboxer_model::duration::Span;
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::money::{Micros, Quote, Usage};
use sandboxer_model::operation::Epoch;
use sandboxer_model::profile::{IsolationLevel, Profile};
use sandboxer_model::reachability::Reachability;

use crate::effects::{not_found, plus};
use crate::fault::{CallName, Fault, Gate};
use crate::mutant::Mutant;
use crate::policy;
use crate::process::{self, FakeSession, Program, Streams, Surroundings, WORKSPACE};
use crate::world::{EffectKind, World};

/// An extension over the world.
pub struct FakeExtension {
    pub(crate) world: Arc<World>,
    pub(crate) manifest: Manifest,
    pub(crate) mutants: BTreeSet<Mutant>,
}

/// The manifest of a fake that runs commands, holds every limit, closes the network and keeps deadlines.
pub fn capable(id: &str) -> Manifest {
    let capabilities = Capabilities {
        exec: true,
        exec_tty: true,
        exec_signals: true,
        exec_detach: true,
        network_deny: true,
        limit_cpu: true,
        limit_memory: true,
        limit_disk: true,
        limit_pids: true,
        workspace_directory: true,
        usage: true,
        ttl_guard: true,
        inventory_complete: true,
        dies_with_machine: true,
        activity: true,
        ..Capabilities::new(vec![IsolationLevel::Container], PricingModel::SelfHosted)
    };
    Manifest {
        id: id.to_owned(),
        title: "A backend that exists in a test's memory".to_owned(),
        description: String::new(),
        capabilities,
        config: BTreeMap::new(),
    }
}

/// What the faults of one call come to.
#[derive(Default)]
pub(crate) struct Trouble {
    lost: Option<ExtensionError>,
    hangs: bool,
    gates: Vec<Gate>,
    twice: bool,
    pub(crate) refuses_removal: bool,
    pub(crate) unknown: bool,
    pub(crate) partial: bool,
}

fn timeout(call: CallName) -> ExtensionError {
    ExtensionError::new(ErrorKind::Timeout, format!("{call:?} did not answer within its time"))
}

impl FakeExtension {
    /// An extension of this manifest over this world.
    pub fn new(world: Arc<World>, manifest: Manifest) -> FakeExtension {
        FakeExtension {
            world,
            manifest,
            mutants: BTreeSet::new(),
        }
    }

    /// The same, broken in this way.
    #[must_use]
    pub fn with(mut self, mutant: Mutant) -> FakeExtension {
        self.mutants.insert(mutant);
        self
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutants.contains(&mutant)
    }

    pub(crate) fn id(&self) -> &str {
        &self.manifest.id
    }

    /// What goes wrong with this call; faults that come before the effect are over when this returns.
    pub(crate) async fn before(
        &self,
        call: &Call,
        name: CallName,
        sandbox: Option<&SandboxId>,
    ) -> Result<Trouble, ExtensionError> {
        let mut trouble = Trouble::default();
        for fault in self.world.faults(self.id(), name) {
            match fault {
                Fault::FailBefore(kind, retry) => return Err(Fault::error(kind, retry, name)),
                Fault::LostReply(kind, retry) => trouble.lost = Some(Fault::error(kind, retry, name)),
                Fault::HangBefore => {
                    self.world.clock().sleep(call.timeout).await;
                    return Err(timeout(name));
                }
                Fault::HangAfter => trouble.hangs = true,
                Fault::Twice => trouble.twice = true,
                Fault::PartialInventory => trouble.partial = true,
                Fault::RefuseRemoval => trouble.refuses_removal = true,
                Fault::Unknown => trouble.unknown = true,
                Fault::Vanish(how) => {
                    if let Some(sandbox) = sandbox {
                        self.world.vanish(sandbox, how);
                    }
                }
                Fault::PauseBefore(gate) => gate.pass().await,
                Fault::PauseAfter(gate) => trouble.gates.push(gate),
            }
        }
        // Others get a turn, as they do when a real backend is asked.
        tokio::task::yield_now().await;
        Ok(trouble)
    }

    /// The faults that come after the effect.
    async fn after<T>(&self, call: &Call, name: CallName, trouble: Trouble, answer: T) -> Result<T, ExtensionError> {
        for gate in trouble.gates {
            gate.pass().await;
        }
        if trouble.hangs {
            self.world.clock().sleep(call.timeout).await;
            return Err(timeout(name));
        }
        match trouble.lost {
            Some(error) => Err(error),
            None => Ok(answer),
        }
    }

    fn spawn(&self, target: &Target, request: ExecRequest) -> Result<FakeSession, ExtensionError> {
        if request.argv.is_empty() {
            return Err(ExtensionError::new(ErrorKind::Invalid, "no program was named"));
        }
        let program = match Program::parse(&request.argv) {
            Some(program) => program,
            None if self.is(Mutant::UnknownProgramSucceeds) => Program::Echo(Vec::new()),
            None => {
                let name = String::from_utf8_lossy(&request.argv[0]).into_owned();
                return Err(ExtensionError::new(
                    ErrorKind::Invalid,
                    format!("there is no program `{name}` inside"),
                ));
            }
        };
        let mut state = self.world.state();
        let Some(resource) = state.find(self.id(), &target.sandbox_id).filter(|one| one.is_whole()) else {
            return Err(not_found(&target.sandbox_id));
        };
        if self.is(Mutant::OneCommandOnly) && resource.processes.iter().any(|process| process.runs()) {
            return Err(ExtensionError::new(ErrorKind::Unavailable, "another command runs"));
        }
        let mut terminal = None;
        let streams = match request.stdio {
            ExecStdio::Pipes { stdin, stdout, stderr } => Streams::Pipes { stdin, stdout, stderr },
            ExecStdio::Detached => Streams::Nowhere,
            ExecStdio::Terminal(size) => {
                let no_terminal = |error| ExtensionError::new(ErrorKind::Failed, format!("no terminal: {error}"));
                let (ours, theirs) = UnixStream::pair().map_err(no_terminal)?;
                terminal = Some(theirs.into());
                Streams::Terminal {
                    ours: ours.into(),
                    size,
                }
            }
        };
        let mut env = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
        if !self.is(Mutant::DropsVariables) {
            env.extend(request.env);
        }
        let around = Surroundings {
            world: Arc::downgrade(&self.world),
            extension_id: self.id().to_owned(),
            sandbox_id: target.sandbox_id.clone(),
            env,
            cwd: request.cwd,
            has_deny: self.manifest.capabilities.network_deny,
            mutants: self.mutants.iter().copied().collect(),
        };
        let process = process::start(program, streams, around);
        resource.processes.push(process.clone());
        let pid = u32::try_from(resource.processes.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        Ok(FakeSession {
            process,
            terminal,
            pid,
            deaf: self.is(Mutant::IgnoresSignals),
        })
    }
}

#[async_trait]
impl Extension for FakeExtension {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where its input `machine` says, if it has one.
    fn host_of(&self, _: &Profile, inputs: &BTreeMap<String, String>) -> Option<String> {
        inputs.get("machine").cloned()
    }

    async fn validate(&self, request: &ProvisionRequest) -> Result<Validation, ExtensionError> {
        for fault in self.world.faults(self.id(), CallName::Validate) {
            if let Fault::FailBefore(kind, retry) | Fault::LostReply(kind, retry) = fault {
                return Err(Fault::error(kind, retry, CallName::Validate));
            }
        }
        self.check(request)?;
        if self.is(Mutant::ValidateProvisions) {
            let call = Call {
                installation_id: InstallationId::from_uuid(uuid::Uuid::nil()),
                operation_id: None,
                epoch: Epoch(0),
                timeout: std::time::Duration::ZERO,
            };
            self.begin(&call, request)?;
        }
        let limits = policy::limits(&self.manifest.capabilities, &request.profile, &self.mutants);
        Ok(Validation {
            limits,
            detail: serde_json::Value::Null,
        })
    }

    async fn estimate_cost(&self, _: &Profile, ttl: Span) -> Result<Quote, ExtensionError> {
        for fault in self.world.faults(self.id(), CallName::EstimateCost) {
            if let Fault::FailBefore(kind, retry) | Fault::LostReply(kind, retry) = fault {
                return Err(Fault::error(kind, retry, CallName::EstimateCost));
            }
        }
        let per_hour = match self.manifest.capabilities.pricing_model {
            _ if self.is(Mutant::NegativeQuote) => Micros(-1),
            PricingModel::SelfHosted => Micros::ZERO,
            PricingModel::SaasMetered => Micros(100_000),
        };
        let worst_case = per_hour.per_hour_for(ttl.as_secs());
        Ok(Quote {
            per_hour,
            worst_case,
            source: "the test's own price".to_owned(),
        })
    }

    async fn provision(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        let trouble = self
            .before(call, CallName::Provision, Some(&request.sandbox_id))
            .await?;
        self.reach(request.host.as_deref())?;
        if !self.is(Mutant::ProvisionDoesNotValidate) {
            self.check(request)?;
        }
        let mut handle = self.make(call, request).await?;
        if trouble.twice {
            handle = self.make(call, request).await?;
        }
        self.after(call, CallName::Provision, trouble, handle).await
    }

    async fn wait_ready(&self, call: &Call, target: &Target) -> Result<Ready, ExtensionError> {
        let trouble = self.before(call, CallName::WaitReady, Some(&target.sandbox_id)).await?;
        self.reach(target.host.as_deref())?;
        let ready = {
            let now = self.world.clock().now();
            let mut state = self.world.state();
            let Some(resource) = state.find(self.id(), &target.sandbox_id).filter(|one| one.is_whole()) else {
                return Err(not_found(&target.sandbox_id));
            };
            let guarded = self.manifest.capabilities.ttl_guard;
            let mut told = resource.deadline;
            if guarded && (!resource.ready || self.is(Mutant::RestartsTtl)) {
                let ttl = resource.request.ttl.as_signed();
                let deadline = plus(now, ttl);
                let kept = if self.is(Mutant::GuardIsEarly) {
                    plus(now, ttl / 4)
                } else {
                    deadline
                };
                let kept = (!self.is(Mutant::GuardSleeps)).then_some(kept);
                resource.keep(kept, self.world.clock());
                told = Some(deadline);
            }
            resource.ready = true;
            let profile = resource.request.profile.clone();
            drop(state);
            Ready {
                reachability: Reachability {
                    workspace: Some(WORKSPACE.to_owned()),
                    ..Reachability::default()
                },
                isolation: self.report(&profile),
                guard_deadline: told,
                delta: self.delta(target.host.as_deref()),
            }
        };
        self.after(call, CallName::WaitReady, trouble, ready).await
    }

    async fn teardown(&self, call: &Call, target: &Target) -> Result<Removal, ExtensionError> {
        let trouble = self.before(call, CallName::Teardown, Some(&target.sandbox_id)).await?;
        self.reach(target.host.as_deref())?;
        let lived = self.world.state().position(self.id(), &target.sandbox_id).is_some();
        let mut report = self.remove(call, target, &trouble)?;
        if trouble.twice {
            report = self.remove(call, target, &trouble)?;
        }
        let usage = lived.then_some(USED);
        self.after(
            call,
            CallName::Teardown,
            trouble,
            Removal {
                report,
                usage,
                ended: None,
            },
        )
        .await
    }

    async fn observe(&self, call: &Call, target: &Target) -> Observation {
        let blind = |why: String| Observation {
            presence: Presence::Unknown,
            usable: None,
            ended: None,
            busy: None,
            detail: why,
        };
        match self.before(call, CallName::Observe, Some(&target.sandbox_id)).await {
            Ok(trouble) if trouble.unknown => blind("it cannot be told".to_owned()),
            Ok(_) if self.reach(target.host.as_deref()).is_err() => blind("its host is out of reach".to_owned()),
            Ok(trouble) => {
                let seen = self.look(target);
                self.after(call, CallName::Observe, trouble, seen)
                    .await
                    .unwrap_or_else(|e| blind(e.to_string()))
            }
            Err(error) => blind(error.to_string()),
        }
    }

    async fn inventory(&self, call: &Call) -> Inventory {
        self.list(call, None).await
    }

    async fn inventory_at(&self, call: &Call, host: &str) -> Inventory {
        self.list(call, Some(host)).await
    }

    async fn probe_host(&self, call: &Call, host: &str) -> Result<HostProbe, ExtensionError> {
        self.look_at(call, host).await
    }

    async fn exec(
        &self,
        call: &Call,
        target: &Target,
        request: ExecRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        let has = &self.manifest.capabilities;
        let missing = match request.stdio {
            _ if !has.exec => Some("exec"),
            ExecStdio::Terminal(_) if !has.exec_tty => Some("exec_tty"),
            ExecStdio::Detached if !has.exec_detach => Some("exec_detach"),
            _ => None,
        };
        if let Some(capability) = missing {
            return Err(ExtensionError::unsupported(self.id(), capability));
        }
        let trouble = self.before(call, CallName::Exec, Some(&target.sandbox_id)).await?;
        let session = match self.spawn(target, request) {
            Err(error) if error.kind == ErrorKind::NotFound && self.is(Mutant::ExecInNothing) => FakeSession {
                process: process::ended(ExecExit::Code(0)),
                terminal: None,
                pid: 1,
                deaf: false,
            },
            other => other?,
        };
        self.note(
            &mut self.world.state(),
            &target.sandbox_id,
            call.epoch,
            EffectKind::Executed,
        );
        let session: Box<dyn ExecSession> = Box::new(session);
        self.after(call, CallName::Exec, trouble, session).await
    }

    async fn set_deadline(&self, call: &Call, target: &Target, deadline: Timestamp) -> Result<(), ExtensionError> {
        if !self.manifest.capabilities.ttl_guard {
            return Err(ExtensionError::unsupported(self.id(), "ttl_guard"));
        }
        let trouble = self
            .before(call, CallName::SetDeadline, Some(&target.sandbox_id))
            .await?;
        {
            let mut state = self.world.state();
            if state.position(self.id(), &target.sandbox_id).is_none() {
                return Err(not_found(&target.sandbox_id));
            }
            self.fence(&mut state, call, &target.sandbox_id)?;
            if let Some(resource) = state.find(self.id(), &target.sandbox_id)
                && !self.is(Mutant::ForgetsLaterDeadline)
            {
                let before = (resource.deadline, resource.guarded_until());
                resource.keep(Some(deadline), self.world.clock());
                if let (Some(kept), Some(until)) = before
                    && resource.guarded_until().is_some_and(|later| later < until)
                {
                    resource.keep_as(before);
                    let message = format!("{deadline} is earlier than {kept}, which the guard keeps");
                    return Err(ExtensionError::new(ErrorKind::Invalid, message));
                }
            }
            self.note(&mut state, &target.sandbox_id, call.epoch, EffectKind::DeadlineMoved);
        }
        self.after(call, CallName::SetDeadline, trouble, ()).await
    }

    async fn usage(&self, call: &Call, target: &Target) -> Result<Option<Usage>, ExtensionError> {
        let trouble = self.before(call, CallName::Usage, Some(&target.sandbox_id)).await?;
        if self.world.state().position(self.id(), &target.sandbox_id).is_none() {
            return Err(not_found(&target.sandbox_id));
        }
        self.after(call, CallName::Usage, trouble, Some(USED)).await
    }
}

/// What every sandbox uses.
const USED: Usage = Usage {
    cpu_us: Some(1000),
    memory_peak_bytes: Some(1 << 20),
    pids_peak: Some(2),
    estimated: false,
};

/// The directory input that becomes the workspace.
pub(crate) fn repo(request: &ProvisionRequest) -> Option<&Path> {
    request.inputs.get("repo").map(Path::new)
}
