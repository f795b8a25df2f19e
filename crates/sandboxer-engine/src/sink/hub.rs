//! An event as a progress entry of the State Hub.
//!
//! `POST {url}/progress/` with `summary`, `event_type`, `author`, `detail`. The header `Idempotency-Key` is made of sandbox
//! and number, so a hub or a relay before it stores an entry once: it answers a repeat as it did the first time, or 409 if
//! the text differs. A relay whose hub is away answers with a receipt of its own shape; nothing of an answer is read.

use sandboxer_extension::port::{ChosenBy, OutboundRequest};
use sandboxer_model::event::Event;
use sandboxer_model::lifecycle::State;
use sandboxer_model::sandbox::Sandbox;
use serde_json::{Map, Value, json};

use crate::reconcile::REQUEST_TIMEOUT;

/// Who speaks.
const AUTHOR: &str = "sandboxer";
/// Characters of a summary.
const LONGEST_SUMMARY: usize = 300;

/// What kind of entry an event is.
fn event_type(event: &Event) -> &'static str {
    if !event.kind.starts_with("state.") {
        return "note";
    }
    match event.state {
        State::Ready | State::Expired | State::Destroyed => "milestone",
        State::Failed => "blocker",
        State::Requested | State::Provisioning | State::Active | State::Destroying => "note",
    }
}

/// The entry of an event. Inputs stay here, and so do the values of labels: both are what users write, whatever that is.
pub(crate) fn request(url: &str, event: &Event, sandbox: &Sandbox) -> OutboundRequest {
    let summary = format!("sandbox {}: {}", event.sandbox_id, event.summary);
    let body = json!({
        "summary": one_line(&summary),
        "event_type": event_type(event),
        "author": AUTHOR,
        "detail": detail(event, sandbox),
    });
    OutboundRequest {
        method: "POST".to_owned(),
        url: format!("{}/progress/", url.trim_end_matches('/')),
        chosen_by: ChosenBy::Operator,
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
            (
                "idempotency-key".to_owned(),
                format!("{}-{}", event.sandbox_id, event.seq),
            ),
        ],
        body: body.to_string().into_bytes(),
        timeout: REQUEST_TIMEOUT,
    }
}

fn detail(event: &Event, sandbox: &Sandbox) -> Value {
    let mut detail = match &event.detail {
        Value::Object(facts) => facts.clone(),
        Value::Null => Map::new(),
        other => Map::from_iter([("fact".to_owned(), other.clone())]),
    };
    if let Some(Value::Object(labels)) = detail.get("labels") {
        detail.insert("labels".to_owned(), json!(labels.keys().collect::<Vec<_>>()));
    }
    // A stretch of life that began later is no part of this event.
    let ready_at = sandbox.ready_at.filter(|at| *at <= event.at);
    let known = [
        ("sandbox_id", json!(event.sandbox_id)),
        ("seq", json!(event.seq)),
        ("kind", json!(event.kind)),
        ("state", json!(event.state)),
        ("reason", json!(event.reason)),
        ("profile_id", json!(sandbox.profile_id)),
        ("extension_id", json!(sandbox.extension_id)),
        ("host", json!(sandbox.host)),
        ("consumer", json!(sandbox.consumer)),
        ("actor_type", json!(sandbox.consumer.actor)),
        (
            "timestamps",
            json!({ "at": event.at, "created_at": sandbox.created_at, "ready_at": ready_at }),
        ),
    ];
    for (name, value) in known {
        if !value.is_null() {
            detail.entry(name).or_insert(value);
        }
    }
    let ends = matches!(event.state, State::Expired | State::Destroyed) && event.kind.starts_with("state.");
    if ends {
        let then = [
            ("ttl", json!(sandbox.ttl)),
            ("expires_at", json!(sandbox.expires_at)),
            ("reachability", json!(sandbox.reachability)),
            ("meter", json!(sandbox.meter)),
        ];
        for (name, value) in then.into_iter().filter(|(_, value)| !value.is_null()) {
            detail.entry(name).or_insert(value);
        }
    }
    Value::Object(detail)
}

fn one_line(text: &str) -> String {
    let line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST_SUMMARY)
        .collect();
    line.trim_end().to_owned()
}
