"""Does what the core wants, in an event loop of asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import httpx

from ._core import Core
from ._flow import Answer, Body, Effect, Emit, Feed, Flow, Lost, Open, Pause, Read, Request, Send, Work
from ._handle import Driver
from ._outcome import answer_of, headers_of, lost, timeout_of
from ._settings import Settings

T = TypeVar("T")


class Awaiting(Driver):
    """A transport of requests, many at a time."""

    def __init__(
        self,
        settings: Settings,
        core: Core,
        timeout: float,
        verify: ssl.SSLContext | bool,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.core = core
        self.sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._timeout = timeout
        if transport is None and settings.socket is not None:
            transport = httpx.AsyncHTTPTransport(uds=settings.socket)
        self._http = httpx.AsyncClient(base_url=settings.base, auth=settings.auth, verify=verify, transport=transport)

    async def close(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def run(self, flow: Flow[T]) -> T:
        """Does what a flow wants until it has its result."""
        told: Any = None
        try:
            while True:
                try:
                    wanted = flow.send(told)
                except StopIteration as end:
                    result: T = end.value
                    return result
                told = await self._do(wanted, None)
        finally:
            flow.close()

    async def each(self, feed: Feed[T]) -> AsyncGenerator[T, None]:
        """What a feed emits. Closing the iterator closes its connection."""
        stream = _Stream()
        told: Any = None
        try:
            while True:
                try:
                    wanted = feed.send(told)
                except StopIteration:
                    return
                if isinstance(wanted, Emit):
                    told = None
                    yield wanted.value
                else:
                    told = await self._do(wanted, stream)
        finally:
            feed.close()
            await stream.close()

    async def _do(self, wanted: Effect, stream: _Stream | None) -> Answer | Lost | bytes | None:
        if isinstance(wanted, Send):
            return await self._send(wanted.request)
        if isinstance(wanted, Pause):
            await self.sleep(wanted.seconds)
            return None
        if isinstance(wanted, Work):
            await asyncio.to_thread(wanted.do)
            return None
        assert stream is not None, "only a feed opens streams"
        if isinstance(wanted, Open):
            return await stream.open(self._http, self._built(wanted.request))
        assert isinstance(wanted, Read)
        return await stream.read()

    async def _send(self, request: Request) -> Answer | Lost:
        try:
            response = await self._http.send(self._built(request))
        except httpx.RequestError as error:
            return lost(error)
        return answer_of(response, response.content)

    def _built(self, request: Request) -> httpx.Request:
        body = request.body
        content = _chunks(body) if isinstance(body, Body) else body
        return self._http.build_request(
            request.method,
            request.path,
            params=request.params,
            headers=headers_of(request),
            content=content,
            timeout=timeout_of(request, self._timeout),
        )


async def _chunks(body: Body) -> AsyncIterator[bytes]:
    """A body that is read from disk: each piece in a thread, so that the loop goes on."""
    pieces = body.open()
    try:
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece
    finally:
        # When the request is given up, the thread may be at its last piece; then the collector closes the rest.
        with contextlib.suppress(ValueError):
            pieces.close()


class _Stream:
    """The one answer that a feed reads bit by bit."""

    def __init__(self) -> None:
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def open(self, http: httpx.AsyncClient, request: httpx.Request) -> Answer | Lost:
        await self.close()
        try:
            self._response = response = await http.send(request, stream=True)
            if not response.is_success:
                return answer_of(response, await response.aread())
        except httpx.RequestError as error:
            return lost(error)
        self._pieces = response.aiter_bytes()
        return answer_of(response, b"")

    async def read(self) -> bytes | Lost:
        assert self._pieces is not None, "nothing was opened"
        try:
            return await anext(self._pieces, b"")
        except httpx.RequestError as error:
            return lost(error)

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None
