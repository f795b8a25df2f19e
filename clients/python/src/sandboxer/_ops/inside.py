"""Inside a sandbox: commands and files."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._core import Core, get, path, post, send
from .._flow import Answer, Body, Emit, Feed, Flow, Lost, Open, Read, Repeat, Request
from .._tar import file_body, tar_body
from .._values import Duration, seconds, span
from ..errors import ConnectionFailed, InvalidInput
from ..models.answers import ExecResult, FileEntry, WrittenFile

#: Seconds that the server gives a command when the caller does not say.
_USUAL = 60.0
#: Seconds that an answer may come later than a command has to end.
_GRACE = 30.0
_BYTES = "application/octet-stream"
_TAR = "application/x-tar"


def execute(
    core: Core,
    sandbox_id: str,
    *argv: str,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    service: str | None = None,
    timeout: Duration | None = None,
    check: bool = False,
    idempotency_key: str | None = None,
) -> Flow[ExecResult]:
    """Runs a command to its end, by default in the workspace and for 60 s at most (`timeout`, up to 10 minutes).

    With `check`, any end but 0 raises `CommandFailed`. When the connection breaks the command is asked for again under the same
    idempotency key, so it never runs twice.
    """
    if not argv:
        raise InvalidInput("there is no command", hints=['give the program and its arguments: exec("ls", "-l")'])
    body: dict[str, Any] = {"argv": list(argv)}
    if stdin is not None:
        as_text = isinstance(stdin, str)
        body["stdin" if as_text else "stdin_base64"] = stdin if isinstance(stdin, str) else base64.b64encode(stdin).decode()
    given = {"env": dict(env or {}), "cwd": cwd, "service": service, "timeout": span(timeout)}
    body.update((name, value) for name, value in given.items() if value not in (None, {}))
    patience = (_USUAL if timeout is None else seconds(timeout)) + _GRACE
    request = post(path("sandboxes", sandbox_id, "exec"), body, key=idempotency_key, patience=patience)
    result = yield from core.one(ExecResult, request)
    return result.check() if check else result


def list_files(core: Core, sandbox_id: str, directory: str = ".") -> Flow[list[FileEntry]]:
    """What is in a directory of the workspace."""
    return (yield from core.many(FileEntry, get(path("sandboxes", sandbox_id, "files", "list"), [("path", directory)])))


def read_file(core: Core, sandbox_id: str, file: str) -> Flow[bytes]:
    """A file of the workspace, whole; `iter_file` for one that may be large."""
    return (yield from core.call(_reading(sandbox_id, file, None))).body


def iter_file(core: Core, sandbox_id: str, file: str) -> Feed[bytes]:
    """A file of the workspace, piece by piece. A connection that breaks on the way raises `ConnectionFailed`."""
    return (yield from _pieces(core, _reading(sandbox_id, file, None)))


def iter_tar(core: Core, sandbox_id: str, directory: str = ".") -> Feed[bytes]:
    """A file or directory of the workspace as a tar stream, piece by piece.

    It was written by whoever is in the sandbox: unpack it with `tarfile.extractall(filter="data")` or with as much care.
    """
    return (yield from _pieces(core, _reading(sandbox_id, directory, "tar")))


def write_file(
    core: Core, sandbox_id: str, file: str, data: bytes | str | os.PathLike[str], *, mode: int | None = None
) -> Flow[WrittenFile]:
    """Writes a file of the workspace: bytes, text (as UTF-8), or what is in a local file (`Path`). `mode`: such as `0o755`."""
    if isinstance(data, (str, bytes)):
        body: bytes | Body = data.encode() if isinstance(data, str) else data
    else:
        body = file_body(Path(data))
    return (yield from core.one(WrittenFile, _writing(sandbox_id, file, body, mode=mode)))


def write_directory(
    core: Core, sandbox_id: str, source: str | os.PathLike[str], directory: str = ".", *, exclude: Sequence[str] = ()
) -> Flow[WrittenFile]:
    """Copies what is in a local directory below one of the workspace. Links and `exclude` are as for `upload`."""
    body = yield from tar_body(Path(source), exclude)
    return (yield from core.one(WrittenFile, _writing(sandbox_id, directory, body, archive="tar")))


def remove_file(core: Core, sandbox_id: str, file: str) -> Flow[None]:
    """Removes a file of the workspace."""
    # Done twice it would fail with `NotFound` although it was done.
    request = send("DELETE", path("sandboxes", sandbox_id, "files"), None, [("path", file)], repeat=Repeat.UNDONE)
    return (yield from core.none(request))


def _reading(sandbox_id: str, file: str, archive: str | None) -> Request:
    return get(path("sandboxes", sandbox_id, "files"), [("path", file), ("archive", archive)], patience=60)


def _writing(sandbox_id: str, file: str, body: bytes | Body, *, mode: int | None = None, archive: str | None = None) -> Request:
    params = [("path", file), ("mode", None if mode is None else f"{mode:04o}"), ("archive", archive)]
    kind = _TAR if archive else _BYTES
    return send("PUT", path("sandboxes", sandbox_id, "files"), body, params, kind=kind, patience=300)


def _pieces(core: Core, request: Request) -> Feed[bytes]:
    opened: Answer | Lost = yield Open(request)
    error = core.error(opened, request)
    if error is not None:
        raise error
    while True:
        piece: bytes | Lost = yield Read()
        if isinstance(piece, Lost):
            raise ConnectionFailed(f"{request} at {core.address} broke off: {piece.why}")
        if not piece:
            return
        yield Emit(piece)
