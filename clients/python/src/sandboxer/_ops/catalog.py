"""What there is to be had, and who asks."""

from __future__ import annotations

from .._core import Core, get, parse, path
from .._flow import Flow
from .._record import Json
from ..errors import BadAnswer
from ..models.admin import Identity, ListedProfile, Manifest


def whoami(core: Core) -> Flow[Identity]:
    """Who the key speaks for, and what it may do."""
    return (yield from core.one(Identity, get(path("me"))))


def profiles(core: Core) -> Flow[list[ListedProfile]]:
    """The profiles of the server's catalog."""
    return (yield from core.many(ListedProfile, get(path("profiles"))))


def profile(core: Core, profile_id: str) -> Flow[Json]:
    """A profile, fully resolved, as the server's profile reference describes it."""
    request = get(path("profiles", profile_id))
    found = parse((yield from core.call(request)), request)
    if not isinstance(found, dict):
        raise BadAnswer(f"{request} came to no object")
    return found


def extensions(core: Core) -> Flow[list[Manifest]]:
    """The backends of the server."""
    return (yield from core.many(Manifest, get(path("extensions"))))


def extension(core: Core, extension_id: str) -> Flow[Manifest]:
    """What a backend says of itself."""
    return (yield from core.one(Manifest, get(path("extensions", extension_id))))
