//! `__deliver`: deliver events away from any terminal, for a command whose own time for it was too short.

use sandboxer_engine::api::DeliverLimits;
use sandboxer_model::error::UserError;

use crate::context::{Context, Warm};

/// Half minutes that one such process works at most.
const ROUNDS: u32 = 8;

/// Delivers what is due, and ends.
///
/// # Errors
/// Those of the store.
pub(crate) async fn deliver(context: &Context) -> Result<u8, UserError> {
    // A session of its own: the terminal of the caller may close.
    let _ = rustix::process::setsid();
    let engine = context.open(context.extensions(Warm::No)?).await?;
    for _ in 0..ROUNDS {
        if !engine.deliver(DeliverLimits::patient()).await?.unfinished {
            break;
        }
    }
    Ok(0)
}

/// Starts such a process. If that fails, the next command delivers.
#[expect(
    clippy::disallowed_methods,
    reason = "a background process of our own cannot go through HostExec, which waits"
)]
pub(crate) fn start(context: &Context) {
    use std::process::{Command, Stdio};
    let _ = Command::new("/proc/self/exe")
        .args(["__deliver", "--quiet", "--data-dir"])
        .arg(&context.data_dir)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
}
