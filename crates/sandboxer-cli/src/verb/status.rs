//! `status`: how the whole stands.

use sandboxer_engine::api::{ReconcilerStatus, Status};
use sandboxer_model::error::{ErrorCode, UserError};

use crate::context::{Context, Format};
use crate::output::table::Columns;
use crate::output::{human, json};

/// Shows how the whole stands; touches nothing.
///
/// # Errors
/// The database cannot be used; `Stuck` with `--check` when an operator should look.
pub(crate) async fn status(context: &Context, check: bool) -> Result<u8, UserError> {
    // Not preceded by recovery, which would change what is to be shown.
    let service = context.service_to_look().await?;
    let status = service.status().await?;
    match context.format {
        Format::Json => json::print(&status)?,
        Format::Table => print(context, &status)?,
    }
    match status.problems.as_slice() {
        [first, others @ ..] if check => {
            let error = UserError::new(ErrorCode::Stuck, first.clone());
            let error = others
                .iter()
                .fold(error, |error, other| error.hint(format!("also: {other}")));
            Err(error.hint("see `sandboxer explain ID` for the step a sandbox is at"))
        }
        _ => Ok(0),
    }
}

fn print(context: &Context, status: &Status) -> Result<(), UserError> {
    let paint = context.paint;
    let mut table = Columns::new(paint, &["RECONCILER", "LAST", "TOOK", "DID", "NEXT", "BY"]);
    for one in &status.reconcilers {
        let last = one.last.as_ref();
        table.row([
            one.name.clone(),
            last.map_or_else(
                || "never".to_owned(),
                |last| format!("{} ago", human::between(last.at, status.at)),
            ),
            last.map_or_else(|| "-".to_owned(), |last| format!("{} ms", last.took_ms)),
            result(context, one),
            next(one, status),
            one.running_by
                .as_deref()
                .or(last.map(|last| last.by.as_str()))
                .map_or_else(|| "-".to_owned(), process),
        ]);
    }
    table.print()?;
    let mut lines = Columns::new(paint, &[]);
    let counted = |counts: &std::collections::BTreeMap<String, u64>| {
        let counts: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        if counts.is_empty() {
            "none".to_owned()
        } else {
            counts.join(", ")
        }
    };
    let fact = |name: &str| paint.dim(name);
    lines.row([
        fact("server"),
        status.served_by.as_deref().map_or_else(
            || "none: deadlines are kept by guards and by each command".to_owned(),
            |server| format!("process {}", process(server)),
        ),
    ]);
    lines.row([fact("sandboxes"), counted(&status.sandboxes)]);
    lines.row([fact("operations"), counted(&status.operations)]);
    for host in &status.hosts {
        let away = host.unreachable_since.map_or_else(String::new, |since| {
            format!(", does not answer for {}", human::between(since, status.at))
        });
        let what = format!("{}, {} sandboxes{away}", host.state.name(), host.sandboxes);
        lines.row([fact("host"), format!("{}: {what}", host.name)]);
    }
    lines.row([fact("events"), format!("{} not delivered", status.undelivered_events)]);
    if let Some(since) = status.overdue_since {
        lines.row([
            fact("overdue"),
            format!("{} since a deadline", human::between(since, status.at)),
        ]);
    }
    for problem in &status.problems {
        lines.row([paint.warn("problem"), problem.clone()]);
    }
    json::print_text("\n")?;
    lines.print()
}

fn result(context: &Context, one: &ReconcilerStatus) -> String {
    let Some(last) = &one.last else { return "-".to_owned() };
    match (&last.error, last.did.actions.len(), last.did.open.len()) {
        (Some(error), ..) => context.paint.bad(error),
        (None, 0, 0) => context.paint.good("nothing to do"),
        (None, done, 0) => context.paint.good(&format!("{done} done")),
        (None, done, open) => context.paint.warn(&format!("{done} done, {open} open")),
    }
}

fn next(one: &ReconcilerStatus, status: &Status) -> String {
    match one.due_at {
        _ if one.running_by.is_some() => "running".to_owned(),
        Some(due) if due > status.at => format!("in {}", human::between(status.at, due)),
        Some(_) | None => "due".to_owned(),
    }
}

/// The number of a process, out of its name as an owner of leases.
fn process(owner: &str) -> String {
    owner.split('/').nth(1).unwrap_or(owner).to_owned()
}
