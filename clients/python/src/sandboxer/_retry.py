"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from ._flow import Repeat, Request
from .errors import ConnectionFailed, Draining, QuotaExceeded, SandboxerError


@dataclass(frozen=True)
class Retries:
    """How patient a client is with connections that break and servers that have no time."""

    #: Tries after the first.
    most: int = 4
    #: Seconds before the first of them; each later one waits twice as long as the one before.
    first: float = 0.25
    #: Seconds that no wait is longer than, unless the server asks for it.
    longest: float = 8.0
    #: What the server may ask for with `Retry-After`, in seconds; when it wants more, the error is raised at once.
    asked_at_most: float = 60.0
    #: A number between 0 and 1 that spreads waits, so that clients that failed together do not come back together.
    spread: Callable[[], float] = random.random

    def wait(self, tries: int, request: Request, error: SandboxerError, unsent: bool) -> float | None:
        """Seconds to wait after so many tries; `None`: it is not to be tried again."""
        if tries > self.most or not _may_pass(request, error, unsent):
            return None
        if error.retry_after is not None:
            # Later than asked for is fine, earlier is not.
            return error.retry_after + self.spread() * self.first if error.retry_after <= self.asked_at_most else None
        return self.pause(tries)

    def pause(self, tries: int) -> float:
        """Seconds to wait where the server did not say: between half of the step and all of it."""
        return float(min(self.longest, self.first * 2 ** (tries - 1)) * (0.5 + self.spread() / 2))


def _may_pass(request: Request, error: SandboxerError, unsent: bool) -> bool:
    if isinstance(error, ConnectionFailed):
        return unsent or request.repeat is Repeat.ALWAYS
    if error.status == 429:
        return not isinstance(error, QuotaExceeded)
    if error.status == 503:
        return request.repeat is Repeat.ALWAYS or isinstance(error, Draining)
    return False
