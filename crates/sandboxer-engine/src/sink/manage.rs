//! Adding, removing, testing sinks; bringing back what was given up.

use std::collections::BTreeMap;

use sandboxer_extension::port::{ChosenBy, origin};
use sandboxer_model::error::{ErrorCode, UserError};
use sandboxer_model::event::Event;
use sandboxer_model::id::{EventId, SandboxId, WebhookId};
use sandboxer_model::sink::{STATE_HUB, Sink, SinkKind, SinkState, SinkStatus};
use sandboxer_store::{DueSink, Undelivered};

use super::webhook;
use crate::api::{AddWebhook, AddedWebhook, ListedEvent, Redelivered, TestedWebhook, Waiting};
use crate::engine::Engine;

/// Kinds that one webhook may choose.
const MOST_KINDS: usize = 32;
/// Webhooks of one installation.
const MOST_WEBHOOKS: usize = 100;

impl Engine {
    /// Makes the State Hub of the settings known, so that events are kept for it.
    pub(crate) async fn do_announce(&self) -> Result<(), UserError> {
        let Some(url) = &self.settings.state_hub else {
            return Ok(());
        };
        let hub = Sink {
            sink_id: STATE_HUB.to_owned(),
            kind: SinkKind::StateHub,
            url: url.clone(),
            events: Vec::new(),
            state: SinkState::Active,
            reason: None,
            added_at: self.ports.clock.now(),
        };
        Ok(self.ports.store.keep_sink(&hub, None).await?)
    }

    pub(crate) async fn do_add_webhook(&self, new: &AddWebhook) -> Result<AddedWebhook, UserError> {
        check_kinds(&new.events)?;
        if let Some(outbound) = &self.ports.outbound
            && let Err(refused) = outbound.admits(&new.url, ChosenBy::User)
        {
            let what = format!("nothing can be sent to `{}`: {}", origin(&new.url), refused.why);
            return Err(UserError::new(ErrorCode::InvalidInput, what));
        }
        let there = self.webhooks().await?;
        if let Some(same) = there
            .iter()
            .find(|one| one.sink.url == new.url && one.sink.events == new.events)
        {
            let what = format!("{} sends these events to this address already", same.sink.sink_id);
            return Err(UserError::new(ErrorCode::WrongState, what).hint(format!(
                "remove it first with `sandboxer webhooks remove {}`",
                same.sink.sink_id
            )));
        }
        if there.len() >= MOST_WEBHOOKS {
            let what = format!("there are {MOST_WEBHOOKS} webhooks already");
            return Err(UserError::new(ErrorCode::WrongState, what).hint("remove one with `sandboxer webhooks remove`"));
        }
        let key = self.ports.ids.key().map_err(|error| {
            let what = format!("cannot make a secret: this machine gives no randomness: {error}");
            UserError::new(ErrorCode::Internal, what)
        })?;
        let secret = webhook::secret(&key);
        let sink = Sink {
            sink_id: WebhookId::from_uuid(self.ports.ids.uuid()).to_string(),
            kind: SinkKind::Webhook,
            url: new.url.clone(),
            events: new.events.clone(),
            state: SinkState::Active,
            reason: None,
            added_at: self.ports.clock.now(),
        };
        self.ports.store.keep_sink(&sink, Some(&secret)).await?;
        Ok(AddedWebhook { sink, secret: secret.0 })
    }

    pub(crate) async fn webhooks(&self) -> Result<Vec<SinkStatus>, UserError> {
        let mut sinks = self.ports.store.sinks().await?;
        sinks.retain(|one| one.sink.kind == SinkKind::Webhook);
        Ok(sinks)
    }

    pub(crate) async fn do_remove_webhook(&self, id: &str) -> Result<SinkStatus, UserError> {
        let webhook = self.find_webhook(id).await?;
        self.ports.store.remove_sink(&webhook.sink.sink_id).await?;
        Ok(webhook)
    }

    pub(crate) async fn do_test_webhook(&self, id: &str) -> Result<TestedWebhook, UserError> {
        let id = self.find_webhook(id).await?.sink.sink_id;
        let DueSink { sink, secret, .. } = self.ports.store.sink(&id).await?;
        let Some(outbound) = &self.ports.outbound else {
            return Err(UserError::new(
                ErrorCode::Unsupported,
                "this process makes no calls to other services",
            ));
        };
        let message_id = EventId::from_uuid(self.ports.ids.uuid()).to_string();
        let started = self.ports.clock.monotonic();
        let request = webhook::test(&sink.url, secret.as_ref(), &message_id, self.ports.clock.now());
        let reply = outbound.send(request).await.map_err(|error| {
            UserError::new(ErrorCode::Unavailable, error.to_string()).hint(format!(
                "events are kept and sent later; see how it stands with `sandboxer webhooks list`, or remove it with \
                 `sandboxer webhooks remove {id}`"
            ))
        })?;
        let took = self.ports.clock.monotonic().saturating_sub(started);
        Ok(TestedWebhook {
            sink_id: id,
            message_id,
            status: reply.status,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            accepted: (200..300).contains(&reply.status),
        })
    }

