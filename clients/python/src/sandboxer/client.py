"""The client that blocks. Each line below is one operation of `_ops`, whose text says what it does."""

from __future__ import annotations

import ssl
from os import PathLike

import httpx

from ._blocking import Blocking
from ._blocking_methods import call, each, scoped
from ._core import Core
from ._handle import Attached, Handle
from ._methods import ending, handle, handles, moving, new, of_client, of_sandbox
from ._ops import admin, catalog, happening, inside, making, sandboxes
from ._retry import Retries
from ._settings import settings, trust


class Sandbox(Handle):
    """A sandbox. Its methods are those of the API; `record` is what the server last said of it."""

    exec = call(of_sandbox(inside.execute))
    read_file = call(of_sandbox(inside.read_file))
    iter_file = each(of_sandbox(inside.iter_file))
    iter_tar = each(of_sandbox(inside.iter_tar))
    list_files = call(of_sandbox(inside.list_files))
    write_file = call(of_sandbox(inside.write_file))
    write_directory = call(of_sandbox(inside.write_directory))
    remove_file = call(of_sandbox(inside.remove_file))

    wait = call(moving(making.wait_for))
    refresh = call(moving(sandboxes.get_sandbox))
    extend = call(moving(sandboxes.extend))
    label = call(moving(sandboxes.label))
    recreate = call(moving(sandboxes.recreate))
    activate = call(moving(sandboxes.activate))
    destroy = call(ending(sandboxes.destroy))

    ask_reachability = call(of_sandbox(sandboxes.reachability))
    explain = call(of_sandbox(sandboxes.explain))
    events = call(of_sandbox(sandboxes.history))
    logs = call(of_sandbox(sandboxes.logs))


class Admin(Attached):
    """What only administrators may do: `client.admin`."""

    def __init__(self, driver: Blocking) -> None:
        self._driver = driver

    status = call(of_client(admin.status))
    hosts = call(of_client(admin.hosts))
    inspect_host = call(of_client(admin.inspect_host))
    add_host = call(of_client(admin.add_host))
    remove_host = call(of_client(admin.remove_host))
    probe_host = call(of_client(admin.probe_host))
    drain_host = call(of_client(admin.drain_host))
    activate_host = call(of_client(admin.activate_host))
    stale = call(of_client(admin.stale))
    reap_stale = call(of_client(admin.reap_stale))
    sinks = call(of_client(admin.sinks))
    webhooks = call(of_client(admin.webhooks))
    add_webhook = call(of_client(admin.add_webhook))
    remove_webhook = call(of_client(admin.remove_webhook))
    try_webhook = call(of_client(admin.try_webhook))
    redeliver = call(of_client(admin.redeliver))
    keys = call(of_client(admin.keys))
    key = call(of_client(admin.key))
    make_key = call(of_client(admin.make_key))
    rotate_key = call(of_client(admin.rotate_key))
    revoke_key = call(of_client(admin.revoke_key))
    projects = call(of_client(admin.projects))
    project = call(of_client(admin.project))
    set_project = call(of_client(admin.set_project))
    audit = each(of_client(admin.audit))
    verify_audit = call(of_client(admin.verify_audit))


class Sandboxer(Attached):
    """A sand-boxer server.

    `address`: `http://…`, `https://…` or `unix:/path`; left out, `SANDBOXER_API`. `key`: left out, `SANDBOXER_API_KEY`. `timeout`: how
    long the server may keep silent, in seconds, where an operation does not need longer. `verify`: the file of your own authority, or
    a context. `transport`: another way to the server than the network, for tests. Threads may share a client.
    """

    _driver: Blocking

    def __init__(
        self,
        address: str | None = None,
        key: str | None = None,
        *,
        timeout: float = 30.0,
        retries: Retries = Retries(),
        verify: ssl.SSLContext | bool | str | PathLike[str] = True,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        place = settings(address, key)
        self._driver = Blocking(place, Core(place.address, retries), timeout, trust(verify), transport)
        self.admin = Admin(self._driver)

    def close(self) -> None:
        """Closes its connections. Sandboxes go on."""
        self._driver.close()

    def __enter__(self) -> Sandboxer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._driver.core.address}>"

    create = call(new(making.create, Sandbox))
    sandbox = scoped(making.create, Sandbox)
    plan = call(of_client(making.plan))
    upload = call(of_client(making.upload))

    get = call(handle(sandboxes.get_sandbox, Sandbox))
    list = each(handles(sandboxes.list_sandboxes, Sandbox))
    operation = call(of_client(sandboxes.operation))
    expire = call(of_client(sandboxes.expire))
    events = each(of_client(happening.events))

    whoami = call(of_client(catalog.whoami))
    profiles = call(of_client(catalog.profiles))
    profile = call(of_client(catalog.profile))
    extensions = call(of_client(catalog.extensions))
    extension = call(of_client(catalog.extension))
