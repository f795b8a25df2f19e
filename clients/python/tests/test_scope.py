"""Making a sandbox, waiting for it, and its end with the `with` block."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandboxer import AsyncSandboxer, BackendFailed, NotFound, Stuck, Timeout, WrongState

from .conftest import Faces
from .support import ADDRESS, ID, KEY, Script, destroyed, problem, record

DESTROY = f"DELETE /v1/sandboxes/{ID}"


def accepted(state: str = "requested", **other: Any) -> httpx.Response:
    return httpx.Response(202, json=record(state=state, reused=False, **other))


def ready(state: str = "ready", **other: Any) -> httpx.Response:
    return httpx.Response(200, json=record(state=state, **other))


def test_a_create_waits_until_it_is_ready(faces: Faces) -> None:
    face = faces(accepted(), problem(408, "timeout"), ready())
    box = face.do(lambda client: client.create("profile.native", ttl="30m", labels={"a": "b"}, run_id="r"))
    assert (box.id, box.state, box.reused) == (ID, "ready", False)
    wait = f"GET /v1/sandboxes/{ID}/wait?state=ready&timeout=30s"
    assert face.script.paths == ["POST /v1/sandboxes", wait, wait]
    body = json.loads(face.script.asked[0].content)
    assert body == {"profile": "profile.native", "ttl": "30m", "labels": {"a": "b"}, "consumer": {"run_id": "r"}}
    # The server may take as long as it was asked to wait, and a little longer.
    assert face.script.asked[1].extensions["timeout"]["read"] == 50


def test_one_that_is_found_ready_is_not_waited_for(faces: Faces) -> None:
    box = faces(httpx.Response(200, json=record(scope="shared", reused=True))).do(lambda client: client.create())
    assert box.reused and box.state == "ready"


def test_a_create_need_not_wait(faces: Faces) -> None:
    face = faces(accepted(), ready())
    box = face.do(lambda client: client.create(wait=False))
    assert box.state == "requested"
    assert face.settle(box.wait()).state == "ready" and box.state == "ready"


def test_patience_ends(faces: Faces) -> None:
    face = faces(accepted(), problem(408, "timeout"), problem(408, "timeout"))
    object.__setattr__(face.client._driver.core, "clock", Clock(face.script, step=31.0))
    with pytest.raises(Timeout) as caught:
        face.do(lambda client: client.create(timeout=60))
    assert caught.value.sandbox_id == ID


class Clock:
    """Goes on with each request."""

    def __init__(self, script: Script, step: float) -> None:
        self.script, self.step = script, step

    def __call__(self) -> float:
        return len(self.script.asked) * self.step


def test_what_went_wrong_while_it_was_made_is_told(faces: Faces) -> None:
    failure = {"code": "backend_failed", "step": "provision", "message": "no room", "hint": "make some"}
    face = faces(accepted(), problem(409, "wrong_state"), ready("failed", error=failure))
    with pytest.raises(BackendFailed) as caught:
        face.do(lambda client: client.create())
    error = caught.value
    assert (error.detail, error.hints, error.sandbox_id, error.status) == ("no room", ["make some"], ID, 409)


def test_a_wait_for_what_will_never_be_says_so(faces: Faces) -> None:
    face = faces(accepted(), problem(409, "wrong_state", "it is being destroyed"), ready("destroying"))
    with pytest.raises(WrongState, match="it is being destroyed"):
        face.do(lambda client: client.create())


def test_a_local_directory_is_uploaded(faces: Faces, tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    told = {"upload_id": "upl-1", "entries": 1, "bytes": 0, "expires_at": "2026-01-02T03:04:05Z"}
    face = faces(httpx.Response(201, json=told), accepted("ready"))
    face.do(lambda client: client.create(inputs={"repo": tmp_path, "name": "x"}))
    assert face.script.paths == ["POST /v1/uploads", "POST /v1/sandboxes"]
    assert json.loads(face.script.asked[1].content) == {"inputs": {"repo": "upload:upl-1", "name": "x"}}


def test_a_scope_ends_its_sandbox(faces: Faces) -> None:
    face = faces(accepted("ready"), destroyed())
    assert face.within(lambda client: client.sandbox("profile.native"), lambda box: box.id) == ID
    assert face.script.paths[-1] == DESTROY


def test_a_scope_ends_its_sandbox_when_its_body_fails(faces: Faces) -> None:
    def fail(_: Any) -> None:
        raise KeyError("mine")

    face = faces(accepted("ready"), destroyed())
    with pytest.raises(KeyError, match="mine"):
        face.within(lambda client: client.sandbox(), fail)
    assert face.script.paths[-1] == DESTROY


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
def test_a_scope_ends_its_sandbox_when_the_program_is_interrupted_while_it_waits(faces: Faces, error: BaseException) -> None:
    def interrupt(_: httpx.Request) -> httpx.Response:
        raise error

    face = faces(accepted(), interrupt, destroyed())
    with pytest.raises(type(error)):
        face.within(lambda client: client.sandbox(), lambda _: None)
    assert face.script.paths[-1] == DESTROY


def test_a_scope_removes_what_does_not_become_ready(faces: Faces) -> None:
    face = faces(accepted(), problem(409, "wrong_state"), ready("failed"), destroyed())
    with pytest.raises(WrongState):
        face.within(lambda client: client.sandbox(), lambda _: None)
    assert face.script.paths[-1] == DESTROY


def test_a_scope_leaves_what_was_there_before(faces: Faces) -> None:
    face = faces(httpx.Response(200, json=record(scope="shared", reused=True)))
    face.within(lambda client: client.sandbox(scope="shared"), lambda box: None)


def test_what_an_earlier_try_made_is_ours(faces: Faces) -> None:
    # The answer to the first try was lost; to the second, the server says that the same key made it before.
    again = httpx.Response(201, json=record(reused=False, replayed=True))
    face = faces(httpx.ReadError("reset"), again, destroyed())
    face.within(lambda client: client.sandbox(), lambda box: None)
    assert face.script.paths[-1] == DESTROY
    # What another part of the same run has made is not.
    face = faces(httpx.Response(200, json=record(reused=True, consumer={"actor": "agt", "run_id": "r"})))
    face.within(lambda client: client.sandbox(run_id="r"), lambda box: None)


def test_a_scope_whose_create_is_refused_removes_nothing(faces: Faces) -> None:
    with pytest.raises(NotFound):
        faces(problem(404, "not_found")).within(lambda client: client.sandbox("profile.none"), lambda box: None)


def test_a_sandbox_that_is_not_gone_is_told_of(faces: Faces) -> None:
    error = {"code": "stuck", "step": "teardown", "message": "a mount is busy", "hint": None}
    face = faces(accepted("ready"), destroyed("destroying", error=error))
    with pytest.raises(Stuck, match="not gone yet: a mount is busy"):
        face.within(lambda client: client.sandbox(), lambda box: None)


def test_the_first_error_is_the_one_that_is_raised(faces: Faces, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Any) -> None:
        raise KeyError("mine")

    face = faces(accepted("ready"), problem(500, "internal", "out of order"))
    with caplog.at_level(logging.WARNING, "sandboxer"), pytest.raises(KeyError):
        face.within(lambda client: client.sandbox(), fail)
    assert "left over: out of order" in caplog.text


def cancelling(body: Callable[[asyncio.Event], Any]) -> None:
    """Cancels a task once it says that it got there."""

    async def main() -> None:
        there = asyncio.Event()
        task = asyncio.ensure_future(body(there))
        await there.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_task_that_is_cancelled_ends_its_sandbox() -> None:
    script = Script(accepted("ready"), destroyed())

    async def body(there: asyncio.Event) -> None:
        async with AsyncSandboxer(ADDRESS, KEY, transport=httpx.MockTransport(script)) as client:
            async with client.sandbox():
                there.set()
                await asyncio.Event().wait()

    cancelling(body)
    assert script.paths[-1] == DESTROY
