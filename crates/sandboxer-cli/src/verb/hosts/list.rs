//! `hosts list`.

use sandboxer_model::error::UserError;
use sandboxer_model::registry::{HostState, HostStatus};

use crate::context::{Context, Format};
use crate::output::color::Paint;
use crate::output::table::Columns;
use crate::output::{human, json};

/// Lists hosts in order of name.
///
/// # Errors
/// Those of the engine.
pub(super) async fn list(context: &Context) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let hosts = context.service(&reporter).await?.hosts().await?;
    reporter.close();
    print(context, &hosts)?;
    Ok(0)
}

/// Prints hosts.
///
/// # Errors
/// Standard output cannot be written.
pub(super) fn print(context: &Context, hosts: &[HostStatus]) -> Result<(), UserError> {
    if context.format == Format::Json {
        return json::print(hosts);
    }
    let now = context.clock.now();
    let headlines = [
        "NAME",
        "STATE",
        "ADDRESS",
        "SANDBOXES",
        "SLOTS",
        "CPU",
        "MEMORY",
        "DISK-FREE",
        "LOAD",
        "SEEN",
    ];
    let mut table = Columns::new(context.paint, &headlines);
    for one in hosts {
        let (host, taken, most) = (&one.host, &one.reserved, &one.host.capacity);
        let seen = host.probe.as_ref();
        let figure = |figure: Option<f64>, unit: &str| {
            figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.1}{unit}"))
        };
        table.row([
            host.name.clone(),
            state(context.paint, host.state),
            host.address.to_string(),
            one.sandboxes.to_string(),
            of(taken.slots, most.slots, 1, ""),
            of(taken.cpu_milli, most.cpu_milli, 1000, ""),
            of(taken.memory_mb, most.memory_mb, 1, " MiB"),
            figure(seen.and_then(|seen| seen.snapshot.disk_root_avail_gb), " GiB"),
            figure(seen.and_then(|seen| seen.snapshot.load_1m), ""),
            seen.map_or_else(
                || "never".to_owned(),
                |seen| format!("{} ago", human::between(seen.at, now)),
            ),
        ]);
    }
    table.print()
}

/// The state of a host in the color of its meaning.
pub(super) fn state(paint: Paint, state: HostState) -> String {
    match state {
        HostState::Active => paint.good(state.name()),
        HostState::Draining => paint.warn(state.name()),
        HostState::Down => paint.bad(state.name()),
    }
}

/// How much is taken of how much.
pub(super) fn of(taken: u64, most: Option<u64>, per_unit: u64, unit: &str) -> String {
    let whole = |n: u64| match per_unit {
        1 => n.to_string(),
        per_unit => format!("{}", n as f64 / per_unit as f64),
    };
    match most {
        Some(most) => format!("{}/{}{unit}", whole(taken), whole(most)),
        None => format!("{}{unit}", whole(taken)),
    }
}
