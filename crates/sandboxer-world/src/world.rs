//! What exists, what happened to it, and the faults that wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use sandboxer_extension::port::Clock as _;
use sandboxer_extension::{Ended, ProvisionRequest};
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::operation::Epoch;

use crate::clock::TestClock;
use crate::fault::{CallName, Fault, When};
use crate::hosts::WorldHost;
use crate::process::FakeProcess;

/// The directory every sandbox begins with.
pub const DIRECTORY: &str = "directory";
/// The process that makes it usable.
pub const PROCESS: &str = "process";

/// Where fake sandboxes live. Share it behind an `Arc` and keep it when a control plane dies.
pub struct World {
    clock: Arc<TestClock>,
    state: Mutex<State>,
}

/// Everything behind the lock.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) resources: Vec<Resource>,
    /// The highest epoch seen, by extension and sandbox. Outlives the sandbox.
    pub(crate) epochs: BTreeMap<(String, SandboxId), Epoch>,
    /// How sandboxes ended by themselves, until a teardown takes note.
    pub(crate) ended: BTreeMap<(String, SandboxId), Ended>,
    pub(crate) log: Vec<Effect>,
    /// Machines that sandboxes are put on, by address.
    pub(crate) hosts: BTreeMap<String, WorldHost>,
    calls: BTreeMap<CallName, u64>,
    injections: Vec<Injection>,
    next_serial: u64,
}

struct Injection {
    extension: Option<String>,
    call: CallName,
    when: When,
    fault: Fault,
    count: u64,
}

/// One sandbox at a backend.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Counts up over all that were ever made.
    pub serial: u64,
    /// The extension that made it.
    pub extension_id: String,
    /// Its label: which sandbox.
    pub sandbox_id: SandboxId,
    /// Its label: whose.
    pub installation_id: InstallationId,
    /// Its label: made at which epoch.
    pub epoch: Epoch,
    /// What of it exists: a directory first, then a process.
    pub parts: BTreeSet<&'static str>,
    /// What was asked for.
    pub request: ProvisionRequest,
    /// Whether somebody waited for it.
    pub ready: bool,
    /// When its guard ends it, as the calendar of its host said when it was told.
    pub deadline: Option<Timestamp>,
    /// The same on the stopwatch of its host, which is what the guard goes by: nobody sets that.
    pub(crate) guard: Option<Duration>,
    /// Files written inside, with the time they appear.
    pub files: BTreeMap<String, (Timestamp, String)>,
    /// Commands that run inside.
    pub(crate) processes: Vec<Arc<FakeProcess>>,
}

impl Resource {
    /// From now on its guard keeps this deadline, or none.
    pub(crate) fn keep(&mut self, deadline: Option<Timestamp>, clock: &TestClock) {
        self.deadline = deadline;
        self.guard = deadline.map(|deadline| {
            let left = deadline.duration_since(clock.now());
            let left = Duration::try_from(left).unwrap_or(Duration::ZERO);
            clock.monotonic().saturating_add(left)
        });
    }

    /// From now on its guard keeps what it kept before.
    pub(crate) fn keep_as(&mut self, (deadline, guard): (Option<Timestamp>, Option<Duration>)) {
        self.deadline = deadline;
        self.guard = guard;
    }

    /// When its guard ends it, on the stopwatch of its host; `None`: it has none.
    pub fn guarded_until(&self) -> Option<Duration> {
        self.guard
    }

    /// Whether all of it exists.
    pub fn is_whole(&self) -> bool {
        self.parts.contains(PROCESS) && self.parts.contains(DIRECTORY)
    }
}

/// Something that changed the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// When.
    pub at: Timestamp,
    /// By which extension.
    pub extension_id: String,
    /// To which sandbox.
    pub sandbox_id: SandboxId,
    /// Under which epoch; `None`: by itself.
    pub epoch: Option<Epoch>,
    /// What.
    pub kind: EffectKind,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectKind {
    /// It was made.
    Made,
    /// It was removed.
    Removed,
    /// Its deadline was moved.
    DeadlineMoved,
    /// A command was started inside.
    Executed,
    /// It ended by itself.
    Ended,
}

impl World {
    /// An empty world under this clock.
    pub fn new(clock: Arc<TestClock>) -> Arc<World> {
        Arc::new(World {
            clock,
            state: Mutex::default(),
        })
    }

    /// Its clock.
    pub fn clock(&self) -> &Arc<TestClock> {
        &self.clock
    }

