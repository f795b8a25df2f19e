"""What is sent again, after how long, and what never is."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandboxer import BadAnswer, ConnectionFailed, Draining, QuotaExceeded, RateLimited, Retries, SandboxerError, Unavailable

from .conftest import Faces
from .support import ADDRESS, ID, KEY, problem, record

REFUSED = httpx.ConnectError("connection refused")
BROKE = httpx.ReadError("connection reset")
OK = httpx.Response(200, json=record())


def ready(**other: Any) -> httpx.Response:
    return httpx.Response(200, json=record(**other))


def keys(requests: list[httpx.Request]) -> set[str]:
    return {request.headers["idempotency-key"] for request in requests}


@pytest.mark.parametrize("failure", [REFUSED, BROKE, httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("gone")])
def test_a_read_is_tried_again_whatever_broke(faces: Faces, failure: Exception) -> None:
    face = faces(failure, failure, ready())
    assert face.do(lambda client: client.get(ID)).id == ID
    assert face.slept == [0.25, 0.5]


@pytest.mark.parametrize("failure", [REFUSED, BROKE, problem(503, "unavailable"), problem(429, "rate_limited")])
def test_a_post_keeps_its_idempotency_key_and_body_through_all_tries(faces: Faces, failure: Any) -> None:
    face = faces(failure, failure, httpx.Response(202, json={**record(), "reused": False}))
    face.do(lambda client: client.create("profile.native"))
    assert len(face.script.asked) == 3 and len(keys(face.script.asked)) == 1
    assert len({request.content for request in face.script.asked}) == 1


def test_two_posts_have_two_keys_and_a_caller_may_choose_one(faces: Faces) -> None:
    done = httpx.Response(200, json={"exit_code": 0, "timed_out": False, "stdout": "", "stderr": "", "truncated": False})
    face = faces(ready(), done, done, done)
    box = face.do(lambda client: client.get(ID))
    for key in (None, None, "mine"):
        face.settle(box.exec("true", idempotency_key=key))
    sent = [request.headers["idempotency-key"] for request in face.script.asked[1:]]
    assert len(set(sent)) == 3 and sent[2] == "mine"


def test_it_gives_up_in_the_end_and_says_what_it_tried(faces: Faces) -> None:
    face = faces(*[REFUSED] * 5)
    with pytest.raises(ConnectionFailed) as caught:
        face.do(lambda client: client.get(ID))
    told = str(caught.value)
    assert f"GET /v1/sandboxes/{ID} at {ADDRESS} failed: connection refused" in told
    assert "5 tries" in told and "SANDBOXER_API" in told
    assert face.slept == [0.25, 0.5, 1.0, 2.0]


def test_waits_are_spread_and_bounded() -> None:
    hasty, slow = Retries(spread=lambda: 0.0), Retries(spread=lambda: 1.0)
    assert (hasty.pause(1), slow.pause(1)) == (0.125, 0.25)
    assert (hasty.pause(30), slow.pause(30)) == (4.0, 8.0)


def test_what_the_server_asks_for_is_waited(faces: Faces) -> None:
    face = faces(problem(429, "rate_limited", Retry_After="3"), problem(503, "draining", Retry_After="2"), ready())
    face.do(lambda client: client.get(ID))
    assert face.slept == [3.25, 2.25]


def test_a_server_that_asks_for_too_much_patience_is_not_waited_for(faces: Faces) -> None:
    face = faces(problem(429, "rate_limited", Retry_After="3600"))
    with pytest.raises(RateLimited) as caught:
        face.do(lambda client: client.get(ID))
    assert caught.value.retry_after == 3600 and face.slept == []


def test_a_quota_does_not_pass_by_waiting(faces: Faces) -> None:
    face = faces(problem(429, "quota_exceeded"))
    with pytest.raises(QuotaExceeded):
        face.do(lambda client: client.create("profile.native"))


@pytest.mark.parametrize(
    "status, code", [(500, "internal"), (502, "backend_failed"), (409, "in_doubt"), (409, "busy"), (404, "not_found")]
)
def test_other_errors_are_final(faces: Faces, status: int, code: str) -> None:
    face = faces(problem(status, code))
    with pytest.raises(SandboxerError, match="it does not work") as caught:
        face.do(lambda client: client.create("profile.native"))
    assert caught.value.code == code


def test_a_proxy_that_has_no_server_is_tried_again(faces: Faces) -> None:
    page = httpx.Response(503, text="<html>no server</html>")
    with pytest.raises(BadAnswer) as caught:
        faces(page, page, page, page, page).do(lambda client: client.get(ID))
    assert caught.value.status == 503


def test_time_that_is_added_is_not_added_twice(faces: Faces) -> None:
    # The connection broke after the request: perhaps the time was added, perhaps not.
    face = faces(ready(), BROKE)
    box = face.do(lambda client: client.get(ID))
    with pytest.raises(ConnectionFailed):
        face.settle(box.extend("1h"))
    # It never came to a connection, or the server said that it took nothing: certainly not added.
    face = faces(ready(), REFUSED, problem(429, "rate_limited"), problem(503, "draining"), ready(state="active"))
    box = face.do(lambda client: client.get(ID))
    face.settle(box.extend("1h"))
    assert box.state == "active"
    # Somebody behind the server failed: perhaps after it was added.
    face = faces(ready(), problem(503, "unavailable"))
    box = face.do(lambda client: client.get(ID))
    with pytest.raises(Unavailable):
        face.settle(box.extend("1h"))


def test_a_key_is_not_made_twice(faces: Faces) -> None:
    # The server does not keep answers with secrets, so it would not know the second try.
    for attempt in (lambda client: client.admin.make_key("n", "agt", project="p"), lambda client: client.admin.rotate_key("k")):
        with pytest.raises(ConnectionFailed):
            faces(BROKE).do(attempt)


def test_a_deadline_may_be_set_twice(faces: Faces) -> None:
    face = faces(ready(), BROKE, ready())
    box = face.do(lambda client: client.get(ID))
    face.settle(box.extend(until="2026-01-02T03:04:05Z"))


def test_no_retries_when_none_are_wanted(faces: Faces) -> None:
    face = faces(problem(503, "draining"), retries=Retries(most=0))
    with pytest.raises(Draining):
        face.do(lambda client: client.get(ID))


def test_a_certificate_that_is_not_trusted_stays_so(faces: Faces) -> None:
    face = faces(httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"))
    with pytest.raises(ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED.*1 try"):
        face.do(lambda client: client.get(ID))


def test_an_upload_starts_anew_when_it_is_tried_again(faces: Faces, tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_text("a" * 3000)
    told = {"upload_id": "upl-1", "entries": 1, "bytes": 3000, "expires_at": "2026-01-02T03:04:05Z"}
    face = faces(BROKE, httpx.Response(201, json=told))
    assert face.do(lambda client: client.upload(tmp_path)).as_input == "upload:upl-1"
    first, second = face.script.asked
    assert first.content == second.content and len(first.content) > 3000
    assert first.headers["content-type"] == "application/x-tar" and len(keys([first, second])) == 1


def test_every_request_carries_the_key(faces: Faces) -> None:
    face = faces(REFUSED, ready())
    face.do(lambda client: client.get(ID))
    assert [request.headers["authorization"] for request in face.script.asked] == [f"Bearer {KEY}"] * 2
