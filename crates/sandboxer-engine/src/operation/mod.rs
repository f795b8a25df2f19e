//! Durable operations. Each verb is a table of steps; `job` takes them one by one: ask the backend, commit what came
//! of it in one transaction, go on. After a crash the next process finds the journal and goes on, or back.
//!
//! | file | verb |
//! |---|---|
//! | `create` | make a sandbox; also what `run` begins with |
//! | `run` | create, exec, destroy in one process |
//! | `destroy` | remove it, with proof |
//! | `expire` | remove it because its time passed |
//! | `recreate` | remove it and make it again |
//! | `extend_ttl` | move its deadline |
//! | `teardown` | the step all removals share |
//! | `idempotent` | creations with a key: twice is once |
//! | `candidate` | from one candidate to the next |
//! | `telemetry` | what a create learns about its host |
//! | `hold` | what this process works on, and what it dropped |
//! | `takeover` | how an operation changes hands |

mod candidate;
mod create;
mod destroy;
mod expire;
mod extend_ttl;
mod hold;
mod idempotent;
pub(crate) mod job;
mod params;
mod recreate;
mod run;
mod step;
mod takeover;
mod teardown;
mod telemetry;

use sandboxer_model::operation::OperationKind;

pub(crate) use hold::Dropped;
pub(crate) use run::request;
pub(crate) use takeover::{Pause, Taken};

/// The names of an operation's steps, in order. Undoing a create or recreate runs `teardown` with `undoing` set.
pub fn steps(kind: OperationKind) -> &'static [&'static str] {
    match kind {
        OperationKind::Create => create::STEPS,
        OperationKind::Destroy => destroy::STEPS,
        OperationKind::Recreate => recreate::STEPS,
        OperationKind::ExtendTtl => extend_ttl::STEPS,
        OperationKind::Expire => expire::STEPS,
    }
}
