//! Tri-state lists of what exists: unreadable is not empty.

use sandboxer_model::id::{InstallationId, SandboxId};
use sandboxer_model::operation::Epoch;

/// Everything a backend has, as far as it can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inventory {
    /// This is all of it: what is not listed does not exist.
    Complete(Vec<InventoryItem>),
    /// These exist; there may be more.
    Partial {
        /// What was seen.
        items: Vec<InventoryItem>,
        /// Why the rest is unknown.
        why: String,
    },
    /// Nothing could be told.
    Unknown {
        /// Why.
        why: String,
    },
}

/// One thing that exists at a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryItem {
    /// What kind of thing, such as `process`, `cgroup`, `directory`, `container`.
    pub kind: String,
    /// Which one.
    pub name: String,
    /// The sandbox its label names; `None`: unlabelled or foreign.
    pub sandbox_id: Option<SandboxId>,
    /// The owner its label names.
    pub installation_id: Option<InstallationId>,
    /// The epoch its label names.
    pub epoch: Option<Epoch>,
}

impl Inventory {
    /// What was seen, however incomplete.
    pub fn items(&self) -> &[InventoryItem] {
        match self {
            Inventory::Complete(items) | Inventory::Partial { items, .. } => items,
            Inventory::Unknown { .. } => &[],
        }
    }
}
