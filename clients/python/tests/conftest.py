"""Fixtures, and the counting of what could not be tried."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .support import Face, Script, Scripted, Server

#: A client of the kind under test that talks to a script.
Faces = Callable[..., Scripted]


@pytest.fixture(params=["blocking", "awaiting"])
def faces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faces]:
    """Makes clients that talk to scripts; every test runs for both kinds of clients."""
    monkeypatch.delenv("SANDBOXER_API", raising=False)
    monkeypatch.delenv("SANDBOXER_API_KEY", raising=False)
    made: list[Scripted] = []

    def make(*lines: Any, **options: Any) -> Scripted:
        made.append(Scripted(request.param, Script(*lines), **options))
        return made[-1]

    yield make
    for face in made:
        face.close()
        assert not face.script.lines, f"never asked for: {face.script.lines}"


@pytest.fixture(scope="session")
def server() -> Server:
    """The server that is named in the environment. It is an error if there is none, unless it is known that there is none."""
    address, key = os.environ.get("SANDBOXER_TEST_API"), os.environ.get("SANDBOXER_TEST_KEY")
    if address and key:
        return Server(address, key)
    if os.environ.get("SANDBOXER_TEST_OFFLINE") == "1":
        pytest.skip("no server is named (SANDBOXER_TEST_OFFLINE=1)")
    pytest.fail("SANDBOXER_TEST_API and SANDBOXER_TEST_KEY are to name a server; SANDBOXER_TEST_OFFLINE=1 skips what needs one")


@pytest.fixture(params=["blocking", "awaiting"])
def live(request: pytest.FixtureRequest, server: Server) -> Iterator[Face]:
    """A client of the real server."""
    face = Face(request.param, server.address, server.key)
    yield face
    face.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A test that cannot run here is named and counted, as everywhere in the repository."""
    log = os.environ.get("SBX_SKIP_LOG")
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        line = f"python {report.nodeid}: {reason.removeprefix('Skipped: ')}"
        if log is None:
            terminalreporter.write_line(f"SKIPPED: {line}")
        else:
            with open(log, "a", encoding="utf-8") as file:
                file.write(line + "\n")
