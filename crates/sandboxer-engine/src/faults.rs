//! Where tests can make a step fail or repeat. Nothing here runs unless a test asked for it.

use sandboxer_extension::ExtensionError;
use sandboxer_model::operation::OperationKind;

/// Consulted at each boundary of each step.
pub trait Faults: Send + Sync {
    /// What happens at this boundary.
    fn at(&self, point: &Point<'_>) -> Fault;

    /// Whether a safeguard is switched off, to show that its absence is noticed.
    fn is_off(&self, _safeguard: Safeguard) -> bool {
        false
    }
}

/// What keeps a promise. Each can be switched off by a test, and some test must then fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Safeguard {
    /// The intent is stored before the effect.
    IntentFirst,
    /// A creation that fails is undone.
    Undo,
    /// Each operation runs under an epoch of its own.
    Epoch,
    /// A save that finds a row changed by somebody else is refused.
    Fence,
    /// An operation is taken over only if its owner is dead.
    Lease,
    /// What dead processes left is taken up.
    Recovery,
    /// An error of a removal is no absence.
    ErrorIsNotAbsence,
    /// Not knowing is no absence.
    UnknownIsNotAbsence,
    /// The deadline is the one on record, not the one it was made with.
    StoredDeadline,
    /// The guard moves before a later deadline is acknowledged.
    GuardFirst,
    /// Nothing is swept on the strength of one look.
    SecondLook,
    /// What a sandbox held of a host is given back when it is gone.
    Release,
    /// Each change of state is told in the same transaction.
    Told,
    /// Each end has a reason.
    Reason,
}

impl Safeguard {
    /// All of them.
    pub const ALL: &[Safeguard] = &[
        Safeguard::IntentFirst,
        Safeguard::Undo,
        Safeguard::Epoch,
        Safeguard::Fence,
        Safeguard::Lease,
        Safeguard::Recovery,
        Safeguard::ErrorIsNotAbsence,
        Safeguard::UnknownIsNotAbsence,
        Safeguard::StoredDeadline,
        Safeguard::GuardFirst,
        Safeguard::SecondLook,
        Safeguard::Release,
        Safeguard::Told,
        Safeguard::Reason,
    ];
}

/// One boundary of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point<'a> {
    /// The operation.
    pub operation: OperationKind,
    /// The step, as in [`crate::operation::steps`].
    pub step: &'a str,
    /// Whether the step belongs to undoing the operation.
    pub undoing: bool,
    /// Before or after the effect.
    pub moment: Moment,
}

/// When, relative to the step's effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The effect has not been asked for.
    BeforeEffect,
    /// The effect happened; its answer was not used yet.
    AfterEffect,
}

/// What happens at a boundary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing special.
    Continue,
    /// The effect is asked for once more (only after the effect).
    Repeat,
    /// The step fails with this; after the effect, that is a lost reply.
    Fail(ExtensionError),
}
