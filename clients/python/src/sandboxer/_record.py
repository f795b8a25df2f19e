"""JSON of the server as dataclasses.

What a newer server adds is kept in `extra`, what an older one leaves out has a default: an answer is refused only where it lacks
what nobody can do without, or has it in another type.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar, Union

from .errors import BadAnswer

Json = dict[str, Any]
R = TypeVar("R", bound="Record")

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")


@dataclass(frozen=True, kw_only=True)
class Record:
    """An object of an answer."""

    #: Members that this release has no name for.
    extra: Json = field(default_factory=dict, repr=False)


def decode(kind: type[R], value: object, where: str = "the answer") -> R:
    """The object as a record of this kind.

    Raises `BadAnswer` where a member is missing or of another type.
    """
    if not isinstance(value, Mapping):
        raise BadAnswer(f"{where} is no object")
    known = _fields(typing.cast(Hashable, kind))
    given = {name: _value(hint, value[name], f"{where}.{name}") for name, (hint, _) in known.items() if name in value}
    missing = [name for name, (_, needed) in known.items() if needed and name not in given]
    if missing:
        raise BadAnswer(f"{where} has no `{missing[0]}`")
    return kind(**given, extra={name: member for name, member in value.items() if name not in known})


def decode_list(kind: type[R], value: object, where: str = "the answer") -> list[R]:
    """The same for an array."""
    if not isinstance(value, list):
        raise BadAnswer(f"{where} is no array")
    return [decode(kind, item, f"{where}[{place}]") for place, item in enumerate(value)]


def parse_time(text: str, where: str = "the answer") -> datetime:
    """A time of RFC 3339, to the microsecond."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise BadAnswer(f"{where} is no time: {text[:40]!r}")
    day, clock, fraction, zone = found.groups()
    zone = "+00:00" if zone in "Zz" else zone
    moment = datetime.fromisoformat(f"{day}T{clock}{zone}")
    return moment.replace(microsecond=int(((fraction or "") + "000000")[:6])).astimezone(timezone.utc)


@functools.cache
def _fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Name → its type, and whether there is no answer without it."""
    hints = typing.get_type_hints(kind)
    lacking = dataclasses.MISSING
    return {
        member.name: (hints[member.name], member.default is lacking and member.default_factory is lacking)
        for member in dataclasses.fields(kind)
        if member.name != "extra"
    }


def _value(hint: Any, value: object, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return _value(next(one for one in inner if one is not type(None)), value, where)
    if origin is list:
        if not isinstance(value, list):
            raise BadAnswer(f"{where} is no array")
        return [_value(inner[0], item, f"{where}[{place}]") for place, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, Mapping):
            raise BadAnswer(f"{where} is no object")
        return {name: _value(inner[1], member, f"{where}.{name}") for name, member in value.items()}
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast(type[Record], hint), value, where)
    if hint is datetime:
        return parse_time(value, where) if isinstance(value, str) else _refuse("a time", where)
    if hint is float:
        return float(value) if _is_number(value) else _refuse("a number", where)
    if hint is int and isinstance(value, bool):
        return _refuse("a whole number", where)
    return value if isinstance(value, hint) else _refuse(f"of type {hint.__name__}", where)


def _is_number(value: Any) -> typing.TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse(what: str, where: str) -> typing.NoReturn:
    raise BadAnswer(f"{where} is not {what}")
