"""A local directory as a tar stream, read while it is sent.

What goes in: files, directories and symbolic links, in the order of their names, owned by nobody in particular, so that the same tree makes
the same bytes. A link goes in as a link and is never followed: nothing that lies outside of the tree is ever read, wherever links lead.
Inside the sandbox a link leads to what is at its target *there*. Sockets, pipes and devices have no content to send and are left out.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Generator
from pathlib import Path

from ._flow import Body
from .errors import InvalidInput

_CHUNK = 256 * 1024
_BLOCK = 512


def tar_body(root: Path) -> Body:
    """The tree below a directory, as the body of a request; raises `InvalidInput` if there is no such directory."""
    if not root.is_dir():
        raise InvalidInput(f"{root} is no directory on this machine", hints=["give a string for a directory of the server"])
    return Body(lambda: _pack(root))


def file_body(source: Path) -> Body:
    """A local file as the body of a request; raises `InvalidInput` if there is no such file."""
    if not source.is_file():
        raise InvalidInput(f"{source} is no file on this machine")

    def chunks() -> Generator[bytes, None, None]:
        with source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    return Body(chunks)


def _pack(root: Path) -> Generator[bytes, None, None]:
    # Whatever the directory is replaced with meanwhile, what is read is below the one that was opened.
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield from _directory(top, "", root)
    finally:
        os.close(top)
    yield bytes(2 * _BLOCK)


def _directory(here: int, below: str, root: Path) -> Generator[bytes, None, None]:
    for name in sorted(os.listdir(here)):
        inside = f"{below}{name}"
        try:
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                yield _header(inside, found, tarfile.SYMTYPE, target=os.readlink(name, dir_fd=here))
            elif stat.S_ISREG(found.st_mode):
                yield from _file(here, name, inside, root)
            elif stat.S_ISDIR(found.st_mode):
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
                try:
                    yield _header(inside, os.fstat(inner), tarfile.DIRTYPE)
                    yield from _directory(inner, f"{inside}/", root)
                finally:
                    os.close(inner)
        except OSError as error:
            raise InvalidInput(f"{root / inside} cannot be packed: {error.strerror or error}") from error


def _file(here: int, name: str, inside: str, root: Path) -> Generator[bytes, None, None]:
    # O_NONBLOCK: if it became a pipe since it was looked at, nobody waits for a writer.
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    with open(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInput(f"{root / inside} changed while it was read")
        yield _header(inside, found, tarfile.REGTYPE, size=found.st_size)
        left = found.st_size
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise InvalidInput(f"{root / inside} became shorter while it was read")
            left -= len(chunk)
            yield chunk
        if rest := -found.st_size % _BLOCK:
            yield bytes(rest)


def _header(inside: str, found: os.stat_result, kind: bytes, *, size: int = 0, target: str = "") -> bytes:
    info = tarfile.TarInfo(inside)
    info.type = kind
    info.mode = stat.S_IMODE(found.st_mode) & 0o777
    info.mtime = int(max(found.st_mtime, 0))
    info.size = size
    info.linkname = target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
