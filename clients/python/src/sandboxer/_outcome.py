"""What httpx says, in the words of the core. Both clients use it."""

from __future__ import annotations

import httpx

from ._flow import Answer, Lost, Request
from ._settings import HEADERS

#: Seconds to connect, and to wait for a connection of the pool.
_CONNECT = 10.0


def timeout_of(request: Request, usual: float) -> httpx.Timeout:
    """The time-outs of a request."""
    patience = usual if request.patience is None else max(request.patience, usual)
    return httpx.Timeout(patience, connect=min(_CONNECT, usual), pool=max(_CONNECT, usual))


def headers_of(request: Request) -> list[tuple[str, str]]:
    """The headers of a request; its own go before those of every request."""
    own = {name.lower() for name, _ in request.headers}
    return [*request.headers, *((name, value) for name, value in HEADERS.items() if name.lower() not in own)]


def answer_of(response: httpx.Response, body: bytes) -> Answer:
    """An answer, its body apart."""
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def lost(error: httpx.RequestError) -> Lost:
    """Why there is no answer.

    Only the words are kept: the error itself holds the request, and with it the key.
    """
    why = str(error) or type(error).__name__
    refused_certificate = "CERTIFICATE_VERIFY_FAILED" in why
    if isinstance(error, httpx.ConnectTimeout):
        why = f"no connection within {_CONNECT:g} s"
    elif isinstance(error, httpx.PoolTimeout):
        why = "every connection was in use for too long"
    elif isinstance(error, httpx.TimeoutException):
        why = "the server kept silent for too long"
    unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))
    hopeless = refused_certificate or isinstance(error, (httpx.UnsupportedProtocol, httpx.LocalProtocolError))
    return Lost(why, unsent, hopeless)
