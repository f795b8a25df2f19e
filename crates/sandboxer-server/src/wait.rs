//! Waiting for a sandbox on behalf of somebody far away. At first it is looked at as often as it may change; whoever goes on waiting
//! costs little: a look when something was changed, and one now and then.

use std::time::Duration;

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::id::SandboxId;
use sandboxer_model::lifecycle;

use crate::state::State;

/// How long the engine looks again and again.
const AT_FIRST: Duration = Duration::from_secs(2);
/// Between two looks, however much is changed.
const AT_LEAST: Duration = Duration::from_millis(100);
/// Between two looks when nobody says that anything was changed.
const AT_MOST: Duration = Duration::from_secs(1);

/// Waits until a sandbox is in a state.
///
/// # Errors
/// `Timeout`; `WrongState` at once when the state can no longer come; those of the store.
pub(crate) async fn until(
    state: &State,
    id: &SandboxId,
    wanted: lifecycle::State,
    timeout: Duration,
) -> Result<(), UserError> {
    let from = state.clock.monotonic();
    let mut look_for = timeout.min(AT_FIRST);
    loop {
        // Before it is looked at: what is changed afterwards is not missed.
        let mut changed = std::pin::pin!(state.changed.notified());
        changed.as_mut().enable();
        match state.engine.wait(id.as_str(), wanted, look_for).await {
            Err(error) if error.code == ErrorCode::Timeout => {}
            other => return other.map(drop),
        }
        let left = timeout.saturating_sub(state.clock.monotonic().saturating_sub(from));
        if left.is_zero() {
            let seconds = timeout.as_secs();
            let what = format!("{id} is not {wanted} after {seconds} s");
            return Err(UserError::new(ErrorCode::Timeout, what).hint("wait longer with `timeout`"));
        }
        let something = async {
            tokio::select! {
                () = changed => {}
                () = state.clock.sleep(left.min(AT_MOST)) => {}
            }
        };
        tokio::join!(something, state.clock.sleep(left.min(AT_LEAST)));
        look_for = Duration::ZERO;
    }
}
