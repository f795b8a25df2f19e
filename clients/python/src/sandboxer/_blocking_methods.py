"""Methods that block."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Concatenate, ParamSpec, TypeVar

from ._blocking import Blocking
from ._core import Core
from ._flow import Feed, Flow
from ._handle import Attached, Handle
from ._methods import Kind, end_of_scope, shown_as
from .errors import SandboxerError
from .models.sandbox import CreatedRecord

P = ParamSpec("P")
T = TypeVar("T")
H = TypeVar("H", bound=Handle)
A = TypeVar("A", bound=Attached)

_LOG = logging.getLogger("sandboxer")


def _driver(of: Attached) -> Blocking:
    assert isinstance(of._driver, Blocking), "a method of the other client"
    return of._driver


def call(flow: Callable[Concatenate[A, P], Flow[T]]) -> Callable[Concatenate[A, P], T]:
    """A method that returns what the flow comes to."""

    def method(self: A, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return _driver(self).run(flow(self, *args, **kwargs))

    return shown_as(method, flow, 1)


def each(feed: Callable[Concatenate[A, P], Feed[T]]) -> Callable[Concatenate[A, P], Generator[T, None, None]]:
    """A method that returns an iterator over what the feed comes to."""

    def method(self: A, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return _driver(self).each(feed(self, *args, **kwargs))

    return shown_as(method, feed, 1)


def scoped(
    operation: Callable[Concatenate[Core, list[CreatedRecord], P], Flow[CreatedRecord]], kind: Kind[H]
) -> Callable[Concatenate[Attached, P], AbstractContextManager[H]]:
    """A method that returns a sandbox for a `with` block: destroyed at its end, and also when it does not become ready."""

    @contextmanager
    def method(self: Attached, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[H]:
        accepted: list[CreatedRecord] = []
        driver = _driver(self)
        try:
            yield kind(driver, driver.run(operation(driver.core, accepted, *args, **kwargs)))
        except BaseException:
            try:
                driver.run(end_of_scope(driver.core, accepted))
            except SandboxerError as error:
                # What went wrong first is what the caller is to hear of.
                _LOG.warning("a sandbox was left over: %s", error)
            raise
        driver.run(end_of_scope(driver.core, accepted))

    return shown_as(method, operation, 2)
