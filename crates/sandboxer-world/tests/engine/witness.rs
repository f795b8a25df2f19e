//! A backend that writes down who asks it for what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use sandboxer_extension::{
    Call, ExecRequest, ExecSession, Extension, ExtensionError, Handle, HostProbe, Inventory, Manifest, Observation,
    ProvisionRequest, Ready, Removal, Target, Validation, async_trait,
};
use sandboxer_model::duration::Span;
use sandboxer_model::id::SandboxId;
use sandboxer_model::money::{Quote, Usage};
use sandboxer_model::profile::Profile;
use sandboxer_world::FakeExtension;

/// What was asked for by whom.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    owners: BTreeMap<SandboxId, usize>,
    /// Removals that were asked for.
    pub(crate) removed: BTreeSet<(usize, SandboxId)>,
    /// Anything that somebody asked for who is not the owner.
    pub(crate) wrong: Vec<String>,
}

impl Seen {
    /// From now on this sandbox belongs to that one, unless it belongs to somebody already.
    pub(crate) fn belongs(&mut self, sandbox: &SandboxId, who: usize) {
        self.owners.entry(sandbox.clone()).or_insert(who);
    }

    pub(crate) fn owner(&self, sandbox: &SandboxId) -> Option<usize> {
        self.owners.get(sandbox).copied()
    }

    fn asked(&mut self, who: usize, what: &str, sandbox: &SandboxId) {
        let owner = self.owner(sandbox);
        if owner != Some(who) {
            self.wrong.push(format!(
                "{who} asked for the {what} of {sandbox}, which belongs to {owner:?}"
            ));
        }
    }
}

/// How an installation sees marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sees {
    AsItIs,
    AllAsItsOwn,
}

/// One installation's way to the backend.
pub(crate) struct Witness {
    inner: FakeExtension,
    who: usize,
    seen: Arc<Mutex<Seen>>,
    sees: Sees,
}

impl Witness {
    pub(crate) fn new(inner: FakeExtension, who: usize, seen: Arc<Mutex<Seen>>, sees: Sees) -> Witness {
        Witness { inner, who, seen, sees }
    }

    fn asked(&self, what: &str, sandbox: &SandboxId) {
        self.seen.lock().unwrap().asked(self.who, what, sandbox);
    }

    fn marked(&self, call: &Call, mut inventory: Inventory) -> Inventory {
        let (Inventory::Complete(items) | Inventory::Partial { items, .. }) = &mut inventory else {
            return inventory;
        };
        if self.sees == Sees::AllAsItsOwn {
            for item in items {
                item.installation_id = Some(call.installation_id.clone());
            }
        }
        inventory
    }
}

#[async_trait]
impl Extension for Witness {
    fn manifest(&self) -> &Manifest {
        self.inner.manifest()
    }

    async fn validate(&self, request: &ProvisionRequest) -> Result<Validation, ExtensionError> {
        self.inner.validate(request).await
    }

    async fn estimate_cost(&self, profile: &Profile, ttl: Span) -> Result<Quote, ExtensionError> {
        self.inner.estimate_cost(profile, ttl).await
    }

    async fn provision(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        self.seen.lock().unwrap().belongs(&request.sandbox_id, self.who);
        self.asked("making", &request.sandbox_id);
        self.inner.provision(call, request).await
    }

    async fn wait_ready(&self, call: &Call, target: &Target) -> Result<Ready, ExtensionError> {
        self.asked("start", &target.sandbox_id);
        self.inner.wait_ready(call, target).await
    }

    async fn teardown(&self, call: &Call, target: &Target) -> Result<Removal, ExtensionError> {
        self.asked("removal", &target.sandbox_id);
        let removed = (self.who, target.sandbox_id.clone());
        self.seen.lock().unwrap().removed.insert(removed);
        self.inner.teardown(call, target).await
    }

    async fn observe(&self, call: &Call, target: &Target) -> Observation {
        self.inner.observe(call, target).await
    }

    async fn inventory(&self, call: &Call) -> Inventory {
        self.marked(call, self.inner.inventory(call).await)
    }

    async fn inventory_at(&self, call: &Call, host: &str) -> Inventory {
        self.marked(call, self.inner.inventory_at(call, host).await)
    }

    async fn probe_host(&self, call: &Call, host: &str) -> Result<HostProbe, ExtensionError> {
        self.inner.probe_host(call, host).await
    }

    async fn exec(
        &self,
        call: &Call,
        target: &Target,
        request: ExecRequest,
    ) -> Result<Box<dyn ExecSession>, ExtensionError> {
        self.asked("use", &target.sandbox_id);
        self.inner.exec(call, target, request).await
    }

    async fn set_deadline(&self, call: &Call, target: &Target, deadline: Timestamp) -> Result<(), ExtensionError> {
        self.asked("deadline", &target.sandbox_id);
        self.inner.set_deadline(call, target, deadline).await
    }

    async fn usage(&self, call: &Call, target: &Target) -> Result<Option<Usage>, ExtensionError> {
        self.inner.usage(call, target).await
    }
}
