"""The stream of events: read in any pieces, and taken up where it broke off."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from sandboxer import BadAnswer, ConnectionFailed, Forbidden
from sandboxer._sse import Message, Parser

from .conftest import Faces
from .support import ID, Pieces, problem


def told(position: int) -> bytes:
    event = {
        "event_id": f"evt-{position}",
        "sandbox_id": ID,
        "seq": position,
        "at": "2026-01-02T03:04:05Z",
        "kind": "state.ready",
        "state": "ready",
        "summary": "it is ready",
        "detail": {},
    }
    return f"id: {position}\nevent: state.ready\ndata: {json.dumps(event)}\n\n".encode()


def stream(*pieces: bytes | Exception) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces(*pieces))


def last_ids(face: Any) -> list[str | None]:
    return [request.headers.get("last-event-id") for request in face.script.asked]


def test_events_come_one_by_one_and_know_their_place(faces: Faces) -> None:
    face = faces(stream(b": hello\n\n", told(1), told(2)))
    found = face.take(lambda client: client.events(), 2)
    assert [(event.kind, event.seq, event.position) for event in found] == [("state.ready", 1, "1"), ("state.ready", 2, "2")]
    (request,) = face.script.asked
    assert request.headers["accept"] == "text/event-stream" and "last-event-id" not in request.headers
    # A comment comes every 15 s: what is silent for longer than three of them is dead.
    assert request.extensions["timeout"]["read"] == 45


@pytest.mark.parametrize("end", [[httpx.ReadError("reset")], [httpx.ReadTimeout("silence")], []])
def test_a_stream_that_breaks_goes_on_after_its_last_event(faces: Faces, end: list[Exception]) -> None:
    whole = told(3)
    face = faces(stream(told(1), told(2), whole[:40], *end), stream(whole, told(4)))
    assert [event.seq for event in face.take(lambda client: client.events(), 4)] == [1, 2, 3, 4]
    assert last_ids(face) == [None, "2"] and face.slept == [0.25]


def test_it_starts_where_it_is_told_to(faces: Faces) -> None:
    face = faces(httpx.ConnectError("refused"), stream(told(8)))
    assert face.take(lambda client: client.events(after=7), 1)[0].seq == 8
    assert last_ids(face) == ["7", "7"]


def test_a_server_that_stays_away_is_an_error_in_the_end(faces: Faces) -> None:
    face = faces(stream(told(1)), *[httpx.ConnectError("refused")] * 4)
    with pytest.raises(ConnectionFailed, match="refused"):
        face.take(lambda client: client.events(), 2)
    assert face.slept == [0.25, 0.5, 1.0, 2.0]


def test_each_sign_of_life_gives_new_patience(faces: Faces) -> None:
    face = faces(*[stream(b":\n\n") for _ in range(7)], stream(told(1)))
    assert len(face.take(lambda client: client.events(), 1)) == 1
    assert face.slept == [0.25] * 7


def test_a_server_that_is_stopping_is_waited_for(faces: Faces) -> None:
    face = faces(stream(told(1)), problem(503, "draining", Retry_After="1"), stream(told(2)))
    assert len(face.take(lambda client: client.events(), 2)) == 2
    assert face.slept == [0.25, 1.25]


def test_what_may_not_be_seen_is_not_asked_for_again(faces: Faces) -> None:
    with pytest.raises(Forbidden):
        faces(problem(403, "forbidden")).take(lambda client: client.events(), 1)


def test_what_is_no_event_is_an_error(faces: Faces) -> None:
    with pytest.raises(BadAnswer):
        faces(stream(b"data: hello\n\n")).take(lambda client: client.events(), 1)


def test_the_connection_is_closed_with_the_iterator(faces: Faces) -> None:
    pieces = Pieces(told(1), told(2), told(3))
    face = faces(httpx.Response(200, stream=pieces))
    assert len(face.take(lambda client: client.events(), 1)) == 1
    assert pieces.is_closed


TEXT = "\ufeff: comment\r\nid: 1\r\nevent: a\rdata: é\ndata:  two\n\ndata\n\n: x\n\nid: 2\ndata: b\r\ndata: d\r\n\r\nid\ndata: c\n\ndata: unfinished\n".encode()
MESSAGES = [
    Message("1", "a", "é\n two"),
    Message("1", "message", ""),
    Message("2", "message", "b\nd"),
    Message("", "message", "c"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_are_read_from_pieces_of_any_size(size: int) -> None:
    parser = Parser()
    found: list[Message] = []
    for start in range(0, len(TEXT), size):
        found += parser.feed(TEXT[start : start + size])
    assert found == MESSAGES


def test_a_message_without_end_is_not_kept_for_ever() -> None:
    parser = Parser()
    with pytest.raises(BadAnswer):
        for _ in range(100):
            parser.feed(b"data: " + b"x" * 100_000 + b"\n")
