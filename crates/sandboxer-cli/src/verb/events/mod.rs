//! `events`: what happened, who is told, and what is still to be sent.

mod follow;
mod list;
mod redeliver;
pub(super) mod sinks;

use sandboxer_model::error::UserError;

use crate::args::{EventsArgs, EventsVerb};
use crate::context::Context;

/// Does one of the verbs; without any, events are listed.
///
/// # Errors
/// Those of the verb.
pub(crate) async fn events(context: &Context, args: EventsArgs) -> Result<u8, UserError> {
    match (args.verb, args.id) {
        (None, id) if args.follow => follow::follow(context, id.as_deref()).await,
        (None, id) => list::list(context, id.as_deref()).await,
        (Some(EventsVerb::Sinks), _) => sinks::sinks(context).await,
        (Some(EventsVerb::Redeliver(args)), _) => redeliver::redeliver(context, args).await,
    }
}
