"""What handles of sandboxes share, whichever client they come from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ._core import Core
from .models.answers import Destroyed
from .models.sandbox import CreatedRecord, Reachability, SandboxRecord


class Driver:
    """What does the things that operations want."""

    core: Core


class Attached:
    """What has a driver: clients and sandboxes."""

    _driver: Driver


class Handle(Attached):
    """A sandbox and what was last heard of it."""

    def __init__(self, driver: Any, record: SandboxRecord) -> None:
        self._driver = driver
        #: What the server last said of it; `refresh()` asks again.
        self.record = record
        #: Whether it was alive already when it was asked for.
        self.reused = isinstance(record, CreatedRecord) and record.reused

    @property
    def id(self) -> str:
        """Its id: also the name of everything that belongs to it."""
        return self.record.sandbox_id

    @property
    def state(self) -> str:
        """Where it was in its life when it was last heard of."""
        return self.record.state

    @property
    def reachability(self) -> Reachability | None:
        """How it is reached, as it was last heard of."""
        return self.record.reachability

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.state}>"

    def _ended(self, destroyed: Destroyed) -> None:
        told = {"state": destroyed.state, "reason": destroyed.reason, "cleanup": destroyed.cleanup, "error": destroyed.error}
        self.record = replace(self.record, **told)  # type: ignore[arg-type]
