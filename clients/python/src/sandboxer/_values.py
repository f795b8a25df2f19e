"""Values as the API writes them: durations and times."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from typing import Union

from .errors import InvalidInput

#: `"90s"`, a number of seconds, or a `timedelta`.
Duration = Union[str, int, float, timedelta]

_SPAN = re.compile(r"([0-9]+)([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(duration: Duration) -> float:
    """How long it is, in seconds; raises `InvalidInput` unless it is more than nothing."""
    if isinstance(duration, str):
        found = _SPAN.fullmatch(duration)
        if found is None:
            raise InvalidInput(
                f"{duration!r} is not a duration", hints=["write a whole number and s, m, h or d, such as 90s, 30m, 4h or 2d"]
            )
        length = float(int(found[1]) * _SECONDS[found[2]])
    else:
        length = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if not length > 0 or math.isinf(length):
        raise InvalidInput(f"{duration!r} is not a duration: it is to be more than nothing")
    return length


def span(duration: Duration | None) -> str | None:
    """A duration as the server takes it: what is no whole number of seconds is rounded up."""
    if duration is None:
        return None
    length = seconds(duration)
    return duration if isinstance(duration, str) else f"{math.ceil(length)}s"


def moment(time: datetime | str | None) -> str | None:
    """A time as the server takes it; one without a zone is refused, since it could be any."""
    if time is None or isinstance(time, str):
        return time
    if time.utcoffset() is None:
        raise InvalidInput(f"{time.isoformat()} has no time zone", hints=["use datetime.now(timezone.utc)"])
    return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
