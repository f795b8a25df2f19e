"""Everything that can go wrong, one exception for each code of the server.

The name of a class is its code in camel case: `not_found` is `NotFound`. What has no code of the server (`ConnectionFailed`,
`BadAnswer`, `CommandFailed`) is found on this side. A code that this release does not know is a plain `SandboxerError`, which has it
in `code`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class SandboxerError(Exception):
    """An error as the server says it, or as it was found here."""

    #: The code that a class stands for.
    CODE: ClassVar[str] = ""

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        hints: Sequence[str] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
        sandbox_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        #: Machine-readable kind.
        self.code = code or self.CODE
        #: Status of the answer; `None`: there was none.
        self.status = status
        #: What was tried, on what, and why it failed.
        self.detail = detail
        #: What to do next, one line each.
        self.hints = list(hints)
        #: What the server calls the request in its logs.
        self.request_id = request_id
        #: Seconds after which the server wants to be asked again.
        self.retry_after = retry_after
        #: The sandbox that was being made or waited for.
        self.sandbox_id = sandbox_id

    def __str__(self) -> str:
        return "\n".join([f"{self.detail} ({self.code})", *(f"hint: {hint}" for hint in self.hints)])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.detail!r}, code={self.code!r}, status={self.status!r})"


class Internal(SandboxerError):
    """A bug of the server."""

    CODE = "internal"


class Usage(SandboxerError):
    """The command line or request makes no sense."""

    CODE = "usage"


class InvalidProfile(SandboxerError):
    """A profile, manifest or configuration file is wrong."""

    CODE = "invalid_profile"


class InvalidInput(SandboxerError):
    """An input, label or option has a wrong value."""

    CODE = "invalid_input"


class InvalidTtl(SandboxerError):
    """A time to live is wrong or over the profile's maximum."""

    CODE = "invalid_ttl"


class NotFound(SandboxerError):
    """No sandbox, profile, extension or host of this name."""

    CODE = "not_found"


class Ambiguous(SandboxerError):
    """A prefix fits several ids."""

    CODE = "ambiguous"


class WrongState(SandboxerError):
    """The sandbox is in a state that does not allow it."""

    CODE = "wrong_state"


class KeyConflict(SandboxerError):
    """An idempotency key was used for another request."""

    CODE = "key_conflict"


class Busy(SandboxerError):
    """Somebody else is working on it."""

    CODE = "busy"


class Fenced(SandboxerError):
    """A newer owner took over; this process may not write any more."""

    CODE = "fenced"


class CannotEnforce(SandboxerError):
    """What was asked for cannot be enforced here."""

    CODE = "cannot_enforce"


class Unsupported(SandboxerError):
    """The extension does not have this capability."""

    CODE = "unsupported"


class NoRoute(SandboxerError):
    """Every candidate was ruled out, or no extension fits."""

    CODE = "no_route"


class MissingPrerequisite(SandboxerError):
    """The machine lacks something the backend needs."""

    CODE = "missing_prerequisite"


class Unavailable(SandboxerError):
    """The backend failed in a way that may pass."""

    CODE = "unavailable"


class BackendFailed(SandboxerError):
    """The backend failed for good."""

    CODE = "backend_failed"


class Timeout(SandboxerError):
    """A deadline passed."""

    CODE = "timeout"


class Stuck(SandboxerError):
    """A teardown could not prove absence."""

    CODE = "stuck"


class StoreUnavailable(SandboxerError):
    """The state directory or database cannot be used."""

    CODE = "store_unavailable"


class StoreCorrupt(SandboxerError):
    """The database is damaged."""

    CODE = "store_corrupt"


class StoreForeign(SandboxerError):
    """The database was written by a newer release, or is not ours."""

    CODE = "store_foreign"


class Interrupted(SandboxerError):
    """The user interrupted it; what it had done was undone."""

    CODE = "interrupted"


class Unauthenticated(SandboxerError):
    """There is no API key with the request, or none that is valid."""

    CODE = "unauthenticated"


class Forbidden(SandboxerError):
    """The API key does not allow it."""

    CODE = "forbidden"


class RateLimited(SandboxerError):
    """Too many requests in a short time."""

    CODE = "rate_limited"


class QuotaExceeded(SandboxerError):
    """The project has as much as it may have."""

    CODE = "quota_exceeded"


class PreconditionFailed(SandboxerError):
    """It was changed since it was read (`If-Match`)."""

    CODE = "precondition_failed"


class TooLarge(SandboxerError):
    """The request is larger than it may be."""

    CODE = "too_large"


class NotAllowed(SandboxerError):
    """The method, media type or encoding of a request is not one that is taken there."""

    CODE = "not_allowed"


class InDoubt(SandboxerError):
    """The server died while it did this before, and whether it was done cannot be told."""

    CODE = "in_doubt"


class AlreadyDone(SandboxerError):
    """It was done before, and what it showed is shown only once."""

    CODE = "already_done"


class Draining(SandboxerError):
    """The server is stopping and takes no more work."""

    CODE = "draining"


class ConnectionFailed(SandboxerError):
    """The server could not be reached, or the connection broke before it had answered."""

    CODE = "connection_failed"


class BadAnswer(SandboxerError):
    """The answer is not what the API promises: most often something else than sand-boxer answers at the address."""

    CODE = "bad_answer"


class CommandFailed(SandboxerError):
    """A command inside ended with another code than 0, and `check` was asked for."""

    CODE = "command_failed"


def _find() -> dict[str, type[SandboxerError]]:
    return {kind.CODE: kind for kind in SandboxerError.__subclasses__()}


_BY_CODE = _find()


def error_class(code: str) -> type[SandboxerError]:
    """The exception of a code; `SandboxerError` for one that this release does not know."""
    return _BY_CODE.get(code, SandboxerError)
