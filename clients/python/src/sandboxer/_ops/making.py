"""Making sandboxes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._core import Core, get, path, post
from .._flow import Flow
from .._tar import tar_body
from .._values import Duration, seconds, span
from ..errors import RateLimited, SandboxerError, Timeout, WrongState, error_class
from ..models.answers import Plan, Upload
from ..models.sandbox import CreatedRecord, SandboxRecord

#: Seconds that one request waits for a state; longer waits are several requests.
_SLICE = 30.0
#: Seconds that an answer may come later than the server was asked for it.
_GRACE = 20.0


def upload(core: Core, directory: str | os.PathLike[str], *, exclude: Sequence[str] = ()) -> Flow[Upload]:
    """Uploads a local directory, to be an input of creates: give its `as_input`.

    `exclude`: patterns such as `".venv"` or `"build/*.o"`; what has such a name, or such a path in the directory, stays here. Links go as
    links and are never followed; one that leads out of the directory is refused.
    """
    body = yield from tar_body(Path(directory), exclude)
    return (yield from core.one(Upload, post(path("uploads"), body, kind="application/x-tar", patience=300)))


def create(
    core: Core,
    accepted: list[CreatedRecord],
    profile: str | None = None,
    *,
    inputs: Mapping[str, str | os.PathLike[str]] | None = None,
    ttl: Duration | None = None,
    labels: Mapping[str, str] | None = None,
    scope: str | None = None,
    host: str | None = None,
    actor: str | None = None,
    project: str | None = None,
    run_id: str | None = None,
    wait: bool = True,
    timeout: Duration = 300,
    idempotency_key: str | None = None,
) -> Flow[CreatedRecord]:
    """Makes a sandbox, or finds the one that fits the scope, and waits until it is ready.

    `inputs`: a `Path` is a local directory that is uploaded, a string is passed on as it is. `ttl`: such as `"30m"`. `wait=False`
    returns as soon as it is accepted. Raises what went wrong; `Timeout` (with `sandbox_id`) when it takes longer than `timeout`,
    and then it is still being made.
    """
    body = yield from _body(core, profile, inputs, ttl, labels, scope, host, actor, project, run_id)
    found = yield from core.one(CreatedRecord, post(path("sandboxes"), body, key=idempotency_key, patience=60))
    # From here on there is something that a caller who gives up has to remove.
    accepted.append(found)
    if not wait or found.is_usable:
        return found
    ready = yield from wait_for(core, found.sandbox_id, "ready", timeout=timeout)
    return CreatedRecord(**{**vars(ready), "reused": found.reused, "replayed": found.replayed})


def plan(
    core: Core,
    profile: str | None = None,
    *,
    inputs: Mapping[str, str | os.PathLike[str]] | None = None,
    ttl: Duration | None = None,
    labels: Mapping[str, str] | None = None,
    scope: str | None = None,
    host: str | None = None,
    actor: str | None = None,
    project: str | None = None,
    run_id: str | None = None,
) -> Flow[Plan]:
    """What a create would do: profile, backend, host, price. It refuses what a create refuses, and makes nothing."""
    body = yield from _body(core, profile, inputs, ttl, labels, scope, host, actor, project, run_id)
    return (yield from core.one(Plan, post(path("plans"), body)))


def _body(
    core: Core,
    profile: str | None,
    inputs: Mapping[str, str | os.PathLike[str]] | None,
    ttl: Duration | None,
    labels: Mapping[str, str] | None,
    scope: str | None,
    host: str | None,
    actor: str | None,
    project: str | None,
    run_id: str | None,
) -> Flow[dict[str, Any]]:
    text: dict[str, str] = {}
    lifetime = span(ttl)
    for name, value in (inputs or {}).items():
        text[name] = value if isinstance(value, str) else (yield from upload(core, value)).as_input
    consumer = _given({"actor": actor, "project": project, "run_id": run_id})
    body = {"profile": profile, "inputs": text, "ttl": lifetime, "labels": dict(labels or {}), "scope": scope, "host": host}
    return _given({**body, "consumer": consumer})


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, {})}


def wait_for(core: Core, sandbox_id: str, state: str = "ready", *, timeout: Duration = 300) -> Flow[SandboxRecord]:
    """Waits until the sandbox is in this state or past it. Raises `Timeout`, or why it will never be."""
    end = core.clock() + seconds(timeout)
    while True:
        left = min(max(end - core.clock(), 1.0), _SLICE)
        request = get(path("sandboxes", sandbox_id, "wait"), [("state", state), ("timeout", span(left))], patience=left + _GRACE)
        try:
            return (yield from core.one(SandboxRecord, request))
        except Timeout as error:
            if core.clock() >= end:
                error.sandbox_id = sandbox_id
                raise
        except RateLimited:
            # Others wait with the same key; one of them will be done.
            if core.clock() >= end:
                raise
        except WrongState as error:
            raise (yield from _cause(core, sandbox_id, error)) from None


def _cause(core: Core, sandbox_id: str, error: WrongState) -> Flow[SandboxerError]:
    """Why a sandbox will never be in a state: what its record says went wrong, else what the wait said."""
    record = yield from core.one(SandboxRecord, get(path("sandboxes", sandbox_id)))
    failure = record.error
    if failure is None:
        error.sandbox_id = sandbox_id
        return error
    hints = [failure.hint] if failure.hint else []
    kind = error_class(failure.code)
    return kind(
        failure.message,
        code=failure.code,
        status=error.status,
        hints=hints,
        request_id=error.request_id,
        sandbox_id=sandbox_id,
    )
