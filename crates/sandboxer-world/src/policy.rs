//! What a fake refuses, and which limits it says it holds.

use std::collections::BTreeSet;

use sandboxer_extension::{Capabilities, ErrorKind, ExtensionError, Manifest, ProvisionRequest};
use sandboxer_model::isolation::{EnforcedBy, Limit, Resource};
use sandboxer_model::profile::{NetworkDefault, Profile, WorkspaceMode};

use crate::fake::repo;
use crate::mutant::Mutant;

/// What was asked for of each resource, and whether the backend holds it.
fn asked(has: &Capabilities, profile: &Profile) -> [(Resource, Option<f64>, bool); 4] {
    let resources = &profile.resources;
    let count = |value: Option<u64>| value.map(|value| value as f64);
    [
        (Resource::Cpu, resources.cpu, has.limit_cpu),
        (Resource::MemoryMb, count(resources.memory_mb), has.limit_memory),
        (Resource::DiskMb, count(resources.disk_mb), has.limit_disk),
        (Resource::Pids, count(resources.pids), has.limit_pids),
    ]
}

/// Each limit as it is held.
pub(crate) fn limits(has: &Capabilities, profile: &Profile, mutants: &BTreeSet<Mutant>) -> Vec<Limit> {
    if mutants.contains(&Mutant::ForgetsLimits) {
        return Vec::new();
    }
    let holder = if mutants.contains(&Mutant::StrictIsWatched) {
        EnforcedBy::Watchdog
    } else {
        EnforcedBy::Backend
    };
    let limit = |(resource, value, held): (Resource, Option<f64>, bool)| Limit {
        resource,
        value,
        enforced_by: if held && value.is_some() {
            holder
        } else {
            EnforcedBy::None
        },
        detail: String::new(),
    };
    asked(has, profile).into_iter().map(limit).collect()
}

/// Refuses what this manifest cannot give.
pub(crate) fn check(manifest: &Manifest, request: &ProvisionRequest) -> Result<(), ExtensionError> {
    let (has, profile) = (&manifest.capabilities, &request.profile);
    let cannot = |what: &str| {
        Err(ExtensionError::new(
            ErrorKind::CannotEnforce,
            format!("{} cannot enforce {what}", manifest.id),
        ))
    };
    let lacks = |capability: &str| Err(ExtensionError::unsupported(&manifest.id, capability));
    if has
        .isolation_levels
        .iter()
        .all(|level| *level < profile.isolation.level)
    {
        return cannot("this isolation level");
    }
    if !profile.network.egress.is_empty() && !has.network_egress {
        return cannot("an allow-list of destinations");
    }
    match profile.network.default {
        NetworkDefault::Allow if !has.network_allow => return lacks("network_allow"),
        NetworkDefault::Deny if !has.network_deny => return cannot("a closed network"),
        NetworkDefault::Allow | NetworkDefault::Deny => {}
    }
    if profile.resources.gpu.is_some_and(|count| count > 0) && !has.gpu {
        return lacks("gpu");
    }
    if !profile.setup.secret_refs.is_empty() && !has.secrets {
        return lacks("secrets");
    }
    if profile.workspace.mode == WorkspaceMode::Mirror && !has.workspace_mirror {
        return lacks("workspace_mirror");
    }
    if profile.resources.strict {
        for (resource, value, held) in asked(has, profile) {
            if value.is_some() && !held {
                return cannot(&format!("a limit of {resource:?}"));
            }
        }
    }
    if let Some(directory) = repo(request) {
        if !has.workspace_directory {
            return lacks("workspace_directory");
        }
        if !directory.is_dir() {
            let message = format!("the repo {} is not a directory", directory.display());
            return Err(ExtensionError::new(ErrorKind::Invalid, message));
        }
    }
    if let Some(key) = profile.config.keys().find(|key| !manifest.config.contains_key(*key)) {
        return Err(ExtensionError::new(
            ErrorKind::Invalid,
            format!("{} has no setting `{key}`", manifest.id),
        ));
    }
    Ok(())
}
