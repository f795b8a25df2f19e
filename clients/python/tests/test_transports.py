"""Real connections: sockets, TLS with an authority of one's own, and what becomes of them."""

from __future__ import annotations

import gc
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import trustme

from sandboxer import ConnectionFailed, Retries

from .support import ID, KEY, Face, record

SOON = Retries(most=1, first=0.01)


class Answering(BaseHTTPRequestHandler):
    """Says what it was asked, in the labels of a sandbox."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told = record(
            labels={"host": self.headers["host"], "key": self.headers["authorization"], "agent": self.headers["user-agent"]}
        )
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "somebody"

    def log_message(self, *_: Any) -> None:
        pass


class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: Any) -> None:
        """A client that does not trust us goes away; that is what is tried here."""


@pytest.fixture
def serving() -> Iterator[Callable[[socketserver.BaseServer], None]]:
    """Serves until the test ends."""
    running: list[tuple[socketserver.BaseServer, threading.Thread]] = []

    def start(server: socketserver.BaseServer) -> None:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(params=["blocking", "awaiting"])
def faced(request: pytest.FixtureRequest) -> Iterator[Callable[..., Face]]:
    """Makes clients of either kind for an address."""
    made: list[Face] = []

    def make(address: str, **options: Any) -> Face:
        made.append(Face(request.param, address, KEY, retries=SOON, **options))
        return made[-1]

    yield make
    for face in made:
        face.close()


Serving = Callable[[socketserver.BaseServer], None]
Faced = Callable[..., Face]


def test_a_socket_of_this_machine(tmp_path: Path, serving: Serving, faced: Faced) -> None:
    serving(Unix(str(tmp_path / "s"), Answering))
    box = faced(f"unix:{tmp_path}/s").do(lambda client: client.get(ID))
    labels = box.record.labels
    assert labels["key"] == f"Bearer {KEY}" and labels["agent"].startswith("sandboxer-python/0.1")


# httpcore leaves the socket that it could not connect to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_socket_that_is_not_there(tmp_path: Path, faced: Faced) -> None:
    with pytest.raises(ConnectionFailed, match=f"at unix:{tmp_path}/none failed: .*2 tries"):
        faced(f"unix:{tmp_path}/none").do(lambda client: client.get(ID))
    # Now, and not in the middle of another test.
    gc.collect()


def test_a_path_before_that_of_the_api_is_kept(serving: Serving, faced: Faced) -> None:
    server = Tcp(("127.0.0.1", 0), Answering)
    serving(server)
    face = faced(f"http://127.0.0.1:{server.server_address[1]}/some/where/")
    assert face.do(lambda client: client.get(ID)).record.labels["host"] == f"127.0.0.1:{server.server_address[1]}"


def test_nobody_listens(faced: Faced) -> None:
    with Tcp(("127.0.0.1", 0), Answering) as server:
        port = server.server_address[1]
    with pytest.raises(ConnectionFailed, match=f"GET /v1/sandboxes/{ID} at http://127.0.0.1:{port} failed"):
        faced(f"http://127.0.0.1:{port}").do(lambda client: client.get(ID))


def test_a_server_that_keeps_silent_is_given_up(faced: Faced) -> None:
    with Tcp(("127.0.0.1", 0), Answering) as server:
        face = faced(f"http://127.0.0.1:{server.server_address[1]}", timeout=0.05)
        with pytest.raises(ConnectionFailed, match="kept silent for too long"):
            face.do(lambda client: client.get(ID))


def test_an_authority_of_ones_own_is_trusted_and_no_other(tmp_path: Path, serving: Serving, faced: Faced) -> None:
    ours, others = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("localhost").configure_cert(context)
    for name, authority in (("ours.pem", ours), ("others.pem", others)):
        authority.cert_pem.write_to_path(str(tmp_path / name))
    server = Tcp(("127.0.0.1", 0), Answering)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving(server)
    address = f"https://localhost:{server.server_address[1]}"
    assert faced(address, verify=tmp_path / "ours.pem").do(lambda client: client.get(ID)).id == ID
    for options in ({"verify": str(tmp_path / "others.pem")}, {}):
        with pytest.raises(ConnectionFailed, match="CERTIFICATE_VERIFY_FAILED.*1 try"):
            faced(address, **options).do(lambda client: client.get(ID))
