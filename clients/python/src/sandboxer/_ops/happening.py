"""Events as they happen."""

from __future__ import annotations

import json
from dataclasses import replace

from .._core import Core, get, path
from .._flow import Answer, Emit, Feed, Lost, Open, Pause, Read, Request
from .._record import decode
from .._sse import Message, Parser
from ..errors import BadAnswer, ConnectionFailed, SandboxerError
from ..models.answers import Event

#: The server says something every 15 s; three times nothing is a connection that is dead without saying so.
_SILENCE = 45.0


def events(core: Core, *, after: str | int | None = None) -> Feed[Event]:
    """Events of all sandboxes that the key sees, one by one, without end: from now on, or from after a position.

    When the connection breaks, the stream goes on after the last event that came. It raises once it could not be taken up again in as
    many tries as any request has. `position` of an event is what to give as `after` another time.
    """
    last = None if after is None else str(after)
    failed = 0
    while True:
        request = _request(last)
        opened: Answer | Lost = yield Open(request)
        error = core.error(opened, request)
        if error is None:
            parser = Parser()
            while True:
                piece: bytes | Lost = yield Read()
                if isinstance(piece, Lost) or not piece:
                    break
                failed = 0
                for message in parser.feed(piece):
                    last = message.id or last
                    yield Emit(_event(message))
            why = piece.why if isinstance(piece, Lost) else "the server ended it"
            error = ConnectionFailed(f"{request} at {core.address} broke off: {why}")
        failed += 1
        yield Pause(_wait(core, failed, request, error, opened))


def _request(last: str | None) -> Request:
    headers = [("Accept", "text/event-stream"), ("Cache-Control", "no-store")]
    if last is not None:
        headers.append(("Last-Event-ID", last))
    return replace(get(path("events"), patience=_SILENCE), headers=tuple(headers))


def _wait(core: Core, failed: int, request: Request, error: SandboxerError, opened: Answer | Lost) -> float:
    hopeless = isinstance(opened, Lost) and opened.hopeless
    wait = None if hopeless else core.retries.wait(failed, request, error, isinstance(opened, Lost))
    if wait is None:
        raise error
    return wait


def _event(message: Message) -> Event:
    try:
        told = json.loads(message.data)
    except ValueError:
        raise BadAnswer("an event is no JSON") from None
    return replace(decode(Event, told, "an event"), position=message.id or None)
