//! One sandbox for people.

use jiff::Timestamp;
use sandboxer_model::error::UserError;
use sandboxer_model::lifecycle::State;
use sandboxer_model::sandbox::Sandbox;

use super::color::Paint;
use super::human;
use super::json;
use crate::context::{Context, Format};

/// Prints a sandbox in the format people or programs want.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print(context: &Context, sandbox: &Sandbox) -> Result<(), UserError> {
    match context.format {
        Format::Json => json::print(sandbox),
        Format::Table => json::print_text(&card(context.paint, sandbox, context.clock.now())),
    }
}

/// The name of a state in the color of its meaning.
pub(crate) fn state(paint: Paint, state: State) -> String {
    match state {
        State::Ready | State::Active => paint.good(state.name()),
        State::Failed => paint.bad(state.name()),
        State::Destroyed => paint.dim(state.name()),
        State::Requested | State::Provisioning | State::Expired | State::Destroying => paint.warn(state.name()),
    }
}

/// A sandbox as a headline and a few lines.
pub(crate) fn card(paint: Paint, sandbox: &Sandbox, now: Timestamp) -> String {
    let mut text = format!(
        "{}  {}\n",
        paint.strong(sandbox.sandbox_id.as_str()),
        state(paint, sandbox.state)
    );
    let mut line =
        |name: &str, value: String| text.push_str(&format!("  {}{value}\n", paint.dim(&format!("{name:<11}"))));
    line("profile", format!("{} {}", sandbox.profile_id, sandbox.profile_version));
    if let Some(extension) = &sandbox.extension_id {
        line(
            "backend",
            format!("{extension} on {}", sandbox.host.as_deref().unwrap_or("this machine")),
        );
    }
    if let Some(reachability) = &sandbox.reachability {
        let ways = [
            ("workspace", &reachability.workspace),
            ("exec", &reachability.exec),
            ("ssh", &reachability.ssh),
            ("directory", &reachability.remote_dir),
        ];
        for (name, way) in ways {
            if let Some(way) = way {
                line(name, way.clone());
            }
        }
    }
    for (service, endpoints) in sandbox.reachability.iter().flat_map(|ways| &ways.services) {
        for endpoint in endpoints {
            line(
                service,
                format!(
                    "{} → port {}/{} inside",
                    endpoint.address, endpoint.port, endpoint.protocol
                ),
            );
        }
    }
    if !sandbox.labels.is_empty() {
        let labels: Vec<String> = sandbox
            .labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        line("labels", labels.join(" "));
    }
    if let Some(expires_at) = sandbox.expires_at.filter(|_| sandbox.state.is_usable()) {
        line(
            "expires",
            format!("in {} ({expires_at:.0})", human::between(now, expires_at)),
        );
    }
    if let Some(reason) = sandbox.reason {
        line("reason", reason.name().to_owned());
    }
    if let Some(error) = &sandbox.error {
        line("error", error.message.clone());
    }
    text
}
