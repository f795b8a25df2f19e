"""Server-sent events: bytes in whatever pieces they come, messages out."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import BadAnswer

#: An event that is larger is none of ours.
_MOST = 4 * 1024 * 1024


@dataclass(frozen=True)
class Message:
    """One message."""

    #: Where it is in the stream; empty: the server did not say.
    id: str
    event: str
    data: str


class Parser:
    """Reads one connection."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._event = ""
        self._data: list[str] = []
        self._length = 0

    def feed(self, piece: bytes) -> list[Message]:
        """The messages that this piece completes."""
        # A line may end in CR LF, and a piece between the two.
        lines = (self._rest + piece).replace(b"\r\n", b"\n")
        held = b"\r" if lines.endswith(b"\r") else b""
        *whole, rest = lines[: len(lines) - len(held)].replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + held
        if len(self._rest) + self._length > _MOST:
            raise BadAnswer("an event is longer than any that sand-boxer sends")
        found = [self._line(line.decode("utf-8", "replace")) for line in whole]
        return [message for message in found if message is not None]

    def _line(self, line: str) -> Message | None:
        if not line:
            return self._complete()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._length += len(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _complete(self) -> Message | None:
        data, event = self._data, self._event
        self._data, self._event, self._length = [], "", 0
        return Message(self._id, event or "message", "\n".join(data)) if data else None