    pub(crate) async fn do_redeliver(
        &self,
        sink: Option<&str>,
        sandbox: Option<&str>,
    ) -> Result<Redelivered, UserError> {
        let sandbox = match sandbox {
            Some(id) => Some(self.ports.store.find_sandbox(id).await?.sandbox.sandbox_id),
            None => None,
        };
        let sink = match sink {
            Some(STATE_HUB) => Some(STATE_HUB.to_owned()),
            Some(id) => Some(self.find_webhook(id).await?.sink.sink_id),
            None => None,
        };
        let mut enabled = Vec::new();
        if let Some(id) = &sink
            && self.ports.store.sink(id).await?.sink.state == SinkState::Disabled
        {
            self.ports.store.switch_sink(id, SinkState::Active, None).await?;
            enabled.push(id.clone());
        }
        let due = self.ports.store.bring_back(sink.as_deref(), sandbox.as_ref()).await?;
        Ok(Redelivered { due, enabled })
    }

    pub(crate) async fn do_listed_events(&self, id: Option<&str>) -> Result<Vec<ListedEvent>, UserError> {
        let events = self.do_events(id).await?;
        let sandbox = match (id, events.first()) {
            (Some(_), Some(event)) => Some(&event.sandbox_id),
            _ => None,
        };
        let sinks = self.ports.store.sinks().await?;
        let mut behind: BTreeMap<SandboxId, Vec<Undelivered>> = BTreeMap::new();
        if !sinks.is_empty() {
            for one in self.ports.store.undelivered(sandbox).await? {
                behind.entry(one.sandbox_id.clone()).or_default().push(one);
            }
        }
        let wants = |sink: &str, event: &Event| {
            sinks
                .iter()
                .any(|one| one.sink.sink_id == sink && one.sink.wants(&event.kind))
        };
        Ok(events
            .into_iter()
            .map(|event| {
                let there = behind.get(&event.sandbox_id).into_iter().flatten();
                let undelivered = there
                    .filter(|one| one.delivered < event.seq && wants(&one.sink_id, &event))
                    .map(|one| {
                        let state = if one.dead { Waiting::GivenUp } else { Waiting::Waiting };
                        (one.sink_id.clone(), state)
                    })
                    .collect();
                ListedEvent { event, undelivered }
            })
            .collect())
    }

    /// The webhook whose id is this or starts with it, with or without `hook-`.
    async fn find_webhook(&self, id: &str) -> Result<SinkStatus, UserError> {
        let lower = id.trim().to_ascii_lowercase();
        let body = lower.strip_prefix("hook-").unwrap_or(&lower);
        let whole = format!("hook-{body}");
        let mut fitting = self.webhooks().await?;
        fitting.retain(|one| one.sink.sink_id.starts_with(&whole));
        match (fitting.pop(), fitting.pop()) {
            (Some(one), None) if !body.is_empty() => Ok(one),
            (Some(_), _) => Err(
                UserError::new(ErrorCode::Ambiguous, format!("`{id}` fits several webhooks"))
                    .hint("give more characters of the id; `sandboxer webhooks list` shows them"),
            ),
            (None, _) => Err(
                UserError::new(ErrorCode::NotFound, format!("there is no webhook `{id}`"))
                    .hint("see what there is with `sandboxer webhooks list`"),
            ),
        }
    }
}

fn check_kinds(kinds: &[String]) -> Result<(), UserError> {
    let letters = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let is_kind = |kind: &str| match kind.split_once('.') {
        Some((family, rest)) => letters(family) && (rest == "*" || letters(rest)),
        None => false,
    };
    if let Some(wrong) = kinds.iter().find(|kind| kind.len() > 64 || !is_kind(kind)) {
        let short: String = wrong.chars().take(64).collect();
        let what = format!("`{short}` is no kind of event");
        return Err(UserError::new(ErrorCode::InvalidInput, what).hint(
            "write for example state.ready, or state.* for all of a family; `sandboxer events` shows the kinds",
        ));
    }
    if kinds.len() > MOST_KINDS {
        let what = format!("a webhook chooses {MOST_KINDS} kinds of events at most");
        return Err(UserError::new(ErrorCode::InvalidInput, what).hint("leave them out to get all of them"));
    }
    Ok(())
}
