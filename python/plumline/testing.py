"""For tests of one's own code: a real controller on a free port.

    def test_orders():
        with plumline.testing.controller() as registry, plumline.Client(registry.address) as plum:
            ...

A test that needs no registry at all is better off with a transport stub:
`plumline.Client("static://10.0.0.1:1", transport=lambda request, endpoint: plumline.Response(200))`.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from typing import IO

__all__ = ["Controller", "controller"]

_LISTENING = "plumline controller listening on http://"
_STARTS_WITHIN = 10.0


class Controller:
    """A running controller. Its store is memory: whatever restarts it starts it empty."""

    def __init__(self, *options: str) -> None:
        self._command = _command()
        self._options = options
        self._listen = "127.0.0.1:0"
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def address(self) -> str:
        """Where a `plumline.Client` finds it; stays the same when it is started again."""
        return f"plum://{self._listen}"

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Starts it, and waits until it listens; where it listened before, if it has run already."""
        if self._process is not None:
            return
        arguments = [self._command, "controller", "--listen", self._listen, *self._options]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        try:
            self._listen = _await_listening(process)
        except BaseException:
            _end(process, signal.SIGKILL)
            raise
        self._process = process

    def stop(self) -> None:
        """Ends it in good order."""
        self._finish(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a crash would."""
        self._finish(signal.SIGKILL)

    def restart(self) -> None:
        """Kills it and starts it anew, empty, at the same address."""
        self.kill()
        self.start()

    def _finish(self, how: signal.Signals) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            _end(process, how)

    def __enter__(self) -> Controller:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Controller {self.address}{'' if self._process else ', stopped'}>"


@contextlib.contextmanager
def controller(*options: str) -> Iterator[Controller]:
    """A controller on a free port, for as long as the block lasts.

    Options go to the command as they are: `controller("--service-ttl", "2s")`.
    """
    with Controller(*options) as running:
        yield running


def _command() -> str:
    """The `plumline` command: named by PLUMLINE_COMMAND, beside this Python, or on the PATH."""
    named = os.environ.get("PLUMLINE_COMMAND")
    if named:
        found = shutil.which(named)
        if found is None:
            raise FileNotFoundError(f"PLUMLINE_COMMAND is {named!r}, which is no program that can be run")
        return found
    beside = os.pathsep.join([sysconfig.get_path("scripts"), os.path.dirname(sys.executable)])
    found = shutil.which("plumline", path=beside) or shutil.which("plumline")
    if found is None:
        raise FileNotFoundError(
            "the plumline command is not here; build it with `make build`, put it on the PATH, "
            "or set PLUMLINE_COMMAND to where it is"
        )
    return found


def _await_listening(process: subprocess.Popen[str]) -> str:
    """The address it says it listens at."""
    assert process.stdout is not None
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        line = lines.get(timeout=_STARTS_WITHIN)
    except queue.Empty:
        raise TimeoutError(f"the controller did not listen within {_STARTS_WITHIN} s") from None
    if not line.startswith(_LISTENING):
        raise RuntimeError(f"the controller did not start; it said {line.strip()!r}")
    return line.removeprefix(_LISTENING).strip()


def _read(output: IO[str], lines: queue.SimpleQueue[str]) -> None:
    """Hands over the first line, and keeps the pipe from filling up afterwards."""
    with output:
        lines.put(output.readline())
        for _ in output:
            pass


def _end(process: subprocess.Popen[str], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
