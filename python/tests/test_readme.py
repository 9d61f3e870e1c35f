"""The README's program runs as it stands there."""

from __future__ import annotations

import re

import plumline
import plumline.testing

from .conftest import ROOT
from .servers import Server


def test_readme_program_runs(registry: plumline.testing.Controller, server: Server) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "python" / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    with plumline.Client(registry.address) as plum:
        for service in ("orders", "billing"):
            plum.register(service, server.server_port, host="127.0.0.1").wait(5)
        program = blocks[0].replace("plum://127.0.0.1:8080", registry.address)
        exec(compile(program, "README.md", "exec"), {})
    assert ("GET", "/items/7") in server.seen
    assert ("POST", "/items") in server.seen
