"""What operations on sandboxes come to. Names are those of the API."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .._record import Json, Record
from ..errors import CommandFailed
from .sandbox import CleanupReport, Failure, IsolationReport, Limit, Meter, Quote, Reachability


@dataclass(frozen=True, kw_only=True)
class Destroyed(Record):
    """What a destroy came to."""

    sandbox_id: str
    #: `destroyed`, or `destroying` when absence could not be proven.
    state: str
    reason: str | None = None
    #: Whether it was gone before this call.
    already: bool
    cleanup: CleanupReport | None = None
    error: Failure | None = None

    @property
    def is_gone(self) -> bool:
        """Whether the absence of everything was proven."""
        return self.state == "destroyed"


@dataclass(frozen=True, kw_only=True)
class ExecResult(Record):
    """How a command ended and what it printed."""

    #: What a shell would report.
    exit_code: int
    #: Whether it was killed because its time was up.
    timed_out: bool = False
    #: What it printed, with U+FFFD for what is no UTF-8; at most 1 MiB.
    stdout: str = ""
    stderr: str = ""
    stdout_base64: str | None = field(default=None, repr=False)
    stderr_base64: str | None = field(default=None, repr=False)
    #: Whether it printed more than is shown.
    truncated: bool = False

    @property
    def stdout_bytes(self) -> bytes:
        """What it printed, byte for byte."""
        return _bytes(self.stdout, self.stdout_base64)

    @property
    def stderr_bytes(self) -> bytes:
        """Its errors, byte for byte."""
        return _bytes(self.stderr, self.stderr_base64)

    def check(self) -> ExecResult:
        """Itself; raises `CommandFailed` unless it ended with 0 in time."""
        if self.timed_out:
            raise CommandFailed("the command was killed because its time was up")
        if self.exit_code != 0:
            said = self.stderr.strip()[-400:]
            raise CommandFailed(f"the command ended with {self.exit_code}" + (f": {said}" if said else ""))
        return self


def _bytes(text: str, encoded: str | None) -> bytes:
    return text.encode() if encoded is None else base64.b64decode(encoded)


@dataclass(frozen=True, kw_only=True)
class FileEntry(Record):
    """A file of a workspace."""

    name: str
    #: `file`, `directory`, `link` or `other`.
    kind: str
    #: Bytes.
    size: int


@dataclass(frozen=True, kw_only=True)
class WrittenFile(Record):
    """A file that was written."""

    #: Where, below the workspace.
    path: str
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Upload(Record):
    """A directory that was uploaded, to be an input of a create."""

    upload_id: str
    #: Files, directories and links in it.
    entries: int
    #: Bytes of its files.
    bytes: int
    #: When it is removed unless a sandbox uses it.
    expires_at: datetime

    @property
    def as_input(self) -> str:
        """What to give as an input of a create."""
        return f"upload:{self.upload_id}"


@dataclass(frozen=True, kw_only=True)
class Event(Record):
    """One thing that happened to a sandbox."""

    event_id: str
    sandbox_id: str
    #: 1, 2, 3 … per sandbox, without gaps.
    seq: int
    at: datetime
    #: Such as `state.ready`, `step.failed`, `ttl.extended`.
    kind: str
    #: The state after it.
    state: str
    reason: str | None = None
    summary: str
    detail: Any = None
    #: Where it is in the stream of all events, to be given as `after`. Only events of `events()` have it.
    position: str | None = None


@dataclass(frozen=True, kw_only=True)
class ListedEvent(Event):
    """An event, and who does not have it yet."""

    #: Sink → `waiting` or `given_up`.
    undelivered: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Candidate(Record):
    """One backend on one host, and what the router thinks of it."""

    extension_id: str
    host: str | None = None
    address: str | None = None
    #: Whether it may be tried.
    accepted: bool
    #: Why, in words.
    reason: str
    quote: Quote | None = None


@dataclass(frozen=True, kw_only=True)
class RouteDecision(Record):
    """Every candidate, best first."""

    strategy: str
    candidates: list[Candidate] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Plan(Record):
    """What a create would do. Nothing was touched."""

    profile: Json
    profile_digest: str
    #: `shipped`, or a file.
    profile_source: str
    route: RouteDecision
    extension_id: str
    host: str | None = None
    quote: Quote
    ttl: str
    inputs: dict[str, str] = field(default_factory=dict)
    limits: list[Limit] = field(default_factory=list)
    #: What else the extension shows.
    detail: Any = None


@dataclass(frozen=True, kw_only=True)
class ExpireAction(Record):
    """What `expire` did, or would do, to one sandbox."""

    sandbox_id: str
    expired_at: datetime
    #: `ttl` or `idle`.
    reason: str
    #: `dry-run`, `destroyed` or `failed`.
    result: str
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Operation(Record):
    """One durable operation."""

    operation_id: str
    #: `create`, `destroy`, `recreate`, `extend_ttl` or `expire`.
    kind: str
    sandbox_id: str
    #: `running`, `undoing`, `succeeded`, `failed` or `stuck`.
    status: str
    step: str | None = None
    created_at: datetime
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe(Record):
    """Which recipe a sandbox was made by."""

    profile: Json
    digest: str
    source: str
    inputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Location(Record):
    """Where a sandbox runs."""

    #: `None`: the server's machine.
    host: str | None = None
    #: What the backend calls it.
    handle: dict[str, str] = field(default_factory=dict)
    #: What the backend says of it at this moment.
    observed: str | None = None


@dataclass(frozen=True, kw_only=True)
class History(Record):
    """What happened to a sandbox."""

    events: list[Event] = field(default_factory=list)
    #: Operations with their steps.
    operations: list[Json] = field(default_factory=list)
    reason: str | None = None
    error: Failure | None = None
    cleanup: CleanupReport | None = None


@dataclass(frozen=True, kw_only=True)
class Cost(Record):
    """What a sandbox cost."""

    quote: Quote | None = None
    meter: Meter


@dataclass(frozen=True, kw_only=True)
class Explanation(Record):
    """The seven questions about a sandbox, each with its evidence."""

    sandbox_id: str
    state: str
    recipe: Recipe
    backend: RouteDecision
    location: Location
    isolation: IsolationReport | None = None
    reachability: Reachability | None = None
    history: History
    cost: Cost
