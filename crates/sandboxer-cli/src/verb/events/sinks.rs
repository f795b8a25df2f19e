//! `events sinks`: where events are sent, and how delivery stands.

use sandboxer_model::error::UserError;
use sandboxer_model::sink::{SinkState, SinkStatus};

use crate::context::{Context, Format};
use crate::output::table::Columns;
use crate::output::{human, json};

/// Lists sinks in order of id.
///
/// # Errors
/// Those of the engine.
pub(super) async fn sinks(context: &Context) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let sinks = context.service(&reporter).await?.sinks().await?;
    reporter.close();
    print(context, &sinks)?;
    Ok(0)
}

/// Prints sinks.
///
/// # Errors
/// Standard output cannot be written.
pub(in crate::verb) fn print(context: &Context, sinks: &[SinkStatus]) -> Result<(), UserError> {
    if context.format == Format::Json {
        return json::print(sinks);
    }
    let now = context.clock.now();
    let headlines = ["ID", "STATE", "URL", "EVENTS", "WAITING", "GIVEN-UP", "TROUBLE"];
    let mut table = Columns::new(context.paint, &headlines);
    for one in sinks {
        let paused = one
            .paused_until
            .map(|until| format!(" (next try in {})", human::between(now, until)));
        let trouble = one.sink.reason.as_ref().or(one.last_error.as_ref());
        let state = match one.sink.state {
            SinkState::Active => context.paint.good(one.sink.state.name()),
            SinkState::Disabled => context.paint.bad(one.sink.state.name()),
        };
        table.row([
            one.sink.sink_id.clone(),
            state,
            one.sink.url.clone(),
            match one.sink.events.as_slice() {
                [] => "all".to_owned(),
                kinds => kinds.join(","),
            },
            one.waiting.to_string(),
            one.dead.to_string(),
            trouble.map_or_else(|| "-".to_owned(), |why| format!("{why}{}", paused.unwrap_or_default())),
        ]);
    }
    table.print()
}
