//! Events of everything a caller may see: as they happen, or page by page.

use axum::http::Method;
use axum::http::header::{ACCEPT, HeaderName};
use sandboxer_api::identity::Grant;
use sandboxer_api::page::{DEFAULT_LIMIT, MOST, Page};
use sandboxer_api::sinks::FollowedEvent;
use sandboxer_model::error::{ErrorCode, UserError};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::Call;
use crate::follow::stream::{Surroundings, follow};
use crate::route::{Access, NoBody, Route, on};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Their routes.
pub(super) fn routes() -> Vec<Route> {
    vec![
        on(Method::GET, "/v1/events", "event.stream", Access::Grant(Grant::EventsRead))
            .summary("Events of everything that the key may see, in the order of their commits.")
            .notes(
                "A stream (`text/event-stream`): `id` is the position, `event` the kind, `data` the event. It begins behind \
                 `Last-Event-ID` or `after`, or else with what happens from now on; every 15 s without an event there is a \
                 comment. With `Accept: application/json` it is one page of them, from the first or from behind `after`.",
            )
            .query::<EventsQuery>()
            .reads_much()
            .answers_bytes(200, "text/event-stream", "The stream, or a page of it.")
            .answers::<Page<FollowedEvent>>(200, "The page.")
            .by(events),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    /// The position behind which to begin.
    after: Option<u64>,
    /// Events of a page, 1 to 200; 100 when left out. A stream has no pages.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u32>,
}

async fn events(call: Call, query: EventsQuery, _: NoBody) -> Result<Answer, UserError> {
    let after = match call.headers().get(&LAST_EVENT_ID) {
        None => query.after,
        Some(value) => {
            let position = value.to_str().ok().and_then(|text| text.trim().parse().ok());
            let what = "`Last-Event-ID` is not the position of an event";
            Some(position.ok_or_else(|| UserError::new(ErrorCode::InvalidInput, what))?)
        }
    };
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST).contains(&limit) {
        return Err(UserError::new(
            ErrorCode::InvalidInput,
            format!("`limit` is not between 1 and {MOST}"),
        ));
    }
    if wants_page(&call) {
        return page(&call, after.unwrap_or(0), limit).await;
    }
    let last = call.engine().last_position().await?;
    if after.is_some_and(|after| after > last) {
        let what = format!("there is no event at that position: the last one is at {last}");
        return Err(UserError::new(ErrorCode::InvalidInput, what)
            .hint("the events of another server, or of one that was set up anew, have other positions"));
    }
    let around = Surroundings {
        engine: call.engine(),
        clock: std::sync::Arc::clone(&call.state.clock),
        stop: call.state.stop.clone(),
        count: call.state.metrics.streams.clone(),
    };
    let body = follow(
        around,
        &call.state.hub,
        call.who()?,
        call.viewer(),
        after.unwrap_or(last),
    )?;
    Ok(Answer::stream(200, "text/event-stream", body))
}

/// Whoever takes JSON and not a stream gets a page.
fn wants_page(call: &Call) -> bool {
    let accepts = |media: &str| {
        let values = call
            .headers()
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|text| text.split(','))
            .filter_map(|one| one.split(';').next())
            .any(|essence| essence.trim().eq_ignore_ascii_case(media))
    };
    accepts("application/json") && !accepts("text/event-stream")
}

async fn page(call: &Call, after: u64, limit: u32) -> Result<Answer, UserError> {
    let events = call.engine().events_after(after, limit, &call.viewer()).await?;
    // Fewer than a page: there were no more.
    let next = events.last().filter(|_| events.len() as u64 >= u64::from(limit));
    let page = Page {
        next_cursor: next.map(|placed| placed.position.to_string()),
        items: events
            .into_iter()
            .map(|placed| FollowedEvent {
                position: placed.position,
                event: placed.event,
            })
            .collect(),
    };
    Answer::json(200, &page)
}
