//! `destroy`: remove sandboxes and show the proof.

use sandboxer_engine::api::Destroyed;
use sandboxer_model::cleanup::Presence;
use sandboxer_model::error::{ErrorCode, UserError};

use crate::args::DestroyArgs;
use crate::context::{Context, Format};
use crate::output::{json, sandbox};

/// Destroys sandboxes, each whatever became of the others.
///
/// # Errors
/// The first error, once all were tried.
pub(crate) async fn destroy(context: &Context, args: DestroyArgs) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let service = context.service(&reporter).await?;
    let mut receipts = Vec::new();
    let mut errors = Vec::new();
    for id in &args.ids {
        match service.destroy(id, &reporter).await {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => errors.push(error),
        }
    }
    reporter.close();
    print(context, &receipts, args.ids.len() == 1)?;
    let stuck = receipts.iter().find(|receipt| !receipt.state.is_gone()).map(not_gone);
    let mut errors = errors.into_iter().chain(stuck);
    let Some(first) = errors.next() else { return Ok(0) };
    Err(errors.fold(first, |first, other| first.hint(format!("also: {}", other.message))))
}

fn not_gone(receipt: &Destroyed) -> UserError {
    let why = receipt
        .error
        .as_ref()
        .map_or("its absence could not be proven", |error| &error.message);
    UserError::new(
        ErrorCode::Stuck,
        format!("{} is still {}: {why}", receipt.sandbox_id, receipt.state),
    )
    .hint("destroy it again once the cause is gone")
}

fn print(context: &Context, receipts: &[Destroyed], single: bool) -> Result<(), UserError> {
    match (context.format, receipts) {
        (Format::Json, [receipt]) if single => json::print(receipt),
        // Nothing is known of the only one: the error says it all.
        (Format::Json, []) if single => Ok(()),
        (Format::Json, receipts) => json::print(receipts),
        (Format::Table, receipts) => json::print_text(
            &receipts
                .iter()
                .map(|receipt| card(context, receipt))
                .collect::<String>(),
        ),
    }
}

fn card(context: &Context, receipt: &Destroyed) -> String {
    let paint = context.paint;
    let already = if receipt.already { "  (it was gone already)" } else { "" };
    let mut text = format!(
        "{}  {}{already}\n",
        paint.strong(receipt.sandbox_id.as_str()),
        sandbox::state(paint, receipt.state)
    );
    for item in receipt.cleanup.iter().flat_map(|cleanup| &cleanup.items) {
        let now = match (item.found, item.now) {
            (true, Presence::Absent) => paint.good("removed"),
            (false, Presence::Absent) => paint.dim("not there"),
            (_, Presence::Present) => paint.bad("still there"),
            (_, Presence::Unknown) => paint.warn("unknown"),
        };
        let detail = if item.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", item.detail)
        };
        text.push_str(&format!("  {} {} {now}{detail}\n", item.kind, item.name));
    }
    text
}
