"""Requests to answers: retries, problems, pages. What every operation is made of."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote

from ._flow import Answer, Body, Emit, Feed, Flow, Lost, Pause, Repeat, Request, Send
from ._record import Record, decode, decode_list
from ._retry import Retries
from .errors import BadAnswer, ConnectionFailed, InvalidInput, SandboxerError, error_class

R = TypeVar("R", bound=Record)
Params = Iterable[tuple[str, "str | None"]]


@dataclass(frozen=True)
class Core:
    """What operations need to know of their client."""

    #: Where the server is, for errors.
    address: str
    retries: Retries = Retries()
    clock: Callable[[], float] = time.monotonic

    def call(self, request: Request) -> Flow[Answer]:
        """The answer to a request, tried again where that is safe; raises what the server says is wrong."""
        tries, began = 0, self.clock()
        while True:
            tries += 1
            outcome: Answer | Lost = yield Send(request)
            error = self.error(outcome, request)
            if error is None:
                assert isinstance(outcome, Answer)
                return outcome
            wait = None
            if not (isinstance(outcome, Lost) and outcome.hopeless):
                wait = self.retries.wait(tries, request, error, isinstance(outcome, Lost) and outcome.unsent)
            if wait is None:
                raise self._told(error, tries, self.clock() - began)
            yield Pause(wait)

    def error(self, outcome: Answer | Lost, request: Request) -> SandboxerError | None:
        """What is wrong with the outcome of a request."""
        if isinstance(outcome, Lost):
            return ConnectionFailed(f"{request} at {self.address} failed: {outcome.why}")
        return None if 200 <= outcome.status < 300 else _problem(outcome, f"{request} at {self.address}")

    @staticmethod
    def _told(error: SandboxerError, tries: int, seconds: float) -> SandboxerError:
        if not isinstance(error, ConnectionFailed):
            return error
        count = "1 try" if tries == 1 else f"{tries} tries"
        return ConnectionFailed(
            f"{error.detail} ({count} in {seconds:.1f} s)",
            hints=["check that `sandboxer serve` runs, and the address (SANDBOXER_API)"],
        )

    def one(self, kind: type[R], request: Request) -> Flow[R]:
        """The answer as a record."""
        answer = yield from self.call(request)
        return decode(kind, parse(answer, request), str(request))

    def many(self, kind: type[R], request: Request) -> Flow[list[R]]:
        """The answer as a list of records."""
        answer = yield from self.call(request)
        return decode_list(kind, parse(answer, request), str(request))

    def none(self, request: Request) -> Flow[None]:
        """Only that it was done."""
        yield from self.call(request)

    def pages(self, kind: type[R], request: Request) -> Feed[R]:
        """The items of all pages, each page asked for when the one before is used up."""
        cursor: str | None = None
        while True:
            asked = request if cursor is None else replace(request, params=(*request.params, ("cursor", cursor)))
            answer = yield from self.call(asked)
            page = parse(answer, asked)
            if not isinstance(page, dict):
                raise BadAnswer(f"{asked} came to no page")
            for item in decode_list(kind, page.get("items"), str(asked)):
                yield Emit(item)
            following = page.get("next_cursor")
            if following is not None and (not isinstance(following, str) or following == cursor):
                raise BadAnswer(f"{asked} came to a page that leads nowhere")
            if following is None:
                return
            cursor = following


def parse(answer: Answer, request: Request) -> Any:
    """The JSON of an answer."""
    try:
        return json.loads(answer.body)
    except ValueError:
        raise BadAnswer(f"{request} came to an answer that is no JSON", status=answer.status) from None


def _problem(answer: Answer, what: str) -> SandboxerError:
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    told: Mapping[str, Any] = found if isinstance(found, dict) else {}
    code, detail, hints = told.get("code"), told.get("detail"), told.get("hints")
    asked = answer.headers.get("retry-after", "")
    more: dict[str, Any] = {
        "status": answer.status,
        "request_id": answer.headers.get("x-request-id"),
        "retry_after": float(asked) if asked.isascii() and asked.isdigit() else None,
    }
    if not isinstance(code, str) or not isinstance(detail, str):
        return BadAnswer(f"{what} came to {answer.status}, and to no problem as sand-boxer tells it", **more)
    shown = [hint for hint in hints if isinstance(hint, str)] if isinstance(hints, list) else []
    return error_class(code)(detail, code=code, hints=shown, **more)


def path(*parts: str) -> str:
    """A path below `/v1`. An empty part would name something else than was meant."""
    for part in parts:
        if part in ("", ".", ".."):
            raise InvalidInput(f"{part!r} is no id or name")
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def get(where: str, params: Params = (), *, patience: float | None = None) -> Request:
    """Reads."""
    return Request("GET", where, _given(params), patience=patience)


def post(
    where: str,
    body: Mapping[str, Any] | bytes | Body | None = None,
    params: Params = (),
    *,
    key: str | None = None,
    kind: str | None = None,
    patience: float | None = None,
) -> Request:
    """Does something once: the idempotency key is the same at every try, so it may always be tried again."""
    request = send("POST", where, body, params, kind=kind, patience=patience)
    return replace(request, headers=(*request.headers, ("Idempotency-Key", key or str(uuid.uuid4()))))


def send(
    method: str,
    where: str,
    body: Mapping[str, Any] | bytes | Body | None = None,
    params: Params = (),
    *,
    kind: str | None = None,
    patience: float | None = None,
    repeat: Repeat = Repeat.ALWAYS,
) -> Request:
    """Any other request; `kind` is the media type where the body is no JSON."""
    headers = () if body is None else (("Content-Type", kind or "application/json"),)
    sent = json.dumps(body).encode() if isinstance(body, Mapping) else body
    return Request(method, where, _given(params), headers, sent, patience, repeat)


def _given(params: Params) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in params if value is not None)
