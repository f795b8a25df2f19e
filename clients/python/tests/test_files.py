"""Files of a workspace."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandboxer import ConnectionFailed, NotFound

from .conftest import Faces
from .support import ID, Pieces, Scripted, problem, record

FILES = f"/v1/sandboxes/{ID}/files"
WRITTEN = httpx.Response(200, json={"path": "a", "bytes": 1})


def opened(faces: Faces, *lines: Any) -> tuple[Scripted, Any]:
    face = faces(httpx.Response(200, json=record()), *lines)
    return face, face.do(lambda client: client.get(ID))


def test_bytes_text_and_local_files_are_written(faces: Faces, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"\xff" * 600_000)
    face, box = opened(faces, WRITTEN, WRITTEN, WRITTEN)
    for data in (b"\x00", "é", tmp_path / "local"):
        face.settle(box.write_file("a/ü", data, mode=0o755))
    assert [request.content for request in face.script.asked[1:]] == [b"\x00", "é".encode(), b"\xff" * 600_000]
    assert face.script.paths[1:] == [f"PUT {FILES}?path=a%2F%C3%BC&mode=0755"] * 3
    assert {request.headers["content-type"] for request in face.script.asked[1:]} == {"application/octet-stream"}


def test_a_directory_is_written_as_tar(faces: Faces, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    face, box = opened(faces, WRITTEN)
    face.settle(box.write_directory(tmp_path, "sub"))
    request = face.script.asked[1]
    assert face.script.paths[1] == f"PUT {FILES}?path=sub&archive=tar"
    assert tarfile.open(fileobj=io.BytesIO(request.content)).getnames() == ["x"]


def test_an_empty_file_is_a_file(faces: Faces) -> None:
    face, box = opened(faces, WRITTEN)
    face.settle(box.write_file("a", b""))
    assert face.script.asked[1].content == b""


def test_files_are_read_whole_or_piece_by_piece(faces: Faces) -> None:
    pieces = Pieces(b"ab", b"c")
    face, box = opened(faces, httpx.Response(200, content=b"abc"), httpx.Response(200, stream=pieces))
    assert face.settle(box.read_file("a")) == b"abc"
    assert b"".join(face.take(lambda _: box.iter_file("a"))) == b"abc" and pieces.is_closed
    assert face.script.paths[1:] == [f"GET {FILES}?path=a"] * 2


def test_half_a_file_is_never_taken_for_all_of_it(faces: Faces) -> None:
    face, box = opened(faces, httpx.Response(200, stream=Pieces(b"ab", httpx.ReadError("reset"))), problem(404, "not_found"))
    with pytest.raises(ConnectionFailed, match="broke off: reset"):
        face.take(lambda _: box.iter_tar("d"))
    with pytest.raises(NotFound):
        face.take(lambda _: box.iter_file("a"))


def test_directories_are_listed(faces: Faces) -> None:
    face, box = opened(faces, httpx.Response(200, json=[{"name": "a", "kind": "link", "size": 3}]))
    (entry,) = face.settle(box.list_files())
    assert (entry.name, entry.kind, entry.size) == ("a", "link", 3)
    assert face.script.paths[1] == f"GET {FILES}/list?path=."


def test_a_removal_is_not_done_twice(faces: Faces) -> None:
    face, box = opened(faces, httpx.ConnectError("refused"), httpx.Response(204), httpx.ReadError("reset"))
    assert face.settle(box.remove_file("a")) is None
    with pytest.raises(ConnectionFailed):
        face.settle(box.remove_file("a"))


def test_logs_are_text(faces: Faces) -> None:
    face, box = opened(faces, httpx.Response(200, content=b"one\n\xff"))
    assert face.settle(box.logs(tail=5)) == "one\n\ufffd"
    assert face.script.paths[1] == f"GET /v1/sandboxes/{ID}/logs?tail=5"
