"""Lists, page after page."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from sandboxer import BadAnswer

from .conftest import Faces
from .support import problem, record

IDS = [f"sbx-{number:026d}" for number in range(5)]


def page(ids: list[str], following: str | None) -> httpx.Response:
    return httpx.Response(200, json={"items": [record(sandbox_id=one) for one in ids], "next_cursor": following})


def test_pages_are_one_list(faces: Faces) -> None:
    face = faces(page(IDS[:2], "a"), page([], "b"), page(IDS[2:], None))
    found = face.take(lambda client: client.list(state=["ready", "active"], labels={"a": "b=c"}, page_size=2))
    assert [box.id for box in found] == IDS
    query = "state=ready&state=active&label=a%3Db%3Dc&limit=2"
    assert face.script.paths == [f"GET /v1/sandboxes?{query}{more}" for more in ("", "&cursor=a", "&cursor=b")]


def test_a_page_is_asked_for_when_it_is_needed(faces: Faces) -> None:
    face = faces(page(IDS[:2], "a"))
    assert len(face.take(lambda client: client.list(), 2)) == 2
    assert face.script.paths == ["GET /v1/sandboxes"]


def test_what_is_listed_can_be_used(faces: Faces) -> None:
    face = faces(page(IDS[:1], None), problem(404, "not_found"))
    (box,) = face.take(lambda client: client.list(all=True, state="failed"))
    with pytest.raises(Exception, match="not_found"):
        face.settle(box.refresh())
    assert face.script.paths == ["GET /v1/sandboxes?state=failed&all=true", f"GET /v1/sandboxes/{IDS[0]}"]


def test_a_page_that_fails_on_the_way_is_tried_again(faces: Faces) -> None:
    face = faces(page(IDS[:2], "a"), httpx.ReadError("reset"), page(IDS[2:], None))
    assert len(face.take(lambda client: client.list())) == 5
    assert face.slept == [0.25]


@pytest.mark.parametrize("following", ["a", 7])
def test_pages_do_not_go_round_in_circles(faces: Faces, following: Any) -> None:
    face = faces(page(IDS[:1], "a"), page(IDS[:1], following))
    with pytest.raises(BadAnswer):
        face.take(lambda client: client.list())


def test_the_audit_log_has_pages_too(faces: Faces) -> None:
    row = {"seq": 2, "at": "2026-01-02T03:04:05Z", "action": "sandbox.create", "status": 201, "previous": "0", "digest": "1"}
    pages = [httpx.Response(200, json={"items": [row], "next_cursor": following}) for following in ("x", None)]
    face = faces(*pages)
    assert [one.seq for one in face.take(lambda client: client.admin.audit())] == [2, 2]
