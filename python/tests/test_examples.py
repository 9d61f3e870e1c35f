"""Every example runs as its readers will run it: as a program, against a real controller."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import plumline
import plumline.testing

EXAMPLES = Path(__file__).parents[2] / "examples/python"


@pytest.fixture
def registry() -> Iterator[str]:
    with plumline.testing.controller() as running:
        yield running.address


def run(name: str, *arguments: str) -> list[str]:
    """Runs an example to its end: what it said."""
    program = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name), *arguments]
    ran = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    return ran.stdout.splitlines()


@contextmanager
def running(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    program = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLES / name), *arguments]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().rstrip()


def test_one_registers_another_calls_it_and_a_third_sees_it_come_and_go(registry: str) -> None:
    with running("watch.py", registry) as watching:
        assert line(watching) == "snapshot: +0 -0"
        with running("register.py", registry) as serving:
            registered = line(serving)
            assert registered.startswith("registered 127.0.0.1:")
            at = registered.removeprefix("registered ")
            assert line(watching) == f"changed: +1 -0 {at}"

            assert run("call.py", registry) == [
                f'got {{"id":7,"name":"a plum"}} from {at} in 1 attempt(s)',
                "posted: 200",
                "three more: [200, 200, 200]",
                'as expected: nothing registered as "ordrs"; did you mean "orders"?',
            ]

            assert serving.stdin is not None
            serving.stdin.close()
            assert line(serving) == "deregistered"
            assert serving.wait(timeout=10) == 0
            while "-1" not in (said := line(watching)):
                assert said.startswith("changed: +0 -0"), said  # the update
            assert said == "changed: +0 -1"


def test_a_protocol_of_ones_own_is_spoken_to_a_picked_endpoint(registry: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, plumline.Client(registry) as plum:
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        plum.register("greeter", port=port, host="127.0.0.1", protocol="tcp").wait()
        assert run("pick.py", registry) == ["hello a plum", "hello another plum"]


def greet(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # the test is over
        with connection, connection.makefile("rw", encoding="utf-8") as lines:
            name = lines.readline()
            if name:  # the look at the port, before it is published, sends nothing
                lines.write(f"hello {name}")


def test_settings_are_layered_checked_and_changed() -> None:
    said = run("configuration.py")
    assert said[:3] == ["fruit", "200", "vegetables"]
    assert said[3].startswith('2 of 2 endpoints of "orders" usable')
    assert said[-1] == 'unknown key "retry.attemps"; did you mean "retry.attempts"?'
