"""A directory as a tar stream: links stay links and do not lead out, nothing from outside is read, and the same tree makes the same bytes."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxer import InvalidInput
from sandboxer._flow import Body, Work
from sandboxer._links import leads_out
from sandboxer._tar import file_body, tar_body


def body(root: Path, *exclude: str) -> Body:
    """The body for a directory, once the work that it wants is done."""
    flow = tar_body(root, exclude)
    wanted = next(flow)
    assert isinstance(wanted, Work)
    wanted.do()
    try:
        next(flow)
    except StopIteration as end:
        assert isinstance(end.value, Body)
        return end.value
    raise AssertionError("it wants more")


def packed(root: Path, *exclude: str) -> bytes:
    return b"".join(body(root, *exclude).open())


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


def test_links_stay_links_and_are_never_followed(tmp_path: Path) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "a.txt").write_text("once")
    targets = {"file": "dir/a.txt", "directory": "dir", "nowhere": "gone", "circle": "circle", "dir/up": "../dir/a.txt"}
    for name, target in targets.items():
        (tmp_path / name).symlink_to(target)
    data = packed(tmp_path)
    found = members(data)
    assert {name: found[name].linkname for name in targets} == targets
    assert all(found[name].issym() and found[name].size == 0 for name in targets)
    assert set(found) == {*targets, "dir", "dir/a.txt"} and data.count(b"once") == 1


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "..", "dir/../../outside", "through/x"])
def test_links_that_lead_out_are_refused_before_anything_is_sent(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    (root / "dir").mkdir(parents=True)
    (root / "link").symlink_to(target)
    if target.startswith("through"):
        (root / "through").symlink_to("/etc")
    with pytest.raises(InvalidInput, match="leads out of") as caught:
        body(root)
    assert (
        f"is a link to {'/etc' if target.startswith('through') else target}," in caught.value.detail
        or "through" in caught.value.detail
    )
    assert "exclude" in caught.value.hints[0]
    assert "dir" in members(packed(root, "link", "through"))


@pytest.mark.parametrize(
    "link, links, is_out",
    [
        ("a", {"a": "b"}, False),
        ("a/b", {"a/b": "../c"}, False),
        ("a/b", {"a/b": "../../c"}, True),
        ("a", {"a": ".."}, True),
        ("a", {"a": "./../x"}, True),
        ("a/b/c", {"a/b/c": "../../d//e/."}, False),
        ("a", {"a": "/etc"}, True),
        ("a/b", {"a/b": "x/../../../c"}, True),
        ("a", {"a": "b", "b": "c", "c": "/etc"}, True),
        ("a", {"a": "b", "b": "c", "c": "d"}, False),
        ("a", {"a": "d/e", "d": ".."}, True),
        # One level up from where a link leads, not from where it is.
        ("a", {"a": "x/y/l/..", "x/y/l": "../.."}, True),
        ("a", {"a": "x/y/l/../f", "x/y/l": "../z"}, False),
        ("a", {"a": "b", "b": "a"}, False),
    ],
)
def test_where_a_link_leads(link: str, links: dict[str, str], is_out: bool) -> None:
    places = {tuple(name.split("/")): target for name, target in links.items()}
    assert leads_out(tuple(link.split("/")), places) is is_out


def test_what_is_left_out_stays_here(tmp_path: Path) -> None:
    for name in (".venv/bin/python", "src/a.py", "src/a.pyc", "src/.venv/x", "build/a.o", "build/deep/b.o"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert list(members(packed(tmp_path, ".venv", "*.pyc", "build/*.o"))) == ["build", "build/deep", "src", "src/a.py"]


def test_a_directory_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("nobody is to read this")
    root = tmp_path / "root"
    (root / "b").mkdir(parents=True)
    (root / "a").write_bytes(b"a" * 1000)
    pieces = body(root).open()
    data = next(pieces)
    (root / "b").rmdir()
    (root / "b").symlink_to(outside)
    data += b"".join(pieces)
    assert members(data)["b"].issym() and b"nobody" not in data


def test_a_directory_that_becomes_a_link_at_the_last_moment_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("nobody is to read this")
    root = tmp_path / "root"
    (root / "b").mkdir(parents=True)
    pieces = body(root).open()
    usual = os.open

    def late(path: str, flags: int, *others: int, dir_fd: int | None = None) -> int:
        if path == "b":
            (root / "b").rmdir()
            (root / "b").symlink_to(outside)
        return usual(path, flags, *others, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(InvalidInput, match="root/b cannot be packed"):
        b"".join(pieces)


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
    pieces = body(tmp_path).open()
    next(pieces), next(pieces)
    os.truncate(file, 10)
    with pytest.raises(InvalidInput, match="file became shorter"):
        list(pieces)


def test_a_file_that_grows_is_sent_as_long_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 600_000)
    pieces = body(tmp_path).open()
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
        body(tmp_path / "file")
    with pytest.raises(InvalidInput):
        file_body(tmp_path)


def descriptors() -> Iterator[str]:
    return (os.readlink(f"/proc/self/fd/{one}") for one in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{one}"))


def test_nothing_stays_open_when_it_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").write_bytes(b"x" * 10_000)
    pieces = body(tmp_path).open()
    next(pieces), next(pieces), next(pieces)
    assert any(name.startswith(str(tmp_path)) for name in descriptors())
    pieces.close()
    assert not any(name.startswith(str(tmp_path)) for name in descriptors())
