"""A directory as a tar stream: links stay links, nothing from outside is read, and the same tree makes the same bytes."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxer import InvalidInput
from sandboxer._tar import file_body, tar_body


def packed(root: Path) -> bytes:
    return b"".join(tar_body(root).open())


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {member.name: member for member in archive.getmembers()}


def content(data: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def test_files_and_directories_go_in_with_their_modes(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    (tmp_path / "src" / "deep" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "src" / "deep" / "run.sh").chmod(0o4755)
    (tmp_path / "nothing").touch()
    data = packed(tmp_path)
    found = members(data)
    assert list(found) == ["empty", "nothing", "src", "src/deep", "src/deep/run.sh"]
    assert found["empty"].isdir() and found["nothing"].size == 0
    # Not the bit that gives rights of its owner away.
    assert found["src/deep/run.sh"].mode == 0o755
    assert content(data, "src/deep/run.sh") == b"#!/bin/sh\n"
    assert len(data) % 512 == 0


def test_links_stay_links_wherever_they_lead(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("nobody is to read this")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_text("a")
    targets = {"inside": "a.txt", "file": "../outside/secret", "directory": "../outside", "absolute": "/etc/passwd", "nowhere": "gone"}
    for name, target in targets.items():
        (root / name).symlink_to(target)
    data = packed(root)
    found = members(data)
    assert {name: found[name].linkname for name in targets} == targets
    assert all(found[name].issym() and found[name].size == 0 for name in targets)
    assert set(found) == {*targets, "a.txt"}
    assert b"nobody is to read this" not in data


def test_a_directory_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("nobody is to read this")
    root = tmp_path / "root"
    (root / "b").mkdir(parents=True)
    (root / "a").write_bytes(b"a" * 1000)
    pieces = tar_body(root).open()
    data = next(pieces)
    (root / "b").rmdir()
    (root / "b").symlink_to(outside)
    data += b"".join(pieces)
    assert members(data)["b"].issym() and b"nobody" not in data


def test_the_same_tree_makes_the_same_bytes_for_everybody(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / name).write_text(name)
    data = packed(tmp_path)
    assert packed(tmp_path) == data
    assert all((member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "") for member in members(data).values())


def test_what_has_no_content_stays_here(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "socket"))
    (tmp_path / "file").touch()
    assert list(members(packed(tmp_path))) == ["file"]


def test_long_and_odd_names_come_through(tmp_path: Path) -> None:
    names = ["é" * 60, "line\nbreak", "x" * 200, os.fsdecode(b"\xff\xfe")]
    for name in names:
        (tmp_path / name).write_text(name, errors="surrogateescape")
    (tmp_path / ("y" * 150)).mkdir()
    (tmp_path / ("y" * 150) / ("z" * 150)).symlink_to("t" * 150)
    found = members(packed(tmp_path))
    assert set(names) <= set(found)
    assert found["y" * 150 + "/" + "z" * 150].linkname == "t" * 150


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1_000_000)
    pieces = tar_body(tmp_path).open()
    next(pieces), next(pieces)
    os.truncate(file, 10)
    with pytest.raises(InvalidInput, match="file became shorter"):
        list(pieces)


def test_a_file_that_grows_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 600_000)
    pieces = tar_body(tmp_path).open()
    data = next(pieces) + next(pieces)
    with file.open("ab") as more:
        more.write(b"y" * 1000)
    data += b"".join(pieces)
    assert content(data, "file") == b"x" * 600_000


def test_what_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").touch()
    usual = os.open

    def refusing(path: str, flags: int, *others: int, dir_fd: int | None = None) -> int:
        if path == "file":
            raise PermissionError(13, "Permission denied")
        return usual(path, flags, *others, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(InvalidInput, match="inner/file cannot be packed: Permission denied"):
        packed(tmp_path)


def test_what_is_no_directory_or_file_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput):
        tar_body(tmp_path / "file")
    with pytest.raises(InvalidInput):
        file_body(tmp_path)


def descriptors() -> Iterator[str]:
    return (os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{one}"))


def test_nothing_stays_open_when_it_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x" * 10_000)
    pieces = tar_body(tmp_path).open()
    next(pieces), next(pieces), next(pieces)
    assert any(name.startswith(str(tmp_path)) for name in descriptors())
    pieces.close()
    assert not any(name.startswith(str(tmp_path)) for name in descriptors())
