//! Deliberately broken behaviours: each must be caught by a trial, which shows that the suite can fail.

/// One way in which a fake extension breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// `validate` makes the sandbox.
    ValidateProvisions,
    /// A second provision makes a second sandbox.
    ForgetsIdempotency,
    /// Epochs are not looked at.
    IgnoresEpochs,
    /// Epochs are forgotten with the sandbox.
    ForgetsEpochsAtTeardown,
    /// Epochs are looked at only when a sandbox exists.
    ForgetsEpochsOfNothing,
    /// Provision looks at the epoch only once, at its start.
    ChecksEpochTooEarly,
    /// Teardown says absent and removes nothing.
    TeardownLies,
    /// Teardown leaves the directory.
    TeardownLeavesDirectory,
    /// Teardown of what is not there is an error.
    TeardownNeedsSandbox,
    /// Teardown without the handle does nothing.
    TeardownNeedsHandle,
    /// The owner's label names somebody else.
    MislabelsOwner,
    /// The inventory does not say at which epoch a thing was made.
    ForgetsEpochLabel,
    /// The inventory does not list sandboxes.
    InventoryForgets,
    /// Everything that is asked for is accepted.
    RefusesNothing,
    /// Provision accepts what `validate` refuses.
    ProvisionDoesNotValidate,
    /// Limits are not reported.
    ForgetsLimits,
    /// Limits are reported and not held.
    LimitsAreWords,
    /// Strict limits are reported as watched only.
    StrictIsWatched,
    /// It pays people.
    NegativeQuote,
    /// Every command succeeds.
    ExitCodeLost,
    /// Input ends after 64 KiB.
    TruncatesInput,
    /// Bytes over 127 are replaced.
    MangledBytes,
    /// The error stream is thrown away.
    SwallowsStderr,
    /// The error stream is mixed into the output.
    MergesStderr,
    /// Variables do not arrive.
    DropsVariables,
    /// The caller's environment is visible inside.
    LeaksEnvironment,
    /// Commands start in `/`.
    StartsInRoot,
    /// The chosen directory is ignored.
    IgnoresDirectory,
    /// An unknown program succeeds.
    UnknownProgramSucceeds,
    /// Signals do not arrive.
    IgnoresSignals,
    /// One command at a time.
    OneCommandOnly,
    /// Commands run in sandboxes that are not there.
    ExecInNothing,
    /// The terminal has another size.
    WrongWindowSize,
    /// Detached commands end with their caller.
    DetachedEnds,
    /// All sandboxes share one workspace.
    SharedWorkspace,
    /// The caller's directory itself is the workspace.
    WritesRepo,
    /// A read-only workspace can be written.
    IgnoresReadOnly,
    /// Host services are reachable under deny.
    NetworkLeaks,
    /// The guard does nothing.
    GuardSleeps,
    /// The guard acts long before its deadline.
    GuardIsEarly,
    /// The guard acts only once somebody waited for the sandbox to be ready.
    GuardNeedsReady,
    /// A later deadline is acknowledged and forgotten.
    ForgetsLaterDeadline,
    /// Each `wait_ready` begins the time to live anew.
    RestartsTtl,
}

impl Mutant {
    /// All of them.
    pub const ALL: &[Mutant] = &[
        Mutant::ValidateProvisions,
        Mutant::ForgetsIdempotency,
        Mutant::IgnoresEpochs,
        Mutant::ForgetsEpochsAtTeardown,
        Mutant::ForgetsEpochsOfNothing,
        Mutant::ChecksEpochTooEarly,
        Mutant::TeardownLies,
        Mutant::TeardownLeavesDirectory,
        Mutant::TeardownNeedsSandbox,
        Mutant::TeardownNeedsHandle,
        Mutant::MislabelsOwner,
        Mutant::ForgetsEpochLabel,
        Mutant::InventoryForgets,
        Mutant::RefusesNothing,
        Mutant::ProvisionDoesNotValidate,
        Mutant::ForgetsLimits,
        Mutant::LimitsAreWords,
        Mutant::StrictIsWatched,
        Mutant::NegativeQuote,
        Mutant::ExitCodeLost,
        Mutant::TruncatesInput,
        Mutant::MangledBytes,
        Mutant::SwallowsStderr,
        Mutant::MergesStderr,
        Mutant::DropsVariables,
        Mutant::LeaksEnvironment,
        Mutant::StartsInRoot,
        Mutant::IgnoresDirectory,
        Mutant::UnknownProgramSucceeds,
        Mutant::IgnoresSignals,
        Mutant::OneCommandOnly,
        Mutant::ExecInNothing,
        Mutant::WrongWindowSize,
        Mutant::DetachedEnds,
        Mutant::SharedWorkspace,
        Mutant::WritesRepo,
        Mutant::IgnoresReadOnly,
        Mutant::NetworkLeaks,
        Mutant::GuardSleeps,
        Mutant::GuardIsEarly,
        Mutant::GuardNeedsReady,
        Mutant::ForgetsLaterDeadline,
        Mutant::RestartsTtl,
    ];
}
