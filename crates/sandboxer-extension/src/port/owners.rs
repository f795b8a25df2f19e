//! Who is working on what: processes as owners of leases.

use sandboxer_model::cleanup::Presence;

/// Names the process that holds a lease and tells whether another one still runs.
pub trait Owners: Send + Sync {
    /// This process: boot, process id and start time, so that a reused process id is not mistaken for the owner.
    fn me(&self) -> String;

    /// Whether the process of this name still runs. `Unknown` for processes of other machines.
    fn is_alive(&self, owner: &str) -> Presence;
}
