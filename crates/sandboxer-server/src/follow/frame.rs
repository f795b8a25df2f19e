//! An event as `text/event-stream` has it.

use bytes::Bytes;
use sandboxer_engine::api::PlacedEvent;
use sandboxer_model::error::{ErrorCode, UserError};

/// Said now and then, so that a connection that died is noticed.
pub(super) const HEARTBEAT: Bytes = Bytes::from_static(b": alive\n\n");
/// Said first: how long to wait before connecting again.
pub(super) const GREETING: Bytes = Bytes::from_static(b"retry: 1000\n\n");

/// Events as lines, and the position of the last.
///
/// # Errors
/// One that cannot be written as JSON: a bug.
pub(super) fn of(events: &[PlacedEvent]) -> Result<Bytes, UserError> {
    let mut lines = Vec::new();
    for placed in events {
        lines.extend_from_slice(
            format!("id: {}\nevent: {}\ndata: ", placed.position, word(&placed.event.kind)).as_bytes(),
        );
        // JSON on one line: every line break in it is escaped.
        serde_json::to_writer(&mut lines, &placed.event)
            .map_err(|error| UserError::new(ErrorCode::Internal, format!("an event cannot be written: {error}")))?;
        lines.extend_from_slice(b"\n\n");
    }
    Ok(lines.into())
}

/// A kind is a word; whatever else it were could not end a line.
fn word(kind: &str) -> String {
    kind.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use sandboxer_model::event::Event;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_three_lines_whatever_is_in_it() {
        let event: Event = serde_json::from_value(json!({
            "event_id": "evt-00000000000000000000000000",
            "sandbox_id": "sbx-00000000000000000000000000",
            "seq": 1,
            "at": "2026-01-01T00:00:00Z",
            "kind": "state.ready\ndata: forged",
            "state": "ready",
            "summary": "two\nlines\r\nid: 9",
        }))
        .unwrap();
        let lines = of(&[PlacedEvent { position: 7, event }]).unwrap();
        let text = std::str::from_utf8(&lines).unwrap();
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(
            text.starts_with("id: 7\nevent: state.readydata: forged\ndata: {"),
            "{text}"
        );
    }
}
