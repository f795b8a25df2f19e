//! Events as they happen, over connections that break.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod support;

use sandboxer_model::error::ErrorCode;
use support::{Server, client, problem};

fn event(position: u32) -> String {
    let event = format!(
        r#"{{"event_id":"evt-00000000000000000000000000","sandbox_id":"sbx-00000000000000000000000000","seq":{position},"at":"2031-01-01T00:00:00Z","kind":"state.ready","state":"ready","summary":"s"}}"#
    );
    format!("id: {position}\nevent: state.ready\ndata: {event}\n\n")
}

fn stream(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_where_it_was() {
    let cut = event(3);
    let server = Server::saying([
        stream(&format!(": hello\n\n{}{}{}", event(1), event(2), &cut[..cut.len() - 9])),
        String::new(),
        stream(&event(3)),
    ]);
    let (client, _) = client(&server.listen().await);
    let mut events = client.events(None).await.unwrap();
    for position in 1..=3u64 {
        let (at, event) = events.next().await.unwrap();
        assert_eq!((at, event.seq), (position.to_string(), position));
    }
    let asked = server.asked();
    let from: Vec<_> = asked.iter().map(|one| one.header("last-event-id")).collect();
    assert_eq!(from, [None, Some("2"), Some("2")]);
    assert!(
        asked
            .iter()
            .all(|one| one.header("accept") == Some("text/event-stream"))
    );
}

#[tokio::test]
async fn a_key_that_is_not_taken_any_more_ends_it() {
    let server = Server::saying([stream(&event(1)), problem(401, "unauthenticated", "")]);
    let (client, _) = client(&server.listen().await);
    let mut events = client.events(Some("0")).await.unwrap();
    events.next().await.unwrap();
    assert_eq!(events.next().await.unwrap_err().code, ErrorCode::Unauthenticated);
}
