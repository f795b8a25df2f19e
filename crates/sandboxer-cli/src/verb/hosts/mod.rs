//! `hosts`: the machines that sandboxes are put on. One file per verb; what they print is in `show` and `list`.

mod add;
mod list;
mod probe;
mod remove;
pub(crate) mod show;
mod switch;

use sandboxer_model::error::UserError;

use crate::args::HostsVerb;
use crate::context::Context;

/// Does one of the verbs.
///
/// # Errors
/// Those of the verb.
pub(crate) async fn hosts(context: &Context, verb: HostsVerb) -> Result<u8, UserError> {
    match verb {
        HostsVerb::List => list::list(context).await,
        HostsVerb::Show(args) => show::show(context, &args.host).await,
        HostsVerb::Add(args) => add::add(context, args).await,
        HostsVerb::Probe(args) => probe::probe(context, args).await,
        HostsVerb::Drain(args) => switch::drain(context, &args.host).await,
        HostsVerb::Activate(args) => switch::activate(context, &args.host).await,
        HostsVerb::Remove(args) => remove::remove(context, &args).await,
    }
}
