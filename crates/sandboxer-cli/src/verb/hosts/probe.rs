//! `hosts probe`: look at hosts again.

use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::registry::HostStatus;

use super::{list, show};
use crate::args::ProbeArgs;
use crate::context::Context;

/// Looks at one host, or at all.
///
/// # Errors
/// `Unavailable` when one does not answer, once all were asked.
pub(super) async fn probe(context: &Context, args: ProbeArgs) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let mut seen = Vec::new();
    match &args.host {
        Some(host) => seen.push(service.probe_host(host).await?),
        None => {
            for known in service.hosts().await? {
                seen.push(service.probe_host(&known.host.name).await?);
            }
        }
    }
    reporter.close();
    match (&args.host, seen.as_slice()) {
        (Some(_), [one]) => show::print(context, one)?,
        _ => list::print(context, &seen)?,
    }
    let mut silent = seen.iter().filter_map(why_silent);
    let Some(first) = silent.next() else { return Ok(0) };
    let error = UserError::new(ErrorCode::Unavailable, first)
        .hint("it takes no new sandboxes until it answers: see whether `ssh` reaches it, and probe again");
    Err(silent.fold(error, |error, other| error.hint(format!("also: {other}"))))
}

fn why_silent(status: &HostStatus) -> Option<String> {
    let why = status.host.unreachable.as_ref()?;
    Some(format!("host `{}` does not answer: {why}", status.host.name))
}
