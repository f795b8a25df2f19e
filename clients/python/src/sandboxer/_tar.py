"""A local directory as a tar stream, read while it is sent.

What goes in: files, directories and symbolic links, in the order of their names, owned by nobody in particular, so that the same tree makes
the same bytes. A link goes in as a link and is never followed, so nothing that lies outside of the tree is ever read; one that leads out of the
tree is refused, since the server would refuse it too. Sockets, pipes and devices have no content to send and are left out.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from ._flow import Body, Flow, Work
from ._links import Place, leads_out
from .errors import InvalidInput

_CHUNK = 256 * 1024
_BLOCK = 512


@dataclass(frozen=True)
class _Tree:
    """What is below a directory, without what is left out."""

    root: Path
    #: Patterns of names, or of paths below the root.
    exclude: tuple[str, ...]

    def leaves_out(self, place: Place) -> bool:
        """Whether something stays here."""
        names = (place[-1], "/".join(place))
        return any(fnmatchcase(name, pattern) for pattern in self.exclude for name in names)


def tar_body(root: Path, exclude: Sequence[str] = ()) -> Flow[Body]:
    """The tree below a directory, as the body of a request; raises `InvalidInput` where it cannot be sent."""
    tree = _Tree(root, (exclude,) if isinstance(exclude, str) else tuple(exclude))
    yield Work(lambda: _check(tree))
    return Body(lambda: _pack(tree))


def file_body(source: Path) -> Body:
    """A local file as the body of a request; raises `InvalidInput` if there is no such file."""
    if not source.is_file():
        raise InvalidInput(f"{source} is no file on this machine")

    def chunks() -> Generator[bytes, None, None]:
        with source.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    return Body(chunks)


def _check(tree: _Tree) -> None:
    if not tree.root.is_dir():
        raise InvalidInput(f"{tree.root} is no directory on this machine", hints=["give a string for a directory of the server"])
    links = {place: target for place, target in _entries(tree) if target is not None}
    for place, target in links.items():
        if leads_out(place, links):
            raise InvalidInput(
                f"{tree.root.joinpath(*place)} is a link to {target}, which leads out of {tree.root}",
                hints=["make it relative and inside, or leave it out: upload(directory, exclude=[…]).as_input"],
            )


def _entries(tree: _Tree) -> Iterator[tuple[Place, str | None]]:
    """Each place in the tree, and where it leads if it is a link."""
    below: list[Place] = [()]
    while below:
        here = below.pop()
        try:
            with os.scandir(tree.root.joinpath(*here)) as found:
                for entry in found:
                    place = (*here, entry.name)
                    if tree.leaves_out(place):
                        continue
                    yield place, os.readlink(entry.path) if entry.is_symlink() else None
                    if entry.is_dir(follow_symlinks=False):
                        below.append(place)
        except OSError as error:
            raise _unpacked(tree, here, error) from error


def _unpacked(tree: _Tree, place: Place, error: OSError) -> InvalidInput:
    return InvalidInput(f"{tree.root.joinpath(*place)} cannot be packed: {error.strerror or error}")


def _pack(tree: _Tree) -> Generator[bytes, None, None]:
    # Whatever the directory is replaced with meanwhile, what is read is below the one that was opened.
    top = os.open(tree.root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield from _directory(tree, top, ())
    finally:
        os.close(top)
    yield bytes(2 * _BLOCK)


def _directory(tree: _Tree, here: int, below: Place) -> Generator[bytes, None, None]:
    for name in sorted(os.listdir(here)):
        place = (*below, name)
        if tree.leaves_out(place):
            continue
        try:
            found = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                yield _header(place, found, tarfile.SYMTYPE, target=os.readlink(name, dir_fd=here))
            elif stat.S_ISREG(found.st_mode):
                yield from _file(tree, here, place)
            elif stat.S_ISDIR(found.st_mode):
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
                try:
                    yield _header(place, os.fstat(inner), tarfile.DIRTYPE)
                    yield from _directory(tree, inner, place)
                finally:
                    os.close(inner)
        except OSError as error:
            raise _unpacked(tree, place, error) from error


def _file(tree: _Tree, here: int, place: Place) -> Generator[bytes, None, None]:
    # O_NONBLOCK: if it became a pipe since it was looked at, nobody waits for a writer.
    descriptor = os.open(place[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    with open(descriptor, "rb", buffering=0) as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidInput(f"{tree.root.joinpath(*place)} changed while it was read")
        yield _header(place, found, tarfile.REGTYPE, size=found.st_size)
        left = found.st_size
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise InvalidInput(f"{tree.root.joinpath(*place)} became shorter while it was read")
            left -= len(chunk)
            yield chunk
        if rest := -found.st_size % _BLOCK:
            yield bytes(rest)


def _header(place: Place, found: os.stat_result, kind: bytes, *, size: int = 0, target: str = "") -> bytes:
    info = tarfile.TarInfo("/".join(place))
    info.type = kind
    info.mode = stat.S_IMODE(found.st_mode) & 0o777
    info.mtime = int(max(found.st_mtime, 0))
    info.size = size
    info.linkname = target
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
