//! `webhooks`: addresses that are told what happens.

mod add;
mod test;

use sandboxer_model::error::UserError;

use super::events::sinks;
use crate::args::WebhooksVerb;
use crate::context::Context;

/// Does one of the verbs.
///
/// # Errors
/// Those of the verb.
pub(crate) async fn webhooks(context: &Context, verb: WebhooksVerb) -> Result<u8, UserError> {
    match verb {
        WebhooksVerb::Add(args) => add::add(context, args).await,
        WebhooksVerb::List => list(context).await,
        WebhooksVerb::Remove(args) => remove(context, &args.id).await,
        WebhooksVerb::Test(args) => test::test(context, &args.id).await,
    }
}

async fn list(context: &Context) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let webhooks = context.service(&reporter).await?.webhooks().await?;
    reporter.close();
    sinks::print(context, &webhooks)?;
    Ok(0)
}

/// Forgets a webhook, and shows it a last time.
async fn remove(context: &Context, id: &str) -> Result<u8, UserError> {
    let reporter = context.reporter();
    let webhook = context.service(&reporter).await?.remove_webhook(id).await?;
    reporter.close();
    sinks::print(context, std::slice::from_ref(&webhook))?;
    Ok(0)
}
