//! The verbs about what happened, and who is told.

use clap::{Args, Subcommand};

// `events`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct EventsArgs {
    /// Id of the sandbox, or any unique beginning of it; all of them when left out
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Go on as more happens, from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    #[command(subcommand)]
    pub(crate) verb: Option<EventsVerb>,
}

// `events …`.
#[derive(Debug, Subcommand)]
pub(crate) enum EventsVerb {
    /// Show where events are sent, and how delivery stands
    #[command(after_help = "Example:\n  sandboxer events sinks")]
    Sinks,
    /// Send again what was given up, and at once what waits for another try
    #[command(after_help = "\
A webhook that was disabled and is named with --sink is enabled again.

Examples:
  sandboxer events redeliver
  sandboxer events redeliver --sink state-hub sbx-01k")]
    Redeliver(RedeliverArgs),
}

// `events redeliver`.
#[derive(Debug, Args)]
pub(crate) struct RedeliverArgs {
    /// Id of the sandbox, or any unique beginning of it; all of them when left out
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Only to this one: state-hub, or the id of a webhook
    #[arg(long, value_name = "SINK")]
    pub(crate) sink: Option<String>,
}

// `webhooks …`.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksVerb {
    /// Send what happens from now on to an address; prints the secret its messages are signed with, once
    #[command(after_help = "\
Only https:// to public addresses is taken, unless SANDBOXER_OUTBOUND_ALLOW names the place.

Examples:
  sandboxer webhooks add https://example.org/hooks/sandboxes
  sandboxer webhooks add https://example.org/hooks --event state.ready --event 'ttl.*'")]
    Add(AddWebhookArgs),
    /// List webhooks, and how delivery stands
    #[command(after_help = "Example:\n  sandboxer webhooks list")]
    List,
    /// Forget a webhook, and what was still to be sent there
    #[command(after_help = "Example:\n  sandboxer webhooks remove hook-01k")]
    Remove(WebhookArg),
    /// Send a webhook a message of kind webhook.test, and show what it answers
    #[command(after_help = "Example:\n  sandboxer webhooks test hook-01k")]
    Test(WebhookArg),
}

// `webhooks add`.
#[derive(Debug, Args)]
pub(crate) struct AddWebhookArgs {
    /// Where messages go
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Only events of this kind, such as state.ready or state.*; may be repeated
    #[arg(long = "event", value_name = "KIND")]
    pub(crate) events: Vec<String>,
}

// One webhook.
#[derive(Debug, Args)]
pub(crate) struct WebhookArg {
    /// Id of the webhook, or any unique beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}
