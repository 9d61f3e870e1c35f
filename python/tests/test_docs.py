"""Every Python block of the documentation runs: in an interpreter of its own, warnings being errors."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import plumline
import plumline.testing

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "python/README.md"])
ADDRESS = "plum://127.0.0.1:8080"
"""What the documentation calls the registry."""


def blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(r"^```python\n(.*?)^```", text, flags=re.S | re.M):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{page.relative_to(ROOT)}:{line}", found[1]


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


def test_there_are_blocks_to_run() -> None:
    assert len(BLOCKS) > 10


@pytest.mark.parametrize(("place", "source"), BLOCKS, ids=[place for place, _ in BLOCKS])
def test_the_block_runs(place: str, source: str, registry: str) -> None:
    program = [sys.executable, "-X", "dev", "-W", "error", "-c", source.replace(ADDRESS, registry)]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, ""), f"{place}\n{ran.stdout}\n{ran.stderr}"
