"""What administrators see: the catalog, hosts, keys, sinks, the audit log. Names are those of the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .._record import Json, Record
from .sandbox import CleanupReport


@dataclass(frozen=True, kw_only=True)
class Identity(Record):
    """Who the caller is."""

    key_id: str
    #: The subject that the key speaks for.
    name: str
    #: `adm`, `agt` or `atm`.
    role: str
    project: str | None = None
    #: Such as `sandboxes:read`.
    grants: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ListedProfile(Record):
    """One line of the catalog."""

    id: str
    version: str
    description: str = ""
    #: The backend it is written for.
    extension: str
    #: `shipped`, `system`, `user` or `repository`.
    layer: str
    #: `shipped`, or its file.
    source: str
    #: Where profiles of the same name are that it hides.
    shadowed: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Manifest(Record):
    """What an extension says of itself."""

    id: str
    title: str
    description: str = ""
    capabilities: Json = field(default_factory=dict)
    config: Json = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Capacity(Record):
    """What sandboxes may take of a host altogether; `None` is not counted."""

    slots: int | None = None
    #: Thousandths of a processor.
    cpu_milli: int | None = None
    memory_mb: int | None = None
    disk_mb: int | None = None


@dataclass(frozen=True, kw_only=True)
class HostStatus(Record):
    """A registered host and what is taken of it."""

    name: str
    #: `local`, or `[user@]name[:port]`.
    address: str
    state: str
    labels: dict[str, str] = field(default_factory=dict)
    capacity: Capacity = field(default_factory=Capacity)
    watermarks: Json = field(default_factory=dict)
    #: What was seen when it last answered.
    probe: Json | None = None
    probe_after: datetime | None = None
    added_at: datetime
    #: What its sandboxes hold.
    reserved: Json = field(default_factory=dict)
    sandboxes: int
    #: Why it did not answer the last time it was asked.
    unreachable: str | None = None
    unreachable_since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class HostInspection(Record):
    """What a host is like right now, and what looks like a sandbox there."""

    host: str
    address: str
    registered: bool
    snapshot: Json
    backends: Json = field(default_factory=dict)
    inventory: Json


@dataclass(frozen=True, kw_only=True)
class Sight(Record):
    """How well a host could be seen."""

    host: str
    #: Why more may be there than was seen.
    incomplete: str | None = None


@dataclass(frozen=True, kw_only=True)
class StaleCandidate(Record):
    """Something that may be left over on a host."""

    kind: str
    id: str
    host: str | None = None
    sandbox_id: str | None = None
    age_hours: float | None = None
    why: str = ""
    action: str | None = None


@dataclass(frozen=True, kw_only=True)
class StaleReport(Record):
    """What may be left over on hosts."""

    stale_candidates: list[StaleCandidate] = field(default_factory=list)
    hosts: list[Sight] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ReapAction(StaleCandidate):
    """What a reaping did about one thing."""

    #: `dry-run`, `kept`, `reaped` or `failed`.
    result: str
    cleanup: CleanupReport | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReapReport(Record):
    """What a reaping did, or would do."""

    actions: list[ReapAction] = field(default_factory=list)
    hosts: list[Sight] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Sink(Record):
    """A place that events are sent to."""

    sink_id: str
    #: `state_hub` or `webhook`.
    kind: str
    url: str
    #: Kinds of events, such as `state.*`; empty: all.
    events: list[str] = field(default_factory=list)
    #: `active` or `disabled`.
    state: str
    reason: str | None = None
    added_at: datetime


@dataclass(frozen=True, kw_only=True)
class SinkStatus(Sink):
    """A sink and how delivery to it stands."""

    #: Sandboxes of which some event is still to be delivered.
    waiting: int
    #: Sandboxes whose next event was given up.
    dead: int
    paused_until: datetime | None = None
    last_error: str | None = None


@dataclass(frozen=True, kw_only=True)
class AddedWebhook(Sink):
    """A webhook that was added."""

    #: What its messages are signed with. Not shown again.
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class TestedWebhook(Record):
    """What the other side said to a message that was sent as a test."""

    #: Not a class of tests, whatever its name says to a test runner.
    __test__ = False

    sink_id: str
    message_id: str
    status: int
    took_ms: int
    #: Whether that counts as delivered.
    accepted: bool


@dataclass(frozen=True, kw_only=True)
class Redelivered(Record):
    """What was brought back."""

    due: int
    enabled: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Key(Record):
    """An API key, without its secret."""

    key_id: str
    name: str
    role: str
    project: str | None = None
    grants: list[str] = field(default_factory=list)
    created_at: datetime
    created_by: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    rotated_from: str | None = None


@dataclass(frozen=True, kw_only=True)
class MadeKey(Key):
    """A key that was just made."""

    #: The key itself. The only time that it is shown.
    token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Project(Record):
    """What a project may use."""

    project: str
    #: Sandboxes that are not destroyed, at most.
    max_live: int
    creates_per_second: int
    burst: int
    #: Sandboxes that are not destroyed now.
    live: int


@dataclass(frozen=True, kw_only=True)
class AuditRow(Record):
    """One row of the audit log."""

    seq: int
    at: datetime
    action: str
    object: str | None = None
    key_id: str | None = None
    name: str | None = None
    project: str | None = None
    address: str | None = None
    request_id: str | None = None
    status: int
    previous: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class AuditVerdict(Record):
    """Whether the audit log is whole."""

    intact: bool
    rows: int
    last: str | None = None
    #: The first row that is not as it was written: `seq` and `why`.
    broken: Json | None = None


@dataclass(frozen=True, kw_only=True)
class Status(Record):
    """How the whole stands."""

    at: datetime
    served_by: str | None = None
    reconcilers: list[Json] = field(default_factory=list)
    #: Sandboxes by state.
    sandboxes: dict[str, int] = field(default_factory=dict)
    #: Operations that are not at their end, by status.
    operations: dict[str, int] = field(default_factory=dict)
    stuck: list[Json] = field(default_factory=list)
    hosts: list[Json] = field(default_factory=list)
    undelivered_events: int = 0
    overdue_since: datetime | None = None
    #: What an operator should look at; empty: all is well.
    problems: list[str] = field(default_factory=list)
