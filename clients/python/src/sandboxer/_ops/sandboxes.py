"""Sandboxes that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from .._core import Core, get, path, post, send
from .._flow import Feed, Flow, Repeat
from .._values import Duration, moment, span
from ..errors import InvalidInput
from ..models.answers import Destroyed, ExpireAction, Explanation, ListedEvent, Operation
from ..models.sandbox import Reachability, SandboxRecord

#: Seconds for what takes a backend its time.
_LONG = 330.0


def get_sandbox(core: Core, sandbox_id: str) -> Flow[SandboxRecord]:
    """The sandbox with this id, whole."""
    return (yield from core.one(SandboxRecord, get(path("sandboxes", sandbox_id))))


def list_sandboxes(
    core: Core,
    *,
    state: str | Iterable[str] = (),
    all: bool = False,
    profile: str | None = None,
    project: str | None = None,
    actor: str | None = None,
    labels: Mapping[str, str] | None = None,
    run_id: str | None = None,
    id_prefix: str | None = None,
    page_size: int | None = None,
) -> Feed[SandboxRecord]:
    """The sandboxes that fit, newest first, page after page. Without `state` and `all`: those that are not destroyed."""
    states = [state] if isinstance(state, str) else state
    params = [
        *(("state", one) for one in states),
        ("all", "true" if all else None),
        ("profile", profile),
        ("project", project),
        ("actor", actor),
        *(("label", f"{name}={value}") for name, value in (labels or {}).items()),
        ("run_id", run_id),
        ("id_prefix", id_prefix),
        ("limit", None if page_size is None else str(page_size)),
    ]
    return (yield from core.pages(SandboxRecord, get(path("sandboxes"), params)))


def destroy(core: Core, sandbox_id: str) -> Flow[Destroyed]:
    """Removes it. Its `is_gone` says whether absence was proven; if not, the server goes on trying. Safe to repeat."""
    return (yield from core.one(Destroyed, send("DELETE", path("sandboxes", sandbox_id), patience=_LONG)))


def extend(
    core: Core, sandbox_id: str, duration: Duration | None = None, *, until: datetime | str | None = None
) -> Flow[SandboxRecord]:
    """Moves its deadline: by a duration from now or from the present deadline, whichever is later, or to a time (safe to repeat)."""
    if (duration is None) == (until is None):
        raise InvalidInput("give a duration or a time, one of the two")
    body = {"duration": span(duration)} if until is None else {"expires_at": moment(until)}
    # A duration that arrives twice counts twice, so it is sent again only if the server surely did not take it.
    repeat = Repeat.UNDONE if until is None else Repeat.ALWAYS
    request = send("PATCH", path("sandboxes", sandbox_id, "ttl"), body, patience=60, repeat=repeat)
    return (yield from core.one(SandboxRecord, request))


def label(core: Core, sandbox_id: str, labels: Mapping[str, str | None]) -> Flow[SandboxRecord]:
    """Sets labels; `None` removes one."""
    request = send("PATCH", path("sandboxes", sandbox_id), {"labels": dict(labels)})
    return (yield from core.one(SandboxRecord, request))


def recreate(core: Core, sandbox_id: str) -> Flow[SandboxRecord]:
    """Removes it and makes it again from its frozen profile, keeping the id. Waits until it is ready."""
    return (yield from core.one(SandboxRecord, post(path("sandboxes", sandbox_id, "recreate"), patience=_LONG)))


def activate(core: Core, sandbox_id: str) -> Flow[SandboxRecord]:
    """Marks it as used, for callers that use it by other ways than this API."""
    return (yield from core.one(SandboxRecord, post(path("sandboxes", sandbox_id, "activate"))))


def reachability(core: Core, sandbox_id: str) -> Flow[Reachability]:
    """How it is reached, with the state of its tunnel right now."""
    return (yield from core.one(Reachability, get(path("sandboxes", sandbox_id, "reachability"))))


def explain(core: Core, sandbox_id: str) -> Flow[Explanation]:
    """The seven questions about it, each with its evidence."""
    return (yield from core.one(Explanation, get(path("sandboxes", sandbox_id, "explain"))))


def history(core: Core, sandbox_id: str) -> Flow[list[ListedEvent]]:
    """Its events in order, with who does not have them yet."""
    return (yield from core.many(ListedEvent, get(path("sandboxes", sandbox_id, "events"))))


def logs(core: Core, sandbox_id: str, *, tail: int | None = None, service: str | None = None) -> Flow[str]:
    """The last lines that it printed, 100 unless `tail` says otherwise."""
    params = [("tail", None if tail is None else str(tail)), ("service", service)]
    answer = yield from core.call(get(path("sandboxes", sandbox_id, "logs"), params, patience=60))
    return answer.body.decode("utf-8", "replace")


def operation(core: Core, operation_id: str) -> Flow[Operation]:
    """How far an operation got."""
    return (yield from core.one(Operation, get(path("operations", operation_id))))


def expire(core: Core, *, apply: bool = False) -> Flow[list[ExpireAction]]:
    """What is past its time and would be removed; with `apply` it is."""
    request = post(path("sandboxes", "expire"), None, [("apply", "true" if apply else None)], patience=_LONG)
    return (yield from core.many(ExpireAction, request))
