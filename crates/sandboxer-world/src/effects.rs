//! What the calls of a fake do to the world.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use sandboxer_extension::port::Clock as _;
use sandboxer_extension::{
    Call, ErrorKind, ExtensionError, Handle, Inventory, InventoryItem, Observation, ProvisionRequest, Target,
};
use sandboxer_model::cleanup::{CleanupItem, CleanupReport, Presence};
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::isolation::{Attestation, IsolationReport, Mechanism, MechanismState};
use sandboxer_model::operation::Epoch;
use sandboxer_model::profile::Profile;

use crate::fake::{FakeExtension, Trouble};
use crate::mutant::Mutant;
use crate::policy;
use crate::world::{DIRECTORY, Effect, EffectKind, PROCESS, Resource, State};

pub(crate) fn not_found(sandbox: &SandboxId) -> ExtensionError {
    ExtensionError::new(ErrorKind::NotFound, format!("there is no sandbox {sandbox}"))
}

pub(crate) fn plus(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(time)
}

impl FakeExtension {
    /// Refuses what carries an older epoch than was seen, and remembers this one.
    pub(crate) fn fence(&self, state: &mut State, call: &Call, sandbox: &SandboxId) -> Result<(), ExtensionError> {
        if self.is(Mutant::IgnoresEpochs) {
            return Ok(());
        }
        if self.is(Mutant::ForgetsEpochsOfNothing) && state.position(self.id(), sandbox).is_none() {
            return Ok(());
        }
        let seen = state
            .epochs
            .entry((self.id().to_owned(), sandbox.clone()))
            .or_insert(call.epoch);
        if call.epoch < *seen {
            let (ours, seen) = (call.epoch.0, seen.0);
            let message = format!("epoch {ours} is older than epoch {seen}, which {sandbox} has seen");
            return Err(ExtensionError::new(ErrorKind::Fenced, message));
        }
        *seen = call.epoch;
        Ok(())
    }

    pub(crate) fn note(&self, state: &mut State, sandbox: &SandboxId, epoch: Epoch, kind: EffectKind) {
        state.log.push(Effect {
            at: self.world.clock().now(),
            extension_id: self.id().to_owned(),
            sandbox_id: sandbox.clone(),
            epoch: Some(epoch),
            kind,
        });
    }

    /// The first half of a sandbox: labelled, not yet usable. Finds the one that is there already.
    pub(crate) fn begin(&self, call: &Call, request: &ProvisionRequest) -> Result<(), ExtensionError> {
        let mut state = self.world.state();
        self.fence(&mut state, call, &request.sandbox_id)?;
        let host = self.at(request.host.as_deref());
        if state.position_at(self.id(), &request.sandbox_id, host).is_some() && !self.is(Mutant::ForgetsIdempotency) {
            return Ok(());
        }
        state.make_room(host)?;
        let serial = state.serial();
        state.ended.remove(&(self.id().to_owned(), request.sandbox_id.clone()));
        let guarded = self.manifest.capabilities.ttl_guard;
        let guarded = guarded && !self.is(Mutant::GuardNeedsReady) && !self.is(Mutant::GuardSleeps);
        let wrong_owner = InstallationId::from_uuid(uuid::Uuid::nil());
        let owner = if self.is(Mutant::MislabelsOwner) {
            wrong_owner
        } else {
            call.installation_id.clone()
        };
        state.resources.push(Resource {
            serial,
            extension_id: self.id().to_owned(),
            sandbox_id: request.sandbox_id.clone(),
            installation_id: owner,
            epoch: call.epoch,
            parts: [DIRECTORY].into(),
            request: request.clone(),
            ready: false,
            deadline: None,
            guard: None,
            files: BTreeMap::new(),
            processes: Vec::new(),
        });
        let clock = self.world.clock();
        let deadline = guarded.then(|| plus(clock.now(), request.ttl.as_signed()));
        if let Some(resource) = state.resources.last_mut() {
            resource.keep(deadline, clock);
        }
        self.note(&mut state, &request.sandbox_id, call.epoch, EffectKind::Made);
        Ok(())
    }

    /// The second half. Somebody may have removed the first one, or taken over, in between.
    pub(crate) fn complete(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        if self.is(Mutant::ChecksEpochTooEarly) {
            let gone = self.world.state().position(self.id(), &request.sandbox_id).is_none();
            if gone {
                self.world.state().epochs.clear();
                self.begin(call, request)?;
            }
        }
        let mut state = self.world.state();
        self.fence(&mut state, call, &request.sandbox_id)?;
        // A newer owner may take over what an older one made: the label follows.
        let keeps_label = self.is(Mutant::IgnoresEpochs);
        let resources = state.resources.iter_mut().rev();
        let mut mine = resources.filter(|one| one.extension_id == self.id() && one.sandbox_id == request.sandbox_id);
        let Some(resource) = mine.next() else {
            return Err(not_found(&request.sandbox_id));
        };
        resource.parts.insert(PROCESS);
        if !keeps_label {
            resource.epoch = resource.epoch.max(call.epoch);
        }
        Ok(Handle::from([("serial".to_owned(), resource.serial.to_string())]))
    }

    pub(crate) async fn make(&self, call: &Call, request: &ProvisionRequest) -> Result<Handle, ExtensionError> {
        self.begin(call, request)?;
        tokio::task::yield_now().await;
        self.complete(call, request)
    }

