//! `inspect`: how hosts are right now. Nothing is changed.

mod host;
mod stale;

use sandboxer_model::error::UserError;

use crate::args::InspectVerb;
use crate::context::Context;

pub(crate) use stale::tell_of_sight;

/// Does one of the verbs.
///
/// # Errors
/// Those of the verb.
pub(crate) async fn inspect(context: &Context, verb: InspectVerb) -> Result<u8, UserError> {
    match verb {
        InspectVerb::Host { host } => host::host(context, host).await,
        InspectVerb::Stale(args) => stale::stale(context, args).await,
    }
}
