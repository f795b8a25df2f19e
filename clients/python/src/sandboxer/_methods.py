"""Operations as methods of clients and sandboxes, still without a word on how they are done: `call`, `each` and `scoped` of either client
make methods of these. Types of parameters and results are those of the operation, so no signature is written twice.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

from ._core import Core
from ._flow import Emit, Feed, Flow
from ._handle import Attached, Handle
from ._ops.sandboxes import destroy
from .errors import Stuck
from .models.answers import Destroyed
from .models.sandbox import CreatedRecord, SandboxRecord

P = ParamSpec("P")
X = TypeVar("X")
H = TypeVar("H", bound=Handle)
Kind = Callable[[Any, SandboxRecord], H]


def of_client(operation: Callable[Concatenate[Core, P], X]) -> Callable[Concatenate[Attached, P], X]:
    """As it is."""

    def method(self: Attached, /, *args: P.args, **kwargs: P.kwargs) -> X:
        return operation(self._driver.core, *args, **kwargs)

    return shown_as(method, operation, 1)


def of_sandbox(operation: Callable[Concatenate[Core, str, P], X]) -> Callable[Concatenate[Handle, P], X]:
    """On this sandbox."""

    def method(self: Handle, /, *args: P.args, **kwargs: P.kwargs) -> X:
        return operation(self._driver.core, self.id, *args, **kwargs)

    return shown_as(method, operation, 2)


def moving(
    operation: Callable[Concatenate[Core, str, P], Flow[SandboxRecord]],
) -> Callable[Concatenate[Handle, P], Flow[SandboxRecord]]:
    """On this sandbox, which takes in its new record."""

    def method(self: Handle, /, *args: P.args, **kwargs: P.kwargs) -> Flow[SandboxRecord]:
        self.record = yield from operation(self._driver.core, self.id, *args, **kwargs)
        return self.record

    return shown_as(method, operation, 2)


def ending(operation: Callable[Concatenate[Core, str, P], Flow[Destroyed]]) -> Callable[Concatenate[Handle, P], Flow[Destroyed]]:
    """On this sandbox, which ends."""

    def method(self: Handle, /, *args: P.args, **kwargs: P.kwargs) -> Flow[Destroyed]:
        destroyed = yield from operation(self._driver.core, self.id, *args, **kwargs)
        self._ended(destroyed)
        return destroyed

    return shown_as(method, operation, 2)


def handle(
    operation: Callable[Concatenate[Core, P], Flow[SandboxRecord]], kind: Kind[H]
) -> Callable[Concatenate[Attached, P], Flow[H]]:
    """Comes to a sandbox."""

    def method(self: Attached, /, *args: P.args, **kwargs: P.kwargs) -> Flow[H]:
        return kind(self._driver, (yield from operation(self._driver.core, *args, **kwargs)))

    return shown_as(method, operation, 1)


def handles(
    operation: Callable[Concatenate[Core, P], Feed[SandboxRecord]], kind: Kind[H]
) -> Callable[Concatenate[Attached, P], Feed[H]]:
    """Comes to many sandboxes."""

    def method(self: Attached, /, *args: P.args, **kwargs: P.kwargs) -> Feed[H]:
        feed = operation(self._driver.core, *args, **kwargs)
        told: Any = None
        while True:
            try:
                wanted = feed.send(told)
            except StopIteration:
                return
            told = yield Emit(kind(self._driver, wanted.value)) if isinstance(wanted, Emit) else wanted

    return shown_as(method, operation, 1)


def new(
    operation: Callable[Concatenate[Core, list[CreatedRecord], P], Flow[CreatedRecord]], kind: Kind[H]
) -> Callable[Concatenate[Attached, P], Flow[H]]:
    """Comes to a new sandbox."""

    def method(self: Attached, /, *args: P.args, **kwargs: P.kwargs) -> Flow[H]:
        return kind(self._driver, (yield from operation(self._driver.core, [], *args, **kwargs)))

    return shown_as(method, operation, 2)


def end_of_scope(core: Core, accepted: list[CreatedRecord]) -> Flow[None]:
    """Removes what a `with` block had made; raises `Stuck` if that is not certain."""
    for record in accepted:
        # One that was there before belongs to others as well.
        if record.reused:
            continue
        destroyed = yield from destroy(core, record.sandbox_id)
        if not destroyed.is_gone:
            why = destroyed.error.message if destroyed.error else "its absence could not be proven"
            raise Stuck(f"{destroyed.sandbox_id} is not gone yet: {why}", sandbox_id=record.sandbox_id)


M = TypeVar("M", bound=Callable[..., Any])


def shown_as(method: M, operation: Callable[..., Any], hidden: int) -> M:
    """The method, with the name, text and signature of its operation but for the parameters that the method fills in."""
    method.__name__ = operation.__name__
    method.__doc__ = operation.__doc__
    whole = inspect.signature(operation)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    rest = list(whole.parameters.values())[hidden:]
    method.__signature__ = whole.replace(parameters=[itself, *rest])  # type: ignore[attr-defined]
    return method
