"""Against a real server: that the two understand each other."""

from __future__ import annotations

import asyncio
import io
import re
import tarfile
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandboxer import (
    AsyncSandboxer,
    CommandFailed,
    Forbidden,
    InvalidInput,
    InvalidTtl,
    KeyConflict,
    NotFound,
    Sandboxer,
    SandboxerError,
    Unauthenticated,
    Unsupported,
)

from .support import Face, Server
from .test_readme import examples

NATIVE = "profile.native"


@pytest.fixture
def make(live: Face) -> Iterator[Callable[..., Any]]:
    """Makes sandboxes, and removes them in the end whatever came of the test."""
    made: list[Any] = []

    def create(**options: Any) -> Any:
        made.append(live.do(lambda client: client.create(NATIVE, **{"ttl": "10m", "run_id": str(uuid.uuid4()), **options})))
        return made[-1]

    yield create
    for box in made:
        assert live.settle(box.destroy()).is_gone


@pytest.fixture
def box(make: Callable[..., Any]) -> Any:
    return make()


def test_the_example_of_the_readme_does_what_it_says(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SANDBOXER_API", server.address)
    monkeypatch.setenv("SANDBOXER_API_KEY", server.key)
    names: dict[str, Any] = {}
    exec(examples()[0], names)
    assert capsys.readouterr().out == "hello\n\nb'data'\n"
    assert names["box"].state == "destroyed"


def test_a_life(live: Face) -> None:
    labels = {"test": str(uuid.uuid4())}
    box = live.do(lambda client: client.create(NATIVE, ttl="10m", labels=labels))
    try:
        assert box.state == "ready" and box.record.profile_id == NATIVE and box.record.labels == labels
        assert box.record.isolation.level and box.reachability is not None
        assert live.do(lambda client: client.get(box.id)).record.created_at == box.record.created_at
        assert [one.id for one in live.take(lambda client: client.list(labels=labels))] == [box.id]
        assert live.settle(box.exec("true")).exit_code == 0
        assert live.settle(box.refresh()).state == "active"
        before = box.record.expires_at
        assert live.settle(box.extend("1h")).expires_at >= before + timedelta(minutes=59)
        until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(hours=3)
        for _ in range(2):
            assert live.settle(box.extend(until=until)).expires_at == until
        assert live.settle(box.label({"more": "x", "test": None})).labels == {"more": "x"}
        assert live.settle(box.ask_reachability()).workspace == box.reachability.workspace
        kinds = [event.kind for event in live.settle(box.events())]
        assert "state.ready" in kinds and "state.active" in kinds
        explained = live.settle(box.explain())
        assert explained.recipe.profile["id"] == NATIVE and explained.isolation.mechanisms
        with pytest.raises(Unsupported, match="logs"):
            live.settle(box.logs(tail=10))
        again = live.settle(box.recreate())
        assert (again.sandbox_id, again.generation, again.state) == (box.id, 2, "ready")
        assert live.settle(box.activate()).state == "active"
    finally:
        gone = live.settle(box.destroy())
    assert gone.is_gone and not gone.already and gone.cleanup.verified == "absent"
    assert live.settle(box.destroy()).already
    assert live.settle(box.refresh()).reason == "destroyed_by_request"
    assert box.id in [one.id for one in live.take(lambda client: client.list(all=True, id_prefix=box.id[:12]))]


def test_commands(live: Face, box: Any) -> None:
    def run(*argv: str, **options: Any) -> Any:
        return live.settle(box.exec(*argv, **options))

    told = run("sh", "-c", "cat; echo err >&2; exit 3", stdin="é\n")
    assert (told.stdout, told.stderr, told.exit_code) == ("é\n", "err\n", 3)
    odd = bytes(range(256))
    assert run("cat", stdin=odd).stdout_bytes == odd
    assert run("sh", "-c", 'echo "$A"; pwd', env={"A": "b c"}, cwd="/tmp").stdout == "b c\n/tmp\n"
    assert run("sleep", "60", timeout=1).timed_out
    big = run("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert big.truncated and set(big.stdout) == {"x"}
    with pytest.raises(CommandFailed, match="ended with 3: no luck"):
        run("sh", "-c", "echo no luck >&2; exit 3", check=True)


def test_files(live: Face, box: Any, tmp_path: Path) -> None:
    def settle(result: Any) -> Any:
        return live.settle(result)

    data = bytes(range(256)) * 16384
    (tmp_path / "local").write_bytes(data)
    assert settle(box.write_file("big", tmp_path / "local")).bytes == len(data)
    assert settle(box.read_file("big")) == data
    assert b"".join(live.take(lambda _: box.iter_file("big"))) == data
    settle(box.write_file("run ü.sh", "#!/bin/sh\necho ran\n", mode=0o755))
    assert settle(box.exec("./run ü.sh")).stdout == "ran\n"
    settle(box.write_file("empty", b""))
    assert settle(box.read_file("empty")) == b""
    found = {entry.name: (entry.kind, entry.size) for entry in settle(box.list_files())}
    assert found["big"] == ("file", len(data)) and found["empty"] == ("file", 0)
    settle(box.remove_file("big"))
    with pytest.raises(NotFound):
        settle(box.read_file("big"))
    with pytest.raises(NotFound):
        live.take(lambda _: box.iter_file("big"))


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", ""])
def test_paths_that_lead_out_are_refused(live: Face, box: Any, path: str) -> None:
    with pytest.raises(InvalidInput):
        live.settle(box.read_file(path))
    with pytest.raises(InvalidInput):
        live.settle(box.write_file(path, b"x"))


def test_directories(live: Face, box: Any, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "file").write_text("x")
    (tmp_path / "link").symlink_to("sub/file")
    live.settle(box.exec("mkdir", "there", check=True))
    live.settle(box.write_directory(tmp_path, "there"))
    assert live.settle(box.exec("sh", "-c", "cat there/link; readlink there/link")).stdout == "xsub/file\n"
    data = b"".join(live.take(lambda _: box.iter_tar("there")))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert any(name.endswith("sub/file") for name in archive.getnames())


def test_a_local_directory_is_the_workspace(live: Face, make: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from here\n")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "run").chmod(0o755)
    box = make(inputs={"repo": tmp_path})
    assert live.settle(box.exec("sh", "-c", "cat file link; test -x run && readlink link")).stdout == "from here\n" * 2 + "file\n"
    live.settle(box.exec("sh", "-c", "echo changed > file", check=True))
    assert (tmp_path / "file").read_text() == "from here\n"


def test_a_scope_ends_its_sandbox(live: Face) -> None:
    seen: list[Any] = []

    def body(box: Any) -> None:
        seen.append(box)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        live.within(lambda client: client.sandbox(NATIVE, ttl="10m"), body)
    assert live.settle(seen[0].refresh()).state == "destroyed"


def test_the_same_key_makes_one_sandbox(live: Face, make: Callable[..., Any]) -> None:
    key = str(uuid.uuid4())
    asked = {"idempotency_key": key, "run_id": None, "labels": {"a": "b"}}
    first, second = make(**asked), make(**asked)
    # What is answered again under a key is not somebody else's sandbox: a `with` block is to remove it.
    assert first.id == second.id and not second.reused
    with pytest.raises(KeyConflict):
        make(**{**asked, "labels": {"a": "c"}})


def test_the_same_key_runs_a_command_once(live: Face, box: Any) -> None:
    key = str(uuid.uuid4())
    for _ in range(3):
        told = live.settle(box.exec("sh", "-c", "echo x >> times; wc -l < times", idempotency_key=key))
        assert told.stdout.strip() == "1"


def test_a_scope_finds_what_is_there(live: Face, make: Callable[..., Any]) -> None:
    run = str(uuid.uuid4())
    first, second = make(scope="session", run_id=run), make(scope="session", run_id=run)
    assert first.id == second.id and second.reused and not first.reused


def test_lists_have_pages(live: Face, make: Callable[..., Any]) -> None:
    labels = {"page": str(uuid.uuid4())}
    made = [make(labels=labels).id for _ in range(3)]
    found = [one.id for one in live.take(lambda client: client.list(labels=labels, page_size=1))]
    assert found == made[::-1]


def test_events_are_told_in_order_and_taken_up_again(live: Face, make: Callable[..., Any]) -> None:
    box = make()
    live.settle(box.destroy())
    last = live.take(lambda client: client.events(after=0), until=lambda event: event.sandbox_id == box.id)[-1]
    seen = [last]
    # One connection for each event: every one of them comes, and none twice.
    while seen[-1].kind != "state.destroyed":
        (event,) = live.take(lambda client: client.events(after=last.position), 1)
        assert int(event.position) > int(last.position)
        last = event
        if event.sandbox_id == box.id:
            seen.append(event)
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert [event.kind for event in seen if event.kind in ("state.ready", "state.destroyed")] == [
        "state.ready",
        "state.destroyed",
    ]


def test_events_come_while_they_happen(server: Server) -> None:
    async def main() -> list[str]:
        async with AsyncSandboxer(server.address, server.key) as client:
            seen: list[str] = []

            async def watch() -> None:
                async for event in client.events(after=start):
                    if event.sandbox_id == box.id:
                        seen.append(event.kind)
                        if event.kind == "state.destroyed":
                            return

            box = await client.create(NATIVE, ttl="10m")
            history = await box.events()
            async for event in client.events(after=0):
                if event.sandbox_id == box.id and event.seq == history[-1].seq:
                    start = event.position
                    break
            watching = asyncio.ensure_future(watch())
            await box.exec("true")
            assert (await box.destroy()).is_gone
            await asyncio.wait_for(watching, 30)
            return seen

    seen = asyncio.run(main())
    assert seen[0] == "state.active" and seen[-1] == "state.destroyed"


def test_many_at_once(server: Server) -> None:
    async def main() -> set[str]:
        async with AsyncSandboxer(server.address, server.key) as client:

            async def one(number: int) -> str:
                async with client.sandbox(NATIVE, ttl="10m", run_id=str(uuid.uuid4())) as box:
                    return (await box.exec("sh", "-c", f"echo {number}")).stdout

            return set(await asyncio.gather(*(one(number) for number in range(8))))

    assert asyncio.run(main()) == {f"{number}\n" for number in range(8)}


def test_who_and_what_there_is(live: Face) -> None:
    who = live.do(lambda client: client.whoami())
    assert who.role == "agt" and who.project and "sandboxes:create" in who.grants
    assert NATIVE in [one.id for one in live.do(lambda client: client.profiles())]
    assert live.do(lambda client: client.profile(NATIVE))["extension"] == "ext.native"
    assert "ext.native" in [one.id for one in live.do(lambda client: client.extensions())]
    assert live.do(lambda client: client.extension("ext.native")).capabilities["exec"] is True
    planned = live.do(lambda client: client.plan(NATIVE, ttl="5m"))
    assert planned.extension_id == "ext.native" and planned.ttl == "5m" and planned.route.candidates


@pytest.mark.parametrize(
    "kind, call",
    [
        (NotFound, lambda client: client.get("sbx-01m7y6nbk6e2yr4yvpgtcdjcd8")),
        (NotFound, lambda client: client.create("profile.none-such")),
        (NotFound, lambda client: client.operation("op-01m7y6nbk6e2yr4yvpgtcdjcd8")),
        (InvalidTtl, lambda client: client.create(NATIVE, ttl="9d")),
        (NotFound, lambda client: client.create(NATIVE, inputs={"repo": "upload:upl-01m7y6nbk6e2yr4yvpgtcdjcd8"})),
        (InvalidInput, lambda client: client.create(NATIVE, inputs={"repo": "/etc"})),
        (InvalidInput, lambda client: client.create(NATIVE, inputs={"none": "x"})),
        (Forbidden, lambda client: client.expire()),
        (Forbidden, lambda client: client.admin.status()),
        (Forbidden, lambda client: client.admin.keys()),
        (Forbidden, lambda client: client.create(NATIVE, actor="adm")),
    ],
)
def test_errors_have_their_class(live: Face, kind: type[SandboxerError], call: Callable[[Any], Any]) -> None:
    with pytest.raises(SandboxerError) as caught:
        live.do(call)
    assert type(caught.value) is kind and caught.value.request_id and caught.value.status


def test_a_key_that_is_none_is_refused(server: Server) -> None:
    for key in ("nonsense", server.key[:-1] + ("a" if server.key[-1] != "a" else "b")):
        with Sandboxer(server.address, key) as client, pytest.raises(Unauthenticated) as caught:
            client.whoami()
        assert key not in str(caught.value) + repr(caught.value)


def test_every_operation_of_the_server_has_a_method(server: Server) -> None:
    socket = server.address.removeprefix("unix:")
    is_socket = socket != server.address
    transport, base = (httpx.HTTPTransport(uds=socket), "http://localhost") if is_socket else (None, server.address)
    with httpx.Client(base_url=base, transport=transport) as client:
        document = client.get("/openapi.json").json()
    told = {(method.upper(), path) for path, item in document["paths"].items() if path.startswith("/v1") for method in item}
    assert len(told) > 40
    sources = "\n".join(
        file.read_text() for file in (Path(__file__).resolve().parent.parent / "src" / "sandboxer" / "_ops").glob("*.py")
    )
    # A command on a connection of its own, for terminals: not in this client.
    assert {one for one in told if not _is_spoken(sources, *one)} == {("GET", "/v1/sandboxes/{id}/exec")}


def _is_spoken(sources: str, method: str, path: str) -> bool:
    """Whether an operation asks for this path with this method."""
    parts = path.removeprefix("/v1/").split("/")
    where = r"path\(" + ", ".join(r"\w+" if part.startswith("{") else f'"{part}"' for part in parts) + r"\)"
    call = {"GET": r"get\(", "POST": r"post\("}.get(method, rf'send\("{method}", ')
    return re.search(call + where, sources) is not None