    pub(crate) fn remove(
        &self,
        call: &Call,
        target: &Target,
        trouble: &Trouble,
    ) -> Result<CleanupReport, ExtensionError> {
        let sandbox = &target.sandbox_id;
        let mut state = self.world.state();
        self.fence(&mut state, call, sandbox)?;
        if self.is(Mutant::ForgetsEpochsAtTeardown) {
            state.epochs.remove(&(self.id().to_owned(), sandbox.clone()));
        }
        let host = self.at(target.host.as_deref());
        let position = state.position_at(self.id(), sandbox, host);
        if position.is_none() && self.is(Mutant::TeardownNeedsSandbox) {
            return Err(not_found(sandbox));
        }
        let item = |kind: &str, found: bool, now: Presence, detail: &str| CleanupItem {
            kind: kind.to_owned(),
            name: sandbox.to_string(),
            found,
            now,
            detail: detail.to_owned(),
        };
        let found = position.is_some();
        if trouble.refuses_removal && found {
            let now = match trouble.unknown {
                true => Presence::Unknown,
                false => Presence::Present,
            };
            let left = item(PROCESS, true, now, "it does not go away");
            return Ok(CleanupReport::new(vec![left]));
        }
        let blind = self.is(Mutant::TeardownNeedsHandle) && target.handle.is_none();
        if !self.is(Mutant::TeardownLies) && !blind {
            while let Some(position) = state.position_at(self.id(), sandbox, host) {
                let mut resource = state.remove(position);
                self.note(&mut state, sandbox, call.epoch, EffectKind::Removed);
                if self.is(Mutant::TeardownLeavesDirectory) && resource.parts.remove(PROCESS) {
                    state.resources.push(resource);
                    break;
                }
            }
        }
        state.ended.remove(&(self.id().to_owned(), sandbox.clone()));
        let now = if trouble.unknown {
            Presence::Unknown
        } else {
            Presence::Absent
        };
        Ok(CleanupReport::new(vec![
            item(DIRECTORY, found, now, ""),
            item(PROCESS, found, now, ""),
        ]))
    }

    pub(crate) fn look(&self, target: &Target) -> Observation {
        let state = self.world.state();
        let ended = state
            .ended
            .get(&(self.id().to_owned(), target.sandbox_id.clone()))
            .copied();
        let host = self.at(target.host.as_deref());
        let position = state.position_at(self.id(), &target.sandbox_id, host);
        match position.and_then(|position| state.resources.get(position)) {
            Some(resource) => Observation {
                presence: Presence::Present,
                usable: Some(resource.is_whole()),
                ended: None,
                busy: Some(resource.processes.iter().any(|process| process.runs())),
                detail: format!("number {} of its world", resource.serial),
            },
            None => Observation {
                presence: Presence::Absent,
                usable: Some(false),
                ended,
                busy: None,
                detail: "it is not in its world".to_owned(),
            },
        }
    }

    /// The inventory of everything, or of one host.
    pub(crate) fn listed(&self, trouble: &Trouble, host: Option<&str>) -> Inventory {
        if trouble.unknown {
            return Inventory::Unknown {
                why: "it cannot be told".to_owned(),
            };
        }
        let mut items = self.items(host);
        if self.is(Mutant::InventoryForgets) {
            items.clear();
        }
        if trouble.partial {
            items.truncate(items.len() / 2);
            return Inventory::Partial {
                items,
                why: "half of it did not answer".to_owned(),
            };
        }
        if self.manifest.capabilities.inventory_complete {
            Inventory::Complete(items)
        } else {
            Inventory::Partial {
                items,
                why: "this backend lists only what it remembers".to_owned(),
            }
        }
    }

    fn items(&self, host: Option<&str>) -> Vec<InventoryItem> {
        let state = self.world.state();
        let mine = state
            .resources
            .iter()
            .filter(|resource| resource.extension_id == self.id())
            .filter(|resource| host.is_none() || resource.request.host.as_deref() == host);
        mine.flat_map(|resource| {
            resource.parts.iter().map(|part| InventoryItem {
                kind: (*part).to_owned(),
                name: resource.sandbox_id.to_string(),
                sandbox_id: Some(resource.sandbox_id.clone()),
                installation_id: Some(resource.installation_id.clone()),
                epoch: (!self.is(Mutant::ForgetsEpochLabel)).then_some(resource.epoch),
            })
        })
        .collect()
    }

    pub(crate) fn report(&self, profile: &Profile) -> IsolationReport {
        let attestations = profile.network.egress.iter().map(|destination| Attestation {
            probe: format!("connect {destination}"),
            expected: "allowed".to_owned(),
            observed: "allowed".to_owned(),
            held: true,
        });
        let has = &self.manifest.capabilities;
        let asked = profile.isolation.level;
        IsolationReport {
            level: has
                .isolation_levels
                .iter()
                .copied()
                .filter(|level| *level >= asked)
                .min()
                .unwrap_or(asked),
            mechanisms: vec![Mechanism {
                name: "imagination".to_owned(),
                state: MechanismState::Enforced,
                detail: "nothing of it exists outside a test's memory".to_owned(),
            }],
            limits: policy::limits(has, profile, &self.mutants),
            attestations: attestations.collect(),
        }
    }

    pub(crate) fn check(&self, request: &ProvisionRequest) -> Result<(), ExtensionError> {
        if self.is(Mutant::RefusesNothing) {
            Ok(())
        } else {
            policy::check(&self.manifest, request)
        }
    }
}
