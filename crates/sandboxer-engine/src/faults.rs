//! Where tests can make a step fail or repeat. Nothing here runs unless a test asked for it.

use sandboxer_extension::ExtensionError;
use sandboxer_model::operation::OperationKind;

/// Consulted at each boundary of each step.
pub trait Faults: Send + Sync {
    /// What happens at this boundary.
    fn at(&self, point: &Point<'_>) -> Fault;
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
