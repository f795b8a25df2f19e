//! Hosts of a world: machines that fakes put sandboxes on, with room or without, in reach or out of it.

use std::collections::BTreeMap;

use sandboxer_extension::{Call, ErrorKind, ExtensionError, HostProbe, Inventory, Manifest};
use sandboxer_model::host::{HostSnapshot, ProvisionDelta};

use crate::fake::{FakeExtension, capable};
use crate::fault::CallName;
use crate::world::{State, World};

/// One host.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorldHost {
    /// Sandboxes it holds at most; `None`: any number.
    slots: Option<usize>,
    out_of_reach: bool,
    lacks: Vec<String>,
    free_pct: Option<f64>,
    /// The most sandboxes it ever had at once.
    pub(crate) peak: usize,
}

/// The manifest of a fake that puts sandboxes on hosts, which outlive this machine.
pub fn hosted(id: &str) -> Manifest {
    let mut manifest = capable(id);
    manifest.capabilities.needs_host = true;
    manifest.capabilities.dies_with_machine = false;
    manifest
}

impl World {
    /// A host that is reached by this address and holds so many sandboxes.
    pub fn add_host(&self, address: &str, slots: Option<usize>) {
        let host = WorldHost {
            slots,
            ..WorldHost::default()
        };
        self.state().hosts.insert(address.to_owned(), host);
    }

    /// A host goes out of reach, or comes back. What is on it stays.
    pub fn set_reach(&self, address: &str, reachable: Reach) {
        if let Some(host) = self.state().hosts.get_mut(address) {
            host.out_of_reach = reachable == Reach::Out;
        }
    }

    /// A host lacks something that sandboxes need, or nothing.
    pub fn set_lacks(&self, address: &str, lacks: &[&str]) {
        if let Some(host) = self.state().hosts.get_mut(address) {
            host.lacks = lacks.iter().map(|&what| what.to_owned()).collect();
        }
    }

    /// So much of a host's disk is free.
    pub fn set_free_disk(&self, address: &str, percent: f64) {
        if let Some(host) = self.state().hosts.get_mut(address) {
            host.free_pct = Some(percent);
        }
    }

    /// The most sandboxes a host ever had at once.
    pub fn peak(&self, address: &str) -> usize {
        self.state().hosts.get(address).map_or(0, |host| host.peak)
    }
}

/// Whether a host can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It can.
    In,
    /// It cannot.
    Out,
}

impl State {
    fn on(&self, address: &str) -> usize {
        let here = |host: Option<&str>| host == Some(address);
        self.resources
            .iter()
            .filter(|resource| here(resource.request.host.as_deref()))
            .count()
    }

    /// Refuses one more sandbox on a full host, and remembers how many there were.
    pub(crate) fn make_room(&mut self, host: Option<&str>) -> Result<(), ExtensionError> {
        let Some(address) = host else { return Ok(()) };
        let there = self.on(address);
        let Some(host) = self.hosts.get_mut(address) else {
            return Ok(());
        };
        if host.slots.is_some_and(|slots| there >= slots) {
            let message = format!("{address} has {there} sandboxes and room for no more");
            return Err(ExtensionError::new(ErrorKind::Capacity, message));
        }
        host.peak = host.peak.max(there + 1);
        Ok(())
    }
}

impl FakeExtension {
    /// The host a call goes to; `None`: this extension has none.
    pub(crate) fn at<'h>(&self, host: Option<&'h str>) -> Option<&'h str> {
        host.filter(|_| self.manifest.capabilities.needs_host)
    }

    /// Fails where the host of a call cannot be reached; one that names none goes to no host.
    pub(crate) fn reach(&self, host: Option<&str>) -> Result<(), ExtensionError> {
        let Some(address) = self.at(host) else { return Ok(()) };
        match self.world.state().hosts.get(address) {
            Some(host) if !host.out_of_reach => Ok(()),
            _ => Err(ExtensionError::new(ErrorKind::Unavailable, format!("cannot reach {address}")).untouched()),
        }
    }

    fn snapshot(&self, address: &str) -> HostSnapshot {
        let state = self.world.state();
        let free = state.hosts.get(address).and_then(|host| host.free_pct).unwrap_or(60.0);
        let count = u32::try_from(state.on(address)).unwrap_or(u32::MAX);
        HostSnapshot {
            load_1m: Some(0.5),
            cpu_count: Some(4),
            mem_total_mb: Some(8000),
            mem_available_mb: Some(8000_u64.saturating_sub(100 * u64::from(count))),
            disk_root_used_pct: Some(100.0 - free),
            disk_root_avail_gb: Some(free),
            running_containers: Some(count),
            sandbox_containers: Some(count),
            ..HostSnapshot::default()
        }
    }

    /// What the last sandbox changed on its host.
    pub(crate) fn delta(&self, host: Option<&str>) -> Option<ProvisionDelta> {
        let after = self.snapshot(self.at(host)?);
        let before = HostSnapshot {
            mem_available_mb: after.mem_available_mb.map(|mib| mib + 100),
            running_containers: after.running_containers.map(|count| count.saturating_sub(1)),
            ..after.clone()
        };
        Some(ProvisionDelta::between(before, after))
    }

    pub(crate) async fn look_at(&self, call: &Call, address: &str) -> Result<HostProbe, ExtensionError> {
        if !self.manifest.capabilities.needs_host {
            return Err(ExtensionError::unsupported(&self.manifest.id, "needs_host"));
        }
        self.before(call, CallName::ProbeHost, None).await?;
        self.reach(Some(address))?;
        let missing = self.world.state().hosts.get(address).map(|host| host.lacks.clone());
        Ok(HostProbe {
            snapshot: self.snapshot(address),
            facts: BTreeMap::from([("imagination".to_owned(), "1".to_owned())]),
            missing: missing.unwrap_or_default(),
        })
    }

    /// Everything, or everything on one host.
    pub(crate) async fn list(&self, call: &Call, host: Option<&str>) -> Inventory {
        let trouble = match self.before(call, CallName::Inventory, None).await {
            Ok(trouble) => trouble,
            Err(error) => return Inventory::Unknown { why: error.to_string() },
        };
        if host.is_some()
            && let Err(error) = self.reach(host)
        {
            return Inventory::Unknown { why: error.to_string() };
        }
        self.listed(&trouble, host)
    }
}