    /// The state as of now: guards whose deadline passed have acted.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let uptime = self.clock.monotonic();
        let due = |resource: &Resource| resource.guard.is_some_and(|guard| guard <= uptime);
        let over: Vec<(String, SandboxId)> = state
            .resources
            .iter()
            .filter(|resource| due(resource))
            .map(|resource| (resource.extension_id.clone(), resource.sandbox_id.clone()))
            .collect();
        for (extension, sandbox) in over {
            state.end(&extension, &sandbox, Ended::Deadline, now);
        }
        state
    }

    /// Lets a call go wrong. `extension`: only this one's calls.
    pub fn inject(&self, extension: Option<&str>, call: CallName, when: When, fault: Fault) {
        let extension = extension.map(str::to_owned);
        self.state().injections.push(Injection {
            extension,
            call,
            when,
            fault,
            count: 0,
        });
    }

    /// Everything works again.
    pub fn clear_faults(&self) {
        self.state().injections.clear();
    }

    /// Counts a call and tells what goes wrong with it.
    pub(crate) fn faults(&self, extension: &str, call: CallName) -> Vec<Fault> {
        let mut state = self.state();
        *state.calls.entry(call).or_default() += 1;
        let mut faults = Vec::new();
        for injection in &mut state.injections {
            if injection.call == call && injection.extension.as_deref().is_none_or(|id| id == extension) {
                injection.count += 1;
                if injection.when.is_now(injection.count) {
                    faults.push(injection.fault.clone());
                }
            }
        }
        faults
    }

    /// How often a call was made, over all extensions.
    pub fn calls(&self, call: CallName) -> u64 {
        self.state().calls.get(&call).copied().unwrap_or(0)
    }

    /// Everything that exists now.
    pub fn resources(&self) -> Vec<Resource> {
        self.state().resources.clone()
    }

    /// What exists of one sandbox.
    pub fn of(&self, sandbox: &SandboxId) -> Vec<Resource> {
        self.state()
            .resources
            .iter()
            .filter(|resource| resource.sandbox_id == *sandbox)
            .cloned()
            .collect()
    }

    /// Everything that happened, in order.
    pub fn log(&self) -> Vec<Effect> {
        self.state().log.clone()
    }

    /// The same, forgotten afterwards: for runs so long that it would fill the memory.
    pub fn take_log(&self) -> Vec<Effect> {
        std::mem::take(&mut self.state().log)
    }

    /// A sandbox ends by itself.
    pub fn vanish(&self, sandbox: &SandboxId, how: Ended) {
        let now = self.clock.now();
        let mut state = self.state();
        let mine: Vec<String> = state
            .resources
            .iter()
            .filter(|resource| resource.sandbox_id == *sandbox)
            .map(|resource| resource.extension_id.clone())
            .collect();
        for extension in mine {
            state.end(&extension, sandbox, how, now);
        }
    }

    /// Something of somebody else's, which nobody of ours may touch.
    pub fn add_foreign(&self, extension: &str, request: ProvisionRequest, owner: InstallationId) {
        let mut state = self.state();
        let serial = state.serial();
        state.resources.push(Resource {
            serial,
            extension_id: extension.to_owned(),
            sandbox_id: request.sandbox_id.clone(),
            installation_id: owner,
            epoch: Epoch(1),
            parts: [DIRECTORY, PROCESS].into(),
            request,
            ready: true,
            deadline: None,
            guard: None,
            files: BTreeMap::new(),
            processes: Vec::new(),
        });
    }
}

impl State {
    pub(crate) fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    pub(crate) fn position(&self, extension: &str, sandbox: &SandboxId) -> Option<usize> {
        self.resources
            .iter()
            .position(|one| one.extension_id == extension && one.sandbox_id == *sandbox)
    }

    /// The same on one host; `None`: wherever it is.
    pub(crate) fn position_at(&self, extension: &str, sandbox: &SandboxId, host: Option<&str>) -> Option<usize> {
        self.resources.iter().position(|one| {
            one.extension_id == extension
                && one.sandbox_id == *sandbox
                && (host.is_none() || one.request.host.as_deref() == host)
        })
    }

    pub(crate) fn find(&mut self, extension: &str, sandbox: &SandboxId) -> Option<&mut Resource> {
        let position = self.position(extension, sandbox)?;
        self.resources.get_mut(position)
    }

    /// Takes a resource out, with everything that runs inside.
    pub(crate) fn remove(&mut self, position: usize) -> Resource {
        let resource = self.resources.remove(position);
        for process in &resource.processes {
            process.finish(sandboxer_extension::ExecExit::SandboxGone);
        }
        resource
    }

    fn end(&mut self, extension: &str, sandbox: &SandboxId, how: Ended, at: Timestamp) {
        while let Some(position) = self.position(extension, sandbox) {
            self.remove(position);
        }
        self.ended.insert((extension.to_owned(), sandbox.clone()), how);
        self.log.push(Effect {
            at,
            extension_id: extension.to_owned(),
            sandbox_id: sandbox.clone(),
            epoch: None,
            kind: EffectKind::Ended,
        });
    }
}
