"""What tests share: real servers and real controllers on free ports, and waiting with a bound."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import plumline
import plumline.testing

from .servers import Server

ROOT = Path(__file__).parents[2]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Adds a test that is repeated to the file that PLUMLINE_FLAKY names: `tests/run.py` lists it."""
    path = os.environ.get("PLUMLINE_FLAKY")
    if path and report.outcome == "rerun" and "PYTEST_XDIST_WORKER" not in os.environ:
        with open(path, "a") as flaky:
            flaky.write(f"{report.nodeid}\n")


@pytest.fixture(scope="session", autouse=True)
def _command_of_this_tree() -> None:
    """Where nobody says otherwise, the controller is the one built from this tree."""
    for profile in ("release", "debug"):
        built = ROOT / "target" / profile / "plumline"
        if built.exists():
            os.environ.setdefault("PLUMLINE_COMMAND", str(built))


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PLUMLINE_") and name != "PLUMLINE_COMMAND":
            monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def plum(server: Server) -> Iterator[plumline.Client]:
    """A client whose every service is the one server."""
    with plumline.Client(f"static://{server.address}") as client:
        yield client


@pytest.fixture
def registry() -> Iterator[plumline.testing.Controller]:
    with plumline.testing.controller() as running:
        yield running


PATIENCE = int(os.environ.get("PLUMLINE_TEST_PATIENCE", "1"))
"""What the bounds of waits are multiplied by: a run that keeps the machine busy raises it."""


def wait_until(promise: Callable[[], object], within: float = 5.0) -> None:
    """Waits until something is true; fails if that takes longer than `within` seconds times PATIENCE."""
    deadline = time.monotonic() + within * PATIENCE
    while not promise():
        assert time.monotonic() < deadline, f"it did not come to hold within {within} s"
        time.sleep(0.01)


# From 3.12 on Python warns of every fork of a process with threads, whosever they are.
FORKS_ON_PURPOSE = ("-W", "ignore:This process:DeprecationWarning")


def run_python(source: str, *options: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Runs a program in an interpreter of its own, warnings shown."""
    return subprocess.run(
        [sys.executable, "-X", "dev", *options, "-c", textwrap.dedent(source)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=Path(__file__).parent,
    )


@contextlib.contextmanager
def started_python(source: str) -> Iterator[subprocess.Popen[str]]:
    """The same, still running; it does not outlive the block."""
    program = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
    )
    with program:
        try:
            yield program
        finally:
            program.kill()
