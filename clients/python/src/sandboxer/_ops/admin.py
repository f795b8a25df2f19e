"""For administrators: hosts and what is left over on them, sinks, keys, projects, the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from .._core import Core, get, path, post, send
from .._flow import Feed, Flow, Repeat
from .._values import Duration, span
from ..models import admin as told

#: Seconds for what asks machines elsewhere.
_LONG = 330.0


def status(core: Core) -> Flow[told.Status]:
    """How the whole stands; `problems` is what to look at."""
    return (yield from core.one(told.Status, get(path("status"))))


def hosts(core: Core) -> Flow[list[told.HostStatus]]:
    """The registered hosts and what is taken of them."""
    return (yield from core.many(told.HostStatus, get(path("hosts"))))


def inspect_host(core: Core, name: str) -> Flow[told.HostInspection]:
    """What a host is like right now, and what looks like a sandbox there."""
    return (yield from core.one(told.HostInspection, get(path("hosts", name), patience=_LONG)))


def add_host(
    core: Core,
    name: str,
    *,
    address: str | None = None,
    labels: Mapping[str, str] | None = None,
    capacity: Mapping[str, int] | None = None,
) -> Flow[told.HostStatus]:
    """Registers a host. `address`: `[user@]name[:port]`, left out its name. `capacity`: as in `Capacity`."""
    given = {"address": address, "labels": dict(labels or {}), "capacity": dict(capacity or {})}
    body = {"name": name, **{member: value for member, value in given.items() if value}}
    return (yield from core.one(told.HostStatus, post(path("hosts"), body, patience=_LONG)))


def remove_host(core: Core, name: str) -> Flow[told.HostStatus]:
    """Forgets a host that holds nothing any more."""
    # Done twice it would fail with `NotFound` although it was done; so with the other removal.
    request = send("DELETE", path("hosts", name), patience=_LONG, repeat=Repeat.UNDONE)
    return (yield from core.one(told.HostStatus, request))


def probe_host(core: Core, name: str) -> Flow[told.HostStatus]:
    """Asks a host what it is like, now."""
    return (yield from core.one(told.HostStatus, post(path("hosts", name, "probe"), patience=_LONG)))


def drain_host(core: Core, name: str) -> Flow[told.HostStatus]:
    """Lets a host take no new sandboxes."""
    return (yield from core.one(told.HostStatus, post(path("hosts", name, "drain"))))


def activate_host(core: Core, name: str) -> Flow[told.HostStatus]:
    """Lets a host take new sandboxes again."""
    return (yield from core.one(told.HostStatus, post(path("hosts", name, "activate"))))


def stale(core: Core, *, host: str | None = None, older_than: Duration | None = None) -> Flow[told.StaleReport]:
    """What may be left over on hosts, or on one."""
    params = [("host", host), ("older_than", span(older_than))]
    return (yield from core.one(told.StaleReport, get(path("stale"), params, patience=_LONG)))


def reap_stale(
    core: Core, *, host: str | None = None, older_than: Duration | None = None, apply: bool = False
) -> Flow[told.ReapReport]:
    """What is left over and would be removed; with `apply` it is."""
    params = [("host", host), ("older_than", span(older_than)), ("apply", "true" if apply else None)]
    return (yield from core.one(told.ReapReport, post(path("stale", "reap"), None, params, patience=_LONG)))


def sinks(core: Core) -> Flow[list[told.SinkStatus]]:
    """Where events are sent, and how delivery stands."""
    return (yield from core.many(told.SinkStatus, get(path("sinks"))))


def webhooks(core: Core) -> Flow[list[told.SinkStatus]]:
    """The webhooks among the sinks."""
    return (yield from core.many(told.SinkStatus, get(path("webhooks"))))


def add_webhook(core: Core, url: str, *, events: Iterable[str] = ()) -> Flow[told.AddedWebhook]:
    """Adds a webhook for these kinds of events, such as `state.*`; none: for all. The secret is shown this once."""
    request = replace(post(path("webhooks"), {"url": url, "events": list(events)}), repeat=Repeat.UNDONE)
    return (yield from core.one(told.AddedWebhook, request))


def remove_webhook(core: Core, sink_id: str) -> Flow[told.SinkStatus]:
    """Removes a webhook, and forgets what was still to be sent there."""
    return (yield from core.one(told.SinkStatus, send("DELETE", path("webhooks", sink_id), repeat=Repeat.UNDONE)))


def try_webhook(core: Core, sink_id: str) -> Flow[told.TestedWebhook]:
    """Sends a message to a webhook as a test."""
    return (yield from core.one(told.TestedWebhook, post(path("webhooks", sink_id, "test"), patience=60)))


def redeliver(core: Core, *, sink: str | None = None, sandbox: str | None = None) -> Flow[told.Redelivered]:
    """Takes up again the events that were given up after too many tries, all or only some."""
    return (
        yield from core.one(told.Redelivered, post(path("events", "redeliver"), None, [("sink", sink), ("sandbox", sandbox)]))
    )


def keys(core: Core) -> Flow[list[told.Key]]:
    """The API keys, without their secrets."""
    return (yield from core.many(told.Key, get(path("keys"))))


def key(core: Core, key_id: str) -> Flow[told.Key]:
    """One API key."""
    return (yield from core.one(told.Key, get(path("keys", key_id))))


def make_key(
    core: Core,
    name: str,
    role: str,
    *,
    project: str | None = None,
    grants: Iterable[str] | None = None,
    expires_in: Duration | None = None,
) -> Flow[told.MadeKey]:
    """Makes an API key for a subject. Its `token` is shown this once."""
    asked = {"name": name, "role": role, "project": project, "expires_in": span(expires_in)}
    body: dict[str, object] = {member: value for member, value in asked.items() if value is not None}
    if grants is not None:
        body["grants"] = list(grants)
    # The server does not keep answers that have secrets, so a second try would make a second key.
    return (yield from core.one(told.MadeKey, replace(post(path("keys"), body), repeat=Repeat.UNDONE)))


def rotate_key(core: Core, key_id: str, *, overlap: Duration | None = None) -> Flow[told.MadeKey]:
    """Makes a key that takes the place of another, which is still taken for `overlap`."""
    body = {} if overlap is None else {"overlap": span(overlap)}
    request = replace(post(path("keys", key_id, "rotate"), body), repeat=Repeat.UNDONE)
    return (yield from core.one(told.MadeKey, request))


def revoke_key(core: Core, key_id: str) -> Flow[told.Key]:
    """Refuses a key from now on."""
    return (yield from core.one(told.Key, send("DELETE", path("keys", key_id))))


def projects(core: Core) -> Flow[list[told.Project]]:
    """What each project may use and does."""
    return (yield from core.many(told.Project, get(path("projects"))))


def project(core: Core, name: str) -> Flow[told.Project]:
    """What one project may use and does."""
    return (yield from core.one(told.Project, get(path("projects", name))))


def set_project(
    core: Core, name: str, *, max_live: int | None = None, creates_per_second: int | None = None, burst: int | None = None
) -> Flow[told.Project]:
    """Sets what a project may use; what is left out stays as it is."""
    asked = {"max_live": max_live, "creates_per_second": creates_per_second, "burst": burst}
    body = {member: value for member, value in asked.items() if value is not None}
    return (yield from core.one(told.Project, send("PUT", path("projects", name), body)))


def audit(core: Core, *, page_size: int | None = None) -> Feed[told.AuditRow]:
    """The rows of the audit log, newest first, page after page."""
    params = [("limit", None if page_size is None else str(page_size))]
    return (yield from core.pages(told.AuditRow, get(path("audit"), params)))


def verify_audit(core: Core) -> Flow[told.AuditVerdict]:
    """Whether the audit log is whole."""
    return (yield from core.one(told.AuditVerdict, post(path("audit", "verify"), patience=_LONG)))
