//! `inspect host`: measure a host, and list what looks like a sandbox there.

use sandboxer_engine::api::HostInspection;
use sandboxer_model::error::UserError;

use crate::context::{Context, Format};
use crate::env;
use crate::output::json;
use crate::output::table::Columns;
use crate::verb::hosts::show;

/// Inspects one host, or all that are registered.
///
/// # Errors
/// The first host that cannot be looked at, once all were tried.
pub(super) async fn host(context: &Context, host: Option<String>) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let named = host.or_else(|| env::HOST.get().map(|host| host.to_string_lossy().into_owned()));
    if let Some(host) = named {
        let seen = service.inspect_host(&host).await?;
        reporter.close();
        match context.format {
            Format::Json => json::print(&seen)?,
            Format::Table => print(context, &seen)?,
        }
        return Ok(0);
    }
    let (mut seen, mut errors) = (Vec::new(), Vec::new());
    for known in service.hosts().await? {
        match service.inspect_host(&known.host.name).await {
            Ok(one) => seen.push(one),
            Err(error) => errors.push(error),
        }
    }
    reporter.close();
    match context.format {
        Format::Json => json::print(&seen)?,
        Format::Table => seen.iter().try_for_each(|one| print(context, one))?,
    }
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(0) };
    Err(errors.fold(first, |first, other| first.hint(format!("also: {}", other.message))))
}

fn print(context: &Context, seen: &HostInspection) -> Result<(), UserError> {
    let mut table = Columns::new(context.paint, &[]);
    let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
    row("host", seen.host.clone());
    row("address", seen.address.clone());
    show::figures(&mut row, &seen.snapshot);
    for (backend, view) in &seen.backends {
        show::found(&mut row, backend, view);
    }
    for entry in &seen.inventory.entries {
        let age = entry
            .age_hours
            .map_or_else(String::new, |hours| format!(", {hours} h old"));
        let from = entry
            .profile_hint
            .as_ref()
            .map_or_else(String::new, |profile| format!(", {profile}"));
        row(
            &entry.kind,
            format!("{}{from}{age}", entry.path.as_ref().unwrap_or(&entry.id)),
        );
    }
    if let Some(why) = &seen.inventory.incomplete {
        row("incomplete", why.clone());
    }
    table.print()
}
