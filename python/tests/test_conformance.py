"""Python passes every scenario that every language passes; `conformance.py` is the runner."""

from __future__ import annotations

import os
import subprocess
import sys

from .conformance import ROOT

NOWHERE = "http://127.0.0.1:1"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
BED = os.environ.get("PLUMLINE_TESTBED", str(ROOT / "target" / "debug" / "plumline-testbed"))


def test_every_scenario_passes() -> None:
    environment = os.environ | dict.fromkeys(PROXIES, NOWHERE) | {"PLUMLINE_TESTBED": BED}
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "tests.conformance"],
        cwd=ROOT / "python",
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=1500,
    )
    assert ran.returncode == 0, ran.stderr
    assert "scenarios passed" in ran.stderr
