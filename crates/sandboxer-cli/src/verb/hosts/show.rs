//! `hosts show`, and how a host is shown to people.

use sandboxer_model::error::UserError;
use sandboxer_model::host::HostSnapshot;
use sandboxer_model::registry::{BackendView, HostStatus};

use super::list::{of, state};
use crate::context::{Context, Format};
use crate::output::table::Columns;
use crate::output::{human, json};

/// Shows one host.
///
/// # Errors
/// `NotFound`.
pub(super) async fn show(context: &Context, host: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let status = context.service(&reporter).await?.host(host).await?;
    reporter.close();
    print(context, &status)?;
    Ok(0)
}

/// Prints one host.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print(context: &Context, status: &HostStatus) -> Result<(), UserError> {
    if context.format == Format::Json {
        return json::print(status);
    }
    let (host, taken, most) = (&status.host, &status.reserved, &status.host.capacity);
    let mut table = Columns::new(context.paint, &[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("host", format!("{}  {}", host.name, state(context.paint, host.state)));
    row("address", host.address.to_string());
    row("sandboxes", status.sandboxes.to_string());
    row("slots", of(taken.slots, most.slots, 1, ""));
    row("processors", of(taken.cpu_milli, most.cpu_milli, 1000, ""));
    row("memory", of(taken.memory_mb, most.memory_mb, 1, " MiB"));
    row("disk", of(taken.disk_mb, most.disk_mb, 1, " MiB"));
    for (key, value) in &host.labels {
        row(&format!("label {key}"), value.clone());
    }
    if let Some(why) = &host.unreachable {
        row("unreachable", why.clone());
    }
    if let Some(probe) = &host.probe {
        row("seen", format!("{} ago", human::between(probe.at, context.clock.now())));
        figures(&mut row, &probe.snapshot);
        for (backend, view) in &probe.backends {
            found(&mut row, backend, view);
        }
    }
    table.print()
}

/// What was measured, a row each; what was not is left out.
pub(crate) fn figures(row: &mut impl FnMut(&str, String), seen: &HostSnapshot) {
    if let (Some(one), Some(five), Some(fifteen)) = (seen.load_1m, seen.load_5m, seen.load_15m) {
        let processors = seen
            .cpu_count
            .map_or_else(String::new, |count| format!(" on {count} processors"));
        row("load", format!("{one} {five} {fifteen}{processors}"));
    }
    if let (Some(free), Some(all)) = (seen.mem_available_mb, seen.mem_total_mb) {
        row("memory free", format!("{free} of {all} MiB"));
    }
    if let (Some(free), Some(used)) = (seen.disk_root_avail_gb, seen.disk_root_used_pct) {
        row("disk free", format!("{free:.1} GiB, {used:.0} % used"));
    }
    if let Some(running) = seen.running_containers {
        let ours = seen
            .sandbox_containers
            .map_or_else(String::new, |ours| format!(", {ours} of sandboxes"));
        row("containers", format!("{running}{ours}"));
    }
}

/// What one backend found, a row each.
pub(crate) fn found(row: &mut impl FnMut(&str, String), backend: &str, view: &BackendView) {
    let facts: Vec<String> = view
        .facts
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    if !facts.is_empty() {
        row(backend, facts.join(", "));
    }
    for missing in &view.missing {
        row(backend, format!("lacks: {missing}"));
    }
}
