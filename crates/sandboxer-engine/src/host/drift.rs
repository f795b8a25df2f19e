//! Compares what is on a host with the records. Rules only: nobody is asked.
//!
//! Something is for us to remove only when it bears our mark and the name of a sandbox that has no life left. What
//! belongs to others, or to nobody, is told of and left. What lives is never more than looked at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sandboxer_extension::InventoryItem;
use sandboxer_model::host::{InventoryEntry, SandboxInventory, StaleAction, StaleCandidate, StaleKind};
use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::lifecycle::State;
use sandboxer_model::operation::Epoch;
use sandboxer_store::SandboxRecord;

use super::look::Seen;

/// What is on record of every sandbox that something bears the name of.
pub(super) type Records = BTreeMap<SandboxId, OnRecord>;

/// What is on record of a sandbox.
#[expect(clippy::large_enum_variant, reason = "nearly all are records")]
pub(super) enum OnRecord {
    /// Its record.
    Record(SandboxRecord),
    /// There is none.
    Nothing,
    /// Its row is damaged: it may live.
    Unreadable,
}

impl OnRecord {
    fn record(&self) -> Option<&SandboxRecord> {
        match self {
            OnRecord::Record(record) => Some(record),
            OnRecord::Nothing | OnRecord::Unreadable => None,
        }
    }
}

/// A candidate and what is needed to act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) candidate: StaleCandidate,
    pub(crate) extension_id: String,
    pub(crate) address: String,
    /// The newest epoch on what was seen.
    pub(super) epoch: Option<Epoch>,
    /// Whether there is a record of its sandbox.
    pub(crate) has_record: bool,
}

/// Things named in a reason at most.
const NAMED: usize = 5;
/// Kinds of things that a compose project is made of.
const OF_PROJECTS: [&str; 4] = ["container", "network", "volume", "image"];
const DIRECTORY: &str = "directory";
const PROJECT: &str = "compose_project";

/// What belongs together: the directory of a sandbox, or the rest of it.
struct Group<'s> {
    sandbox_id: Option<&'s SandboxId>,
    owner: Option<&'s InstallationId>,
    is_directory: bool,
    items: Vec<&'s InventoryItem>,
}

/// Everything on a host that does not agree with the records.
pub(super) fn compare(
    seen: &Seen,
    records: &Records,
    me: &InstallationId,
    now: Timestamp,
    older_than_hours: Option<u64>,
) -> Vec<Sighting> {
    let mut sightings = Vec::new();
    for group in groups(&seen.items) {
        let found = group.sandbox_id.and_then(|id| records.get(id));
        let record = found.and_then(OnRecord::record);
        let age_hours = group.sandbox_id.map(|id| age_hours(id, record, now));
        let judged = match found {
            Some(OnRecord::Unreadable) => Some((
                group.orphan(),
                StaleAction::Inspect,
                "the record of its sandbox is damaged, and it may live".to_owned(),
            )),
            _ => judge(&group, record, seen, me, age_hours, older_than_hours),
        };
        let Some((kind, action, why)) = judged else {
            continue;
        };
        let too_young = older_than_hours.is_some_and(|least| age_hours.is_some_and(|age| age < least));
        if too_young {
            continue;
        }
        let ours = group.owner == Some(me);
        sightings.push(Sighting {
            candidate: StaleCandidate {
                id: group.name(),
                kind,
                action,
                host: seen.spot.name.clone(),
                age_hours,
                why: format!("{why}: {}", group.things()),
                sandbox_id: group.sandbox_id.filter(|_| ours).cloned(),
            },
            extension_id: seen.extension_id.clone(),
            address: seen.spot.address.clone(),
            epoch: group.items.iter().filter_map(|item| item.epoch).max(),
            has_record: found.is_some_and(|found| !matches!(found, OnRecord::Nothing)),
        });
    }
    sightings
}

/// What one group is; `None`: as it should be.
fn judge(
    group: &Group<'_>,
    record: Option<&SandboxRecord>,
    seen: &Seen,
    me: &InstallationId,
    age_hours: Option<u64>,
    older_than_hours: Option<u64>,
) -> Option<(StaleKind, StaleAction, String)> {
    let orphan = group.orphan();
    // A thing may be there a moment before its marks are.
    let being_made = group.owner.is_none() && record.is_some_and(|record| !is_over(record));
    if group.owner != Some(me) {
        return match (group.owner, record) {
            _ if being_made => None,
            (None, Some(_)) => Some((
                orphan,
                StaleAction::Inspect,
                "it has the name of a sandbox that is gone, and no owner's mark".to_owned(),
            )),
            (Some(_), _) => Some((
                StaleKind::Foreign,
                StaleAction::Ignore,
                "of another installation".to_owned(),
            )),
            (None, None) => Some((
                StaleKind::Foreign,
                StaleAction::Ignore,
                "without an owner's mark".to_owned(),
            )),
        };
    }
    if group.sandbox_id.is_none() {
        let why = "it bears our mark and names no sandbox".to_owned();
        return Some((orphan, StaleAction::Inspect, why));
    }
    let Some(record) = record else {
        return Some((
            orphan,
            StaleAction::Reap,
            "there is no record of its sandbox".to_owned(),
        ));
    };
    if is_over(record) {
        let why = format!("its sandbox is {}", record.sandbox.state);
        return Some((orphan, StaleAction::Reap, why));
    }
    if record.sandbox.operation_id.is_some() {
        return None;
    }
    let here = record.sandbox.host.as_deref() == Some(seen.spot.name.as_str())
        || crate::operation::job::reached_by(record).unwrap_or_default() == seen.spot.address;
    if !here || record.sandbox.extension_id.as_deref() != Some(seen.extension_id.as_str()) {
        let elsewhere = record.sandbox.host.as_deref().unwrap_or("another place");
        let why = format!("its sandbox is {} on {elsewhere}", record.sandbox.state);
        return Some((orphan, StaleAction::Inspect, why));
    }
    let aged = older_than_hours.is_some_and(|least| age_hours.is_some_and(|age| age >= least));
    (aged && group.is_directory).then(|| {
        let why = format!("its sandbox is {} and has been there for long", record.sandbox.state);
        (StaleKind::AgedDir, StaleAction::Inspect, why)
    })
}

