"""What the README says is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sandboxer import Admin, Sandbox, Sandboxer

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def examples() -> list[str]:
    """The examples in Python, in order."""
    return re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def section(start: str, end: str) -> str:
    return README.split(start, 1)[1].split(end, 1)[0]


def public(kind: type[Any]) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    "kind, start, end, others",
    [
        (Sandboxer, "Of a client", "Of a sandbox", {"admin"}),
        (Sandbox, "Of a sandbox", "Of `client.admin`", {"id", "state", "record", "reachability", "reused"}),
        (Admin, "Of `client.admin`", "Durations", set()),
    ],
)
def test_the_tables_have_every_method_and_no_other(kind: type[Any], start: str, end: str, others: set[str]) -> None:
    text = section(start, end)
    cells = "\n".join(line.split("|")[1] if line.startswith("|") else line for line in text.splitlines())
    told = {re.split(r"\W", name)[0] for name in re.findall(r"`([a-z_]+[^`]*)`", cells)}
    assert told - others - {"client"} == public(kind) - others


def test_the_first_example_is_ten_lines_and_every_example_is_python() -> None:
    first, *rest = examples()
    assert len(first.splitlines()) <= 10
    for text in (first, *rest):
        compile(text, "README.md", "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
