"""Errors: one class for each code, with all that was told, and never the key."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import sandboxer
from sandboxer import (
    AsyncSandboxer,
    BadAnswer,
    CommandFailed,
    ConnectionFailed,
    Forbidden,
    NotFound,
    Sandboxer,
    SandboxerError,
    Usage,
    errors,
)

from .conftest import Faces
from .support import ADDRESS, ID, KEY, problem, record

SCHEMAS = Path(__file__).resolve().parents[3] / "docs" / "schemas"


def codes() -> list[str]:
    """The codes of the server, from its published schema."""
    schema = json.loads((SCHEMAS / "user-error.schema.json").read_text())
    return [one["const"] for one in schema["$defs"]["ErrorCode"]["oneOf"]]


def test_every_code_of_the_server_has_its_class() -> None:
    assert len(codes()) > 20
    for code in codes():
        name = "".join(part.capitalize() for part in code.split("_"))
        kind = errors.error_class(code)
        assert kind.__name__ == name and kind is getattr(sandboxer, name) and name in sandboxer.__all__


def test_an_error_has_all_that_the_server_told(faces: Faces) -> None:
    face = faces(problem(404, "not_found", "no sandbox sbx-1", X_Request_Id="req-7"))
    with pytest.raises(NotFound) as caught:
        face.do(lambda client: client.get(ID))
    error = caught.value
    assert (error.code, error.status, error.detail) == ("not_found", 404, "no sandbox sbx-1")
    assert error.hints == ["do this"] and error.request_id == "req-7"
    assert str(error) == "no sandbox sbx-1 (not_found)\nhint: do this"
    assert isinstance(pickle.loads(pickle.dumps(error)), NotFound)


def test_a_code_of_a_newer_server_is_kept(faces: Faces) -> None:
    with pytest.raises(SandboxerError) as caught:
        faces(problem(418, "teapot")).do(lambda client: client.get(ID))
    assert type(caught.value) is SandboxerError and caught.value.code == "teapot" and caught.value.status == 418


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404, text="<html>not here</html>"),
        httpx.Response(400, json=["no", "problem"]),
        httpx.Response(301, headers={"location": "https://elsewhere.test/"}),
        httpx.Response(200, text="hello"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"sandbox_id": ID}),
        httpx.Response(200, json=record(created_at="yesterday")),
        httpx.Response(200, json=record(generation="one")),
        httpx.Response(200, json=record(labels=[])),
    ],
)
def test_something_else_at_the_address_is_found_out(faces: Faces, answer: httpx.Response) -> None:
    face = faces(answer)
    with pytest.raises(BadAnswer):
        face.do(lambda client: client.get(ID))
    # Above all, a redirect is not followed: the key is for this server only.
    assert len(face.script.asked) == 1


def test_the_key_is_shown_nowhere(faces: Faces, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    face = faces(*[httpx.ConnectError("refused")] * 5, problem(403, "forbidden"), httpx.Response(200, json=record()))
    shown = [repr(face.client), str(vars(face.client)), repr(face.client._driver), str(vars(face.client._driver))]
    for kind in (ConnectionFailed, Forbidden):
        with pytest.raises(kind) as caught:
            face.do(lambda client: client.get(ID))
        error = caught.value
        shown += [str(error), repr(error), str(vars(error)), *traceback.format_exception(error)]
        # Tools that report errors follow these to the request, which has the key.
        assert error.__cause__ is None and error.__context__ is None
    shown.append(repr(face.do(lambda client: client.get(ID))))
    shown.append(caplog.text)
    assert all(KEY not in text and KEY[-32:] not in text for text in shown)


@pytest.mark.parametrize("kind", [Sandboxer, AsyncSandboxer])
@pytest.mark.parametrize("key", [f" {KEY}", f"{KEY}\n", f"{KEY}\r\nX: y", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_unseen(kind: type[Sandboxer], key: str) -> None:
    with pytest.raises(Usage, match="characters that no key has") as caught:
        kind(ADDRESS, key)
    assert key.strip() not in str(caught.value)


@pytest.mark.parametrize("kind", [Sandboxer, AsyncSandboxer])
@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1:8600", "ftp://x", "unix:relative", "http://", "http://u:secret@x", "http://x?y", "http://x:99999999", "//x"],
)
def test_an_address_that_makes_no_sense_is_refused(kind: type[Sandboxer], address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOXER_API", raising=False)
    with pytest.raises(Usage) as caught:
        kind(address, KEY)
    assert caught.value.hints and "secret" not in str(caught.value)


@pytest.mark.parametrize("kind", [Sandboxer, AsyncSandboxer])
def test_address_and_key_come_from_the_environment(kind: type[Sandboxer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOXER_API", "unix:/run/sandboxer.sock")
    monkeypatch.setenv("SANDBOXER_API_KEY", KEY)
    assert repr(kind()) == f"<{kind.__name__} unix:/run/sandboxer.sock>"
    monkeypatch.setenv("SANDBOXER_API_KEY", "")
    with pytest.raises(Usage, match="no API key"):
        kind()


def test_a_command_that_fails_can_be_an_error(faces: Faces) -> None:
    def done(**other: object) -> httpx.Response:
        told = {"exit_code": 0, "timed_out": False, "stdout": "", "stderr": "", "truncated": False}
        return httpx.Response(200, json={**told, **other})

    face = faces(
        httpx.Response(200, json=record()), done(exit_code=3, stderr="no such file\n"), done(exit_code=3), done(timed_out=True)
    )
    box = face.do(lambda client: client.get(ID))
    with pytest.raises(CommandFailed, match="ended with 3: no such file"):
        face.settle(box.exec("cat", "x", check=True))
    assert face.settle(box.exec("cat", "x")).exit_code == 3
    with pytest.raises(CommandFailed, match="time was up"):
        face.settle(box.exec("sleep", "100", check=True))


def test_what_makes_no_sense_is_refused_before_anything_is_sent(faces: Faces) -> None:
    face = faces(httpx.Response(200, json=record()))
    box = face.do(lambda client: client.get(ID))
    attempts: list[Callable[[], Any]] = [
        lambda: box.exec(),
        lambda: box.extend(),
        lambda: box.extend("1h", until="2026-01-02T03:04:05Z"),
        lambda: box.extend("1 hour"),
        lambda: box.extend(0),
        lambda: face.client.get(""),
        lambda: face.client.get(".."),
        lambda: face.client.create(inputs={"repo": Path("/does/not/exist")}),
        lambda: box.write_file("a", Path("/does/not/exist")),
    ]
    for attempt in attempts:
        with pytest.raises(sandboxer.InvalidInput):
            face.settle(attempt())
    assert len(face.script.asked) == 1
