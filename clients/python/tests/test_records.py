"""Answers as dataclasses: what a newer server adds is kept, and names are those of the published schemas."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandboxer import BadAnswer, InvalidInput, Sandbox, models
from sandboxer._record import decode, parse_time
from sandboxer._values import moment, span

from .conftest import Faces
from .support import ID, destroyed, record

SCHEMAS = Path(__file__).resolve().parents[3] / "docs" / "schemas"

#: Published schema → its record here.
PUBLISHED = {
    "sandbox": models.SandboxRecord,
    "created": models.CreatedRecord,
    "destroyed": models.Destroyed,
    "plan": models.Plan,
    "expire-action": models.ExpireAction,
    "explanation": models.Explanation,
    "event": models.Event,
    "listed-event": models.ListedEvent,
    "listed-profile": models.ListedProfile,
    "manifest": models.Manifest,
    "host-status": models.HostStatus,
    "host-inspection": models.HostInspection,
    "stale-report": models.StaleReport,
    "reap-report": models.ReapReport,
    "sink-status": models.SinkStatus,
    "added-webhook": models.AddedWebhook,
    "tested-webhook": models.TestedWebhook,
    "redelivered": models.Redelivered,
    "status": models.Status,
}


def differences(kind: type[Any], schema: dict[str, Any], whole: dict[str, Any], where: str) -> list[str]:
    """Where a record and a schema do not have the same members, all the way down."""
    told, found = schema["properties"], []
    own = {member.name for member in dataclasses.fields(kind)} - {"extra", "position"}
    found += [f"{where}: {name} is only in the schema" for name in told.keys() - own]
    found += [f"{where}: {name} is only here" for name in own - told.keys()]
    for member in dataclasses.fields(kind):
        inner = next(
            (one for name, one in vars(models).items() if name in str(member.type).replace("[", " ").replace("]", " ").split()),
            None,
        )
        reference = _reference(told.get(member.name, {}))
        if inner is not None and reference is not None:
            found += differences(inner, whole["$defs"][reference], whole, f"{where}.{member.name}")
    return found


def _reference(schema: dict[str, Any]) -> str | None:
    for one in (schema, schema.get("items", {}), *schema.get("anyOf", [])):
        if isinstance(one, dict) and "$ref" in one:
            return str(one["$ref"]).rsplit("/", 1)[1]
    return None


@pytest.mark.parametrize("name", PUBLISHED)
def test_records_have_the_members_of_the_published_schemas(name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    assert differences(PUBLISHED[name], schema, schema, name) == []


def test_what_is_not_known_is_kept_at_every_depth() -> None:
    told = record(colour="green", reachability={"workspace": "/w", "pigeon": {"ring": 7}})
    found = decode(models.SandboxRecord, told)
    assert found.extra == {"colour": "green"}
    assert found.reachability is not None and found.reachability.extra == {"pigeon": {"ring": 7}}


def test_an_unknown_state_is_no_error() -> None:
    assert decode(models.SandboxRecord, record(state="hibernating")).state == "hibernating"


def test_what_may_be_left_out_may_be_left_out() -> None:
    needed = {name: value for name, value in record().items() if value is not None and value != {}}
    assert decode(models.SandboxRecord, needed).labels == {}


@pytest.mark.parametrize(
    "text, moment_of_it",
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456)),
        ("2026-01-02T03:04:05.5+02:00", datetime(2026, 1, 2, 1, 4, 5, 500000)),
    ],
)
def test_times_are_read_to_the_microsecond(text: str, moment_of_it: datetime) -> None:
    assert parse_time(text) == moment_of_it.replace(tzinfo=timezone.utc)


def test_what_is_no_time_is_refused() -> None:
    for text in ("", "now", "2026-01-02", "2026-01-02T03:04:05"):
        with pytest.raises(BadAnswer):
            parse_time(text)


def test_durations_are_written_as_the_server_reads_them() -> None:
    pairs: list[tuple[Any, str | None]] = [
        ("90s", "90s"),
        ("4h", "4h"),
        (90, "90s"),
        (0.2, "1s"),
        (timedelta(hours=1), "3600s"),
        (None, None),
    ]
    for given, sent in pairs:
        assert span(given) == sent
    refused: list[Any] = ["", "1", "1w", "1.5h", "-1h", "0s", "٣h", 0, -1, float("inf"), float("nan")]
    for wrong in refused:
        with pytest.raises(InvalidInput):
            span(wrong)


def test_times_are_sent_with_their_zone() -> None:
    assert moment(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))) == "2026-01-02T02:04:05Z"
    with pytest.raises(InvalidInput, match="no time zone"):
        moment(datetime(2026, 1, 2))


def test_secrets_that_are_shown_once_are_not_printed() -> None:
    key = {
        "key_id": "k",
        "name": "n",
        "role": "agt",
        "grants": [],
        "created_at": "2026-01-02T03:04:05Z",
        "token": "sbx_live_secret",
    }
    made = decode(models.MadeKey, key)
    assert made.token == "sbx_live_secret" and "secret" not in repr(made)


def test_a_sandbox_takes_in_what_it_hears(faces: Faces) -> None:
    face = faces(httpx.Response(200, json=record()), httpx.Response(200, json=record(state="active", ttl="1h")), destroyed())
    box = face.do(lambda client: client.get(ID))
    assert repr(box) == f"<{type(box).__name__} {ID} ready>" and box.reachability.workspace == "/workspace"
    assert face.settle(box.extend("1h")).ttl == "1h"
    assert (box.state, box.record.ttl) == ("active", "1h")
    assert face.settle(box.destroy()).is_gone
    assert (box.state, box.record.reason) == ("destroyed", "destroyed_by_request")


def test_bytes_that_are_no_text_come_through(faces: Faces) -> None:
    told = {"exit_code": 0, "timed_out": False, "stdout": "\ufffd", "stdout_base64": "/w==", "stderr": "é", "truncated": False}
    face = faces(httpx.Response(200, json=record()), httpx.Response(200, json=told))
    box = face.do(lambda client: client.get(ID))
    result = face.settle(box.exec("cat", stdin=b"\xff", env={"A": "b"}, cwd="x", timeout="2m"))
    assert result.stdout_bytes == b"\xff" and result.stderr_bytes == "é".encode()
    sent = json.loads(face.script.asked[1].content)
    assert sent == {"argv": ["cat"], "stdin_base64": "/w==", "env": {"A": "b"}, "cwd": "x", "timeout": "2m"}
    # The answer may take as long as the command, and a little longer.
    assert face.script.asked[1].extensions["timeout"]["read"] == 150


def test_both_clients_have_the_same_names() -> None:
    from sandboxer import Admin, AsyncAdmin, AsyncSandbox, AsyncSandboxer, Sandboxer

    def names(kind: type[Any]) -> set[str]:
        return {name for name in dir(kind) if not name.startswith("_")}

    for blocking, awaiting in [(Sandboxer, AsyncSandboxer), (Sandbox, AsyncSandbox), (Admin, AsyncAdmin)]:
        assert names(blocking) == names(awaiting)
        assert all(getattr(blocking, name).__doc__ == getattr(awaiting, name).__doc__ for name in names(blocking))
