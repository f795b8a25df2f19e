"""A server that answers by a script, and both clients behind one face, so that each test runs for either."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from sandboxer import AsyncSandboxer, Retries, Sandboxer

KEY = "sbx_live_abcdefgh_0123456789abcdefghijklmnopqrstuv"
ADDRESS = "http://sandboxer.test:8600"
ID = "sbx-01m7y6nbk6e2yr4yvpgtcdjcd8"


def record(**other: Any) -> dict[str, Any]:
    """A sandbox as the server tells it."""
    return {
        "sandbox_id": ID,
        "state": "ready",
        "reason": None,
        "profile_id": "profile.native",
        "profile_version": "1.0.0",
        "profile_digest": "sha256:00",
        "extension_id": "ext.native",
        "host": None,
        "consumer": {"actor": "agt", "project": "p"},
        "scope": "session",
        "labels": {},
        "inputs": {},
        "reachability": {"workspace": "/workspace"},
        "isolation": None,
        "ttl": "30m",
        "expires_at": "2026-01-02T03:04:05.123456789Z",
        "meter": {"estimate": 0, "actual": None, "duration_ms": None, "usage": None},
        "telemetry": None,
        "created_at": "2026-01-02T03:04:05Z",
        "ready_at": None,
        "active_at": None,
        "destroyed_at": None,
        "updated_at": "2026-01-02T03:04:05Z",
        "error": None,
        "cleanup": None,
        "operation_id": None,
        "generation": 1,
        "epoch": 1,
        **other,
    }


def destroyed(state: str = "destroyed", **other: Any) -> httpx.Response:
    """The answer to a destroy."""
    told = {"sandbox_id": ID, "state": state, "reason": "destroyed_by_request", "already": False, "cleanup": None, "error": None}
    return httpx.Response(200, json={**told, **other})


def problem(status: int, code: str, detail: str = "it does not work", **headers: str) -> httpx.Response:
    """An error as the server tells it."""
    told = {"type": f"/docs/errors#{code}", "title": code, "status": status, "detail": detail, "code": code, "hints": ["do this"]}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=told, headers={"content-type": "application/problem+json", **given})


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in these pieces; an exception among them breaks the connection there."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


class Script:
    """Answers one line after the other (an answer, an exception, or what makes an answer of a request), and keeps what it was asked."""

    def __init__(self, *lines: Any) -> None:
        self.lines = list(lines)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        assert self.lines, f"nothing was to be asked any more, but {request.method} {request.url} was"
        line = self.lines.pop(0)
        if isinstance(line, Exception):
            raise line
        answer = line(request) if callable(line) else line
        assert isinstance(answer, httpx.Response)
        if isinstance(answer.stream, Pieces):
            return answer
        # An answer belongs to one request, a line may stand for several.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    @property
    def paths(self) -> list[str]:
        """Method and path of each request."""
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.asked]


@dataclass(frozen=True)
class Server:
    """A real server."""

    address: str
    key: str = field(repr=False)


class Face:
    """A client of either kind."""

    def __init__(self, kind: str, address: str, key: str, **options: Any) -> None:
        self.loop = asyncio.new_event_loop() if kind == "awaiting" else None
        self.client: Any = (Sandboxer if self.loop is None else AsyncSandboxer)(address, key, **options)

    def do(self, what: Callable[[Any], Any]) -> Any:
        """What a method of the client comes to."""
        return self.settle(what(self.client))

    def settle(self, result: Any) -> Any:
        """A result that may be one to be awaited."""
        return self.loop.run_until_complete(result) if self.loop and inspect.isawaitable(result) else result

    def take(
        self, what: Callable[[Any], Any], count: int | None = None, until: Callable[[Any], bool] = lambda _: False
    ) -> list[Any]:
        """The first items of what a method of the client iterates over, up to one that is looked for; it is closed then."""
        items = what(self.client)
        found: list[Any] = []
        try:
            while count is None or len(found) < count:
                found.append(self.settle(anext(items)) if self.loop else next(items))
                if until(found[-1]):
                    break
        except (StopIteration, StopAsyncIteration):
            pass
        self.settle(items.aclose() if self.loop else items.close())
        return found

    def within(self, what: Callable[[Any], Any], body: Callable[[Any], Any]) -> Any:
        """What a body comes to in the `with` block of what a method of the client returns."""

        async def awaiting() -> Any:
            async with what(self.client) as sandbox:
                result = body(sandbox)
                return await result if inspect.isawaitable(result) else result

        if self.loop:
            return self.loop.run_until_complete(awaiting())
        with what(self.client) as sandbox:
            return body(sandbox)

    def close(self) -> None:
        """Lets go of everything."""
        self.settle(self.client.close())
        if self.loop:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


class Scripted(Face):
    """A client that talks to a script, and for which time does not pass."""

    def __init__(self, kind: str, script: Script, **options: Any) -> None:
        retries = Retries(spread=lambda: 1.0)
        super().__init__(kind, ADDRESS, KEY, **{"retries": retries, "transport": httpx.MockTransport(script), **options})
        self.script = script
        self.slept: list[float] = []
        self.client._driver.sleep = self._sleep

    def _sleep(self, seconds: float) -> Any:
        self.slept.append(seconds)
        return self._nothing() if self.loop else None

    async def _nothing(self) -> None:
        return None
