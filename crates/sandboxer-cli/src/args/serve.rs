//! The verbs about the whole: `serve`, `status`.

use clap::Args;

// `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Run everything that is due once, then leave
    #[arg(long)]
    pub(crate) once: bool,
}

// `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Fail when something is overdue, stuck or broke off
    #[arg(long)]
    pub(crate) check: bool,
}

/// Options of `doctor`.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Do what is safe to do about what is not as it should be, and say what came of it
    #[arg(long)]
    pub(crate) fix: bool,
}
