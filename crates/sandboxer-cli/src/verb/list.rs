//! `list`: show sandboxes, newest first.

use sandboxer_engine::api::ListFilter;
use sandboxer_model::error::UserError;
use sandboxer_model::sandbox::Sandbox;

use crate::args::ListArgs;
use crate::context::{Context, Format};
use crate::output::table::Columns;
use crate::output::{human, json, sandbox};
use crate::value;

/// Lists sandboxes.
///
/// # Errors
/// A filter is wrong; those of the engine.
pub(crate) async fn list(context: &Context, args: ListArgs) -> Result<u8, UserError> {
    let states = args
        .states
        .iter()
        .map(|text| value::state("--state", text))
        .collect::<Result<_, _>>()?;
    let labels = value::pairs("--label", &args.labels)?;
    let filter = ListFilter {
        states,
        all: args.all,
        profile: args.profile,
        project: args.project,
        labels,
    };
    let reporter = context.reporter();
    let sandboxes = context.service(&reporter).await?.list(filter).await?;
    reporter.close();
    match context.format {
        Format::Json => json::print(&sandboxes)?,
        Format::Table => print_table(context, &sandboxes)?,
    }
    Ok(0)
}

fn print_table(context: &Context, sandboxes: &[Sandbox]) -> Result<(), UserError> {
    let now = context.clock.now();
    let mut table = Columns::new(
        context.paint,
        &[
            "ID", "STATE", "PROFILE", "BACKEND", "HOST", "AGE", "TTL-LEFT", "PROJECT",
        ],
    );
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    for one in sandboxes {
        let left = one
            .expires_at
            .filter(|_| one.state.is_usable())
            .map(|deadline| human::between(now, deadline));
        table.row([
            one.sandbox_id.to_string(),
            sandbox::state(context.paint, one.state),
            one.profile_id.clone(),
            or_dash(one.extension_id.as_deref()),
            or_dash(one.host.as_deref()),
            human::between(one.created_at, now),
            or_dash(left.as_deref()),
            or_dash(one.consumer.project.as_deref()),
        ]);
    }
    table.print()
}
