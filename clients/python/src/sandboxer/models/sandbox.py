"""The record of one sandbox and its parts. Names are those of the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from .._record import Json, Record


@dataclass(frozen=True, kw_only=True)
class Consumer(Record):
    """On whose behalf a sandbox exists."""

    #: `adm`, `agt` or `atm`.
    actor: str
    project: str | None = None
    #: The run, session or job.
    run_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Endpoint(Record):
    """One reachable port of a service."""

    #: Port inside.
    port: int
    #: `address:port` on the host.
    address: str
    #: `tcp` or `udp`.
    protocol: str


@dataclass(frozen=True, kw_only=True)
class Reachability(Record):
    """How a sandbox is reached: every way that exists, absent ones `None`."""

    #: `user@host` for ssh.
    ssh: str | None = None
    #: The sandbox's directory on the host.
    remote_dir: str | None = None
    host: str | None = None
    compose_project: str | None = None
    #: `localhost:PORT` or the alias of a tunnel.
    tunnel: str | None = None
    #: The name that its owner knows the tunnel by.
    tunnel_name: str | None = None
    #: `up`, `down` or `unknown`, at the moment it was asked for.
    tunnel_status: str | None = None
    tunnel_via: str | None = None
    #: Who signs identities.
    identity: str | None = None
    #: The command that runs something inside.
    exec: str | None = None
    #: Where the workspace is, as seen inside.
    workspace: str | None = None
    services: dict[str, list[Endpoint]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mechanism(Record):
    """One wall of a sandbox."""

    name: str
    #: `enforced`, `degraded` or `missing`.
    state: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Limit(Record):
    """One limit: what was asked for and what enforces it."""

    #: `cpu`, `memory_mb`, `disk_mb` or `pids`.
    resource: str
    #: CPUs, MiB or a count; `None`: no limit.
    value: float | None = None
    #: What holds it, such as `cgroup2` or `watchdog`; `none`: nothing.
    enforced_by: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Attestation(Record):
    """One thing that was tried from inside when the sandbox became ready."""

    probe: str
    expected: str
    observed: str
    #: Whether what was expected is what was observed.
    held: bool


@dataclass(frozen=True, kw_only=True)
class IsolationReport(Record):
    """How a sandbox is isolated, and by what."""

    level: str
    mechanisms: list[Mechanism] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    attestations: list[Attestation] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Quote(Record):
    """What a sandbox is to cost, in millionths of a US dollar."""

    #: While it lives.
    per_hour: int
    #: For the whole time to live.
    worst_case: int
    source: str


@dataclass(frozen=True, kw_only=True)
class ResourceUse(Record):
    """What a sandbox used, as far as its backend can tell."""

    #: Microseconds of CPU time.
    cpu_us: int | None = None
    memory_peak_bytes: int | None = None
    pids_peak: int | None = None
    #: Whether any figure is sampled instead of accounted by the kernel.
    estimated: bool = False


@dataclass(frozen=True, kw_only=True)
class Meter(Record):
    """What was metered, in millionths of a US dollar."""

    estimate: int | None = None
    actual: int | None = None
    #: Between ready and the proven end.
    duration_ms: int | None = None
    usage: ResourceUse | None = None


@dataclass(frozen=True, kw_only=True)
class Failure(Record):
    """What went wrong last with a sandbox."""

    code: str
    #: The step that failed.
    step: str | None = None
    message: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True)
class CleanupItem(Record):
    """One thing that a teardown looked for."""

    kind: str
    name: str
    #: Whether it was there when the teardown came.
    found: bool
    #: `absent`, `present` or `unknown`.
    now: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class CleanupReport(Record):
    """The receipt of a teardown."""

    items: list[CleanupItem] = field(default_factory=list)
    #: `absent`: the absence of everything was proven.
    verified: str


@dataclass(frozen=True, kw_only=True)
class SandboxRecord(Record):
    """One sandbox, as the server last said."""

    sandbox_id: str
    #: `requested`, `provisioning`, `ready`, `active`, `expired`, `failed`, `destroying` or `destroyed`.
    state: str
    #: Why it ended or is ending, such as `ttl` or `destroyed_by_request`.
    reason: str | None = None
    profile_id: str
    profile_version: str
    profile_digest: str
    extension_id: str | None = None
    host: str | None = None
    consumer: Consumer
    #: `session`, `agent` or `shared`: when a create returns it again.
    scope: str
    labels: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    reachability: Reachability | None = None
    isolation: IsolationReport | None = None
    #: Time to live that was asked for, such as `4h`.
    ttl: str
    expires_at: datetime | None = None
    meter: Meter = field(default_factory=Meter)
    #: What making it changed on its host.
    telemetry: Json | None = None
    created_at: datetime
    ready_at: datetime | None = None
    active_at: datetime | None = None
    destroyed_at: datetime | None = None
    updated_at: datetime
    error: Failure | None = None
    cleanup: CleanupReport | None = None
    #: The operation that works on it now.
    operation_id: str | None = None
    #: 1, then one more for each recreate.
    generation: int
    epoch: int

    @property
    def is_usable(self) -> bool:
        """Whether commands can be run inside."""
        return self.state in ("ready", "active")


@dataclass(frozen=True, kw_only=True)
class CreatedRecord(SandboxRecord):
    """A sandbox, new or found."""

    #: Whether it was alive already and fits the scope.
    reused: bool = False
    #: Whether an earlier request with the same idempotency key made it: an earlier try of ours, whose answer was lost.
    replayed: bool = False