/// A live record of which nothing is on its host. `seen` must be complete, and taken after the record was read first.
pub(super) fn zombie(record: &SandboxRecord, seen: &Seen, now: Timestamp) -> Option<Sighting> {
    let id = &record.sandbox.sandbox_id;
    let is_seen = seen.items.iter().any(|item| item.sandbox_id.as_ref() == Some(id));
    if is_seen || seen.incomplete.is_some() {
        return None;
    }
    Some(Sighting {
        candidate: StaleCandidate {
            id: id.to_string(),
            kind: StaleKind::ZombieRecord,
            action: StaleAction::Inspect,
            host: seen.spot.name.clone(),
            age_hours: Some(age_hours(id, Some(record), now)),
            why: format!(
                "its record says {}, and nothing of it is on the host",
                record.sandbox.state
            ),
            sandbox_id: Some(id.clone()),
        },
        extension_id: seen.extension_id.clone(),
        address: seen.spot.address.clone(),
        epoch: None,
        has_record: true,
    })
}

/// Everything on a host that looks like a sandbox.
pub(super) fn inventory(host: &str, seen: &[Seen], records: &Records, now: Timestamp) -> SandboxInventory {
    let mut entries: Vec<InventoryEntry> = Vec::new();
    for group in seen.iter().flat_map(|seen| groups(&seen.items)) {
        let found = group.sandbox_id.and_then(|id| records.get(id));
        let record = found.and_then(OnRecord::record);
        entries.push(InventoryEntry {
            id: group.sandbox_id.map_or_else(|| group.name(), SandboxId::to_string),
            kind: group.kind().to_owned(),
            path: group
                .items
                .first()
                .filter(|_| group.is_directory)
                .map(|item| item.name.clone()),
            age_hours: group.sandbox_id.map(|id| age_hours(id, record, now)),
            profile_hint: record.map(|record| record.sandbox.profile_id.clone()),
        });
    }
    entries.sort_by(|a, b| (&a.id, &a.kind).cmp(&(&b.id, &b.kind)));
    let why: Vec<&str> = seen.iter().filter_map(|seen| seen.incomplete.as_deref()).collect();
    SandboxInventory {
        host: host.to_owned(),
        entries,
        incomplete: (!why.is_empty()).then(|| why.join("; ")),
    }
}

/// Whether nothing of the sandbox should exist, and nobody is at work on it.
pub(crate) fn is_over(record: &SandboxRecord) -> bool {
    let sandbox = &record.sandbox;
    sandbox.operation_id.is_none() && matches!(sandbox.state, State::Destroyed | State::Failed)
}

fn groups(items: &[InventoryItem]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for item in items {
        let (sandbox_id, owner) = (item.sandbox_id.as_ref(), item.installation_id.as_ref());
        let is_directory = item.kind == DIRECTORY;
        let fits = |group: &&mut Group<'_>| {
            group.is_directory == is_directory
                && group.owner == owner
                && group.sandbox_id == sandbox_id
                && (sandbox_id.is_some() || group.items.first().map(|first| project(first)) == Some(project(item)))
        };
        match groups.iter_mut().find(fits) {
            Some(group) => group.items.push(item),
            None => groups.push(Group {
                sandbox_id,
                owner,
                is_directory,
                items: vec![item],
            }),
        }
    }
    groups
}

/// The project of a thing that is called `project/thing`; a directory is its own.
fn project(item: &InventoryItem) -> &str {
    match item.name.split_once('/') {
        Some((project, _)) if item.kind != DIRECTORY => project,
        _ => &item.name,
    }
}

impl Group<'_> {
    fn orphan(&self) -> StaleKind {
        if self.is_directory {
            StaleKind::OrphanDir
        } else {
            StaleKind::OrphanCompose
        }
    }

    fn name(&self) -> String {
        self.items
            .first()
            .map(|item| project(item))
            .unwrap_or_default()
            .to_owned()
    }

    fn kind(&self) -> &str {
        match self.items.first() {
            Some(item) if OF_PROJECTS.contains(&item.kind.as_str()) => PROJECT,
            Some(item) => &item.kind,
            None => PROJECT,
        }
    }

    fn things(&self) -> String {
        let mut named: Vec<String> = self
            .items
            .iter()
            .take(NAMED)
            .map(|item| format!("{} {}", item.kind, item.name))
            .collect();
        if self.items.len() > NAMED {
            named.push(format!("{} more", self.items.len() - NAMED));
        }
        named.join(", ")
    }
}

/// Since its sandbox was accepted: by the record, else by the time in the id.
fn age_hours(id: &SandboxId, record: Option<&SandboxRecord>, now: Timestamp) -> u64 {
    let made = match record {
        Some(record) => record.sandbox.created_at.as_millisecond(),
        None => i64::try_from(id.made_at_ms()).unwrap_or(i64::MAX),
    };
    u64::try_from(now.as_millisecond().saturating_sub(made)).unwrap_or(0) / 3_600_000
}
