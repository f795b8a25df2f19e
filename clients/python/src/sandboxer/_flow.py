"""Why there is one core for two clients: what a call does (requests, retries, waiting, pages, reconnecting) is written once, as generators
that say what they want done and are told what came of it. They do no input or output themselves. `_blocking` and `_awaiting` do it, one
in the caller's thread, one in an event loop, and know nothing of the API. So nothing can be right in one client and wrong in the other,
and a test of a generator needs no network.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar, Union

T = TypeVar("T")


class Repeat(Enum):
    """When a request may be sent again."""

    #: Whatever became of it: doing it twice is like doing it once, or the server knows its idempotency key.
    ALWAYS = "always"
    #: Only when it is certain that nothing was done.
    UNDONE = "undone"


@dataclass(frozen=True)
class Body:
    """Bytes that are made while they are sent; each try asks for them anew."""

    open: Callable[[], Generator[bytes, None, None]]


@dataclass(frozen=True)
class Request:
    """One request. A retry sends the same again, idempotency key included."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Body | None = field(default=None, repr=False)
    #: How long the server may keep silent, in seconds; `None`: as the client says.
    patience: float | None = None
    repeat: Repeat = Repeat.ALWAYS

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    #: Names in lower case.
    headers: dict[str, str]
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Lost:
    """No answer came, or not all of it."""

    why: str
    #: Whether it is certain that the server did not get the request.
    unsent: bool
    #: Whether another try would come to the same.
    hopeless: bool = False


@dataclass(frozen=True)
class Send:
    """Wanted: one try of a request. Comes to an `Answer` or `Lost`."""

    request: Request


@dataclass(frozen=True)
class Pause:
    """Wanted: nothing, for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Wanted: something that takes its time on this machine, such as looking through a directory. Comes to nothing."""

    do: Callable[[], None]


@dataclass(frozen=True)
class Open:
    """Wanted: a request whose answer is read bit by bit with `Read`. Comes to an `Answer` (with its body unless it is 2xx) or `Lost`."""

    request: Request


@dataclass(frozen=True)
class Read:
    """Wanted: more of what was opened last. Comes to bytes, none at the end, or `Lost`."""


@dataclass(frozen=True)
class Emit(Generic[T]):
    """Wanted: that the caller gets this, one of many."""

    value: T


Effect = Union[Send, Pause, Work, Open, Read]
#: What comes to one result.
Flow = Generator[Effect, Any, T]
#: What comes to many, one by one.
Feed = Generator[Union[Effect, Emit[T]], Any, None]
