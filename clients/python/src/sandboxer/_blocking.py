"""Does what the core wants, in the caller's thread."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import httpx

from ._core import Core
from ._flow import Answer, Body, Effect, Emit, Feed, Flow, Lost, Open, Pause, Read, Request, Send, Work
from ._handle import Driver
from ._outcome import answer_of, headers_of, lost, timeout_of
from ._settings import Settings

T = TypeVar("T")


class Blocking(Driver):
    """A transport of requests, one at a time for each caller."""

    def __init__(
        self, settings: Settings, core: Core, timeout: float, verify: ssl.SSLContext | bool, transport: httpx.BaseTransport | None
    ) -> None:
        self.core = core
        self.sleep: Callable[[float], None] = time.sleep
        self._timeout = timeout
        if transport is None and settings.socket is not None:
            transport = httpx.HTTPTransport(uds=settings.socket)
        self._http = httpx.Client(base_url=settings.base, auth=settings.auth, verify=verify, transport=transport)

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def run(self, flow: Flow[T]) -> T:
        """Does what a flow wants until it has its result."""
        told: Any = None
        try:
            while True:
                try:
                    wanted = flow.send(told)
                except StopIteration as end:
                    result: T = end.value
                    return result
                told = self._do(wanted, None)
        finally:
            flow.close()

    def each(self, feed: Feed[T]) -> Generator[T, None, None]:
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
                    told = self._do(wanted, stream)
        finally:
            stream.close()
            feed.close()

    def _do(self, wanted: Effect, stream: _Stream | None) -> Answer | Lost | bytes | None:
        if isinstance(wanted, Send):
            return self._send(wanted.request)
        if isinstance(wanted, Pause):
            self.sleep(wanted.seconds)
            return None
        if isinstance(wanted, Work):
            wanted.do()
            return None
        assert stream is not None, "only a feed opens streams"
        if isinstance(wanted, Open):
            return stream.open(self._http, self._built(wanted.request))
        assert isinstance(wanted, Read)
        return stream.read()

    def _send(self, request: Request) -> Answer | Lost:
        try:
            response = self._http.send(self._built(request))
        except httpx.RequestError as error:
            return lost(error)
        return answer_of(response, response.content)

    def _built(self, request: Request) -> httpx.Request:
        body = request.body
        content = body.open() if isinstance(body, Body) else body
        return self._http.build_request(
            request.method,
            request.path,
            params=request.params,
            headers=headers_of(request),
            content=content,
            timeout=timeout_of(request, self._timeout),
        )


class _Stream:
    """The one answer that a feed reads bit by bit."""

    def __init__(self) -> None:
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def open(self, http: httpx.Client, request: httpx.Request) -> Answer | Lost:
        self.close()
        try:
            self._response = response = http.send(request, stream=True)
            if not response.is_success:
                return answer_of(response, response.read())
        except httpx.RequestError as error:
            return lost(error)
        self._pieces = response.iter_bytes()
        return answer_of(response, b"")

    def read(self) -> bytes | Lost:
        try:
            return next(self._pieces, b"")
        except httpx.RequestError as error:
            return lost(error)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
