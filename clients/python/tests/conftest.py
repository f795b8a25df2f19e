"""Fixtures, and the counting of what could not be tried."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .support import Face, Script

#: A client of the kind under test that talks to a script.
Faces = Callable[..., Face]


@pytest.fixture(params=["blocking", "awaiting"])
def faces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faces]:
    """Makes clients that talk to scripts; every test runs for both kinds of clients."""
    monkeypatch.delenv("SANDBOXER_API", raising=False)
    monkeypatch.delenv("SANDBOXER_API_KEY", raising=False)
    made: list[Face] = []

    def make(*lines: Any, **options: Any) -> Face:
        made.append(Face(request.param, Script(*lines), **options))
        return made[-1]

    yield make
    for face in made:
        face.close()
        assert not face.script.lines, f"never asked for: {face.script.lines}"


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A test that cannot run here is named and counted, as everywhere in the repository."""
    if not report.skipped:
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    line = f"python {report.nodeid}: {reason.removeprefix('Skipped: ')}"
    if log := os.environ.get("SBX_SKIP_LOG"):
        with open(log, "a", encoding="utf-8") as file:
            file.write(line + "\n")
    else:
        print(f"SKIPPED: {line}")
