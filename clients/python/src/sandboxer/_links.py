"""Where links lead. The server takes no directory with a link that leads out of it, so that is found before anything is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

#: More links than this on one way are a circle for Linux too.
_MOST = 40

#: A path below the root, in its parts.
Place = tuple[str, ...]


def leads_out(link: Place, links: Mapping[Place, str]) -> bool:
    """Whether a link leaves the tree at any point of its way: by its own target, or by a link that its target leads through."""
    here = list(link[:-1])
    target = links[link]
    steps: deque[str] = deque()
    for _ in range(_MOST):
        if target.startswith("/"):
            return True
        steps.extendleft(reversed(target.split("/")))
        following = None
        while steps and following is None:
            step = steps.popleft()
            if step in ("", "."):
                continue
            if step == "..":
                if not here:
                    return True
                here.pop()
                continue
            following = links.get((*here, step))
            if following is None:
                here.append(step)
        if following is None:
            return False
        target = following
    # A circle leads nowhere.
    return False
