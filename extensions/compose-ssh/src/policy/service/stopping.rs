//! How a service stops, and whether it starts again.

use super::Service;
use crate::policy::fields::{At, Fields};
use crate::policy::value;

/// Longest time a service has to stop.
const MOST_GRACE_MS: u64 = 30_000;

/// Takes `stop_signal` and `stop_grace_period`.
pub(super) fn stopping(fields: &mut Fields<'_>, service: &mut Service) {
    service.stop_signal = fields.take("stop_signal").and_then(|signal| {
        let text = signal.text()?;
        let good = !text.is_empty() && text.len() <= 12 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+');
        if good {
            Some(text)
        } else {
            signal.refuse(format!("is `{text}`, not a signal"))
        }
    });
    service.stop_grace_ms = fields.take("stop_grace_period").and_then(|grace| {
        let given = value::duration(&grace)?;
        if given > MOST_GRACE_MS {
            grace.refuse("is more than 30s")
        } else {
            Some(given)
        }
    });
}

/// A reboot must not bring back what its time has ended, so nothing restarts always.
pub(super) fn restart_policy(at: &At<'_>) -> Option<String> {
    let text = at.text()?;
    match text.as_str() {
        "no" | "false" => Some("no".to_owned()),
        "on-failure" => Some(text),
        "always" | "unless-stopped" => {
            at.found.note(format!(
                "`{}: {text}` becomes on-failure: nothing outlives a restart of the host",
                at.path.join(".")
            ));
            Some("on-failure".to_owned())
        }
        _ => match text.strip_prefix("on-failure:") {
            Some(times) if !times.is_empty() && times.len() <= 3 && times.bytes().all(|b| b.is_ascii_digit()) => {
                Some(text.clone())
            }
            _ => at.refuse(format!(
                "is `{text}`; accepted: no, on-failure[:times], always, unless-stopped"
            )),
        },
    }
}
