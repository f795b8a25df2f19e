"""Where the server is, and the key: from arguments, else from the environment. The key is kept where nothing prints it."""

from __future__ import annotations

import os
import ssl
from collections.abc import Generator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import httpx

from .errors import Usage

try:
    _VERSION = version("sandboxer")
except PackageNotFoundError:  # run from a source tree that was never installed
    _VERSION = "0"

#: Headers of every request.
HEADERS = {"User-Agent": f"sandboxer-python/{_VERSION}", "Accept": "application/json"}


class Bearer(httpx.Auth):
    """Puts the key on a request at the moment it is sent; it is in no other place of this package."""

    def __init__(self, key: str) -> None:
        # A closure is not printed by `vars()`, tools that show locals, or `pickle`.
        def header() -> str:
            return f"Bearer {key}"

        self._header = header

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = self._header()
        yield request

    def __repr__(self) -> str:
        return "Bearer(…)"


@dataclass(frozen=True)
class Settings:
    """How the server is reached."""

    #: As the caller wrote it, for errors.
    address: str
    #: What requests are relative to.
    base: str
    #: The socket that is connected to instead, for `unix:/path`.
    socket: str | None
    auth: Bearer = field(repr=False)


def settings(address: str | None, key: str | None) -> Settings:
    """Reads what was given, else `SANDBOXER_API` and `SANDBOXER_API_KEY`; raises `Usage` if either is missing or makes no sense."""
    address = address or os.environ.get("SANDBOXER_API") or ""
    key = key or os.environ.get("SANDBOXER_API_KEY") or ""
    if not address:
        raise Usage("no server was named", hints=["pass the address, or set SANDBOXER_API=http://127.0.0.1:8600"])
    if not key:
        raise Usage("there is no API key", hints=["pass key=…, or set SANDBOXER_API_KEY; `sandboxer keys create` makes one"])
    if not all("!" <= letter <= "~" for letter in key):
        raise Usage("the API key has characters that no key has", hints=["check for spaces, quotes and line ends around it"])
    base, socket = _base(address)
    return Settings(address.rstrip("/"), base, socket, Bearer(key))


def _base(address: str) -> tuple[str, str | None]:
    how = "write http://host:port, https://host:port or unix:/path"
    if address.startswith("unix:"):
        socket = address.removeprefix("unix:").removeprefix("//")
        if not socket.startswith("/"):
            raise Usage("the address of a socket is to have its whole path", hints=[how])
        return "http://localhost", socket
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise Usage(f"the address of the server makes no sense: {error}", hints=[how]) from None
    if url.scheme not in ("http", "https") or not url.host or (url.port or 0) > 65535:
        raise Usage("the address of the server makes no sense", hints=[how])
    if url.userinfo or url.query or url.fragment:
        raise Usage("the address of the server is to have no user, query or fragment", hints=[how])
    return address.rstrip("/"), None


def trust(verify: ssl.SSLContext | bool | str | os.PathLike[str]) -> ssl.SSLContext | bool:
    """Whom to believe that they are the server: a context as it is, or the authorities in a file."""
    if isinstance(verify, (bool, ssl.SSLContext)):
        return verify
    return ssl.create_default_context(cafile=os.fspath(verify))
