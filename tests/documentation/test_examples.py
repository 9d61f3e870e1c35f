"""Every example runs as its readers will run it, in every language, against a real controller."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

import plumline

from .faces import FACES, Face, line, run, running


@pytest.fixture(params=FACES, ids=lambda face: face.name)
def face(request: pytest.FixtureRequest) -> Face:
    return request.param


def test_register_call_and_watch_examples_work_together(face: Face, registry: str, tmp_path: Path) -> None:
    watch, register, call = (face.example(name, tmp_path) for name in ("watch", "register", "call"))
    with running(watch, registry) as watching:
        assert line(watching) == "snapshot: +0 -0"
        with running(register, registry) as serving:
            registered = line(serving)
            assert registered.startswith("registered 127.0.0.1:")
            at = registered.removeprefix("registered ")
            assert line(watching) == f"changed: +1 -0 {at}"

            assert run(call, registry) == [
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


def test_pick_example_speaks_its_own_protocol(face: Face, registry: str, tmp_path: Path) -> None:
    pick = face.example("pick", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener, plumline.Client(registry) as plum:
        threading.Thread(target=greet, args=(listener,), daemon=True).start()
        port = listener.getsockname()[1]
        plum.register("greeter", port=port, host="127.0.0.1", protocol="tcp").wait()
        assert run(pick, registry) == ["hello a plum", "hello another plum"]


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


def test_configuration_example_runs(face: Face, tmp_path: Path) -> None:
    said = run(face.example("configuration", tmp_path))
    assert said[:3] == ["fruit", "200", "vegetables"]
    assert said[3].startswith('2 of 2 endpoints of "orders" usable')
    assert said[-1] == 'unknown key "retry.attemps"; did you mean "retry.attempts"?'
