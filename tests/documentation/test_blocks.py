"""Every block of code in the documentation runs, warnings being errors. (Rust blocks are doc tests.)"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import plumline
import plumline.testing

from .faces import FACES, ROOT, Face, run

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "python/README.md"])
ADDRESS = "plum://127.0.0.1:8080"
"""What the documentation calls the registry."""


def blocks() -> Iterator[tuple[str, Face, str]]:
    for page in PAGES:
        text = page.read_text()
        for face in FACES[1:]:
            for found in re.finditer(rf"^```{face.fence}\n(.*?)^```", text, flags=re.S | re.M):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{page.relative_to(ROOT)}:{line}", face, found[1]


class Orders(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b'{"id":7,"name":"a plum"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A controller with what the pages expect: `orders` over HTTP, `mail` and `billing` over TCP."""
    with (
        plumline.testing.controller() as running,
        ThreadingHTTPServer(("127.0.0.1", 0), Orders) as orders,
        socket.create_server(("127.0.0.1", 0)) as mail,
        plumline.Client(running.address) as plum,
    ):
        orders.daemon_threads = True
        serving = threading.Thread(target=orders.serve_forever)
        serving.start()
        port = orders.server_port
        plum.register("orders", port=port, host="127.0.0.1", version="v1", labels={"region": "eu"}).wait()
        for name in ("mail", "billing"):
            port = mail.getsockname()[1]
            plum.register(name, port=port, host="127.0.0.1", protocol="tcp").wait()
        yield running.address
        orders.shutdown()
        serving.join()


BLOCKS = list(blocks())


def test_documentation_has_blocks_in_every_language() -> None:
    assert {face.name for _, face, _ in BLOCKS} == {face.name for face in FACES[1:]}


@pytest.mark.parametrize(
    ("face", "source"), [block[1:] for block in BLOCKS], ids=[place for place, _, _ in BLOCKS]
)
def test_block_runs(face: Face, source: str, registry: str, tmp_path: Path) -> None:
    run(face.block(source.replace(ADDRESS, registry), tmp_path))
