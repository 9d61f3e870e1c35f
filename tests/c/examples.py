"""Every example in C and C++ runs as its readers will run it: as a program, against a real controller."""

from __future__ import annotations

import contextlib
import os
import socketserver
import subprocess
import sys
import threading
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUT = Path(sys.argv[1])
COMPILERS = {"c": ("gcc", "-std=c99", ".c"), "cpp": ("g++", "-std=c++17", ".cpp")}
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT / 'include'}"]
LIBRARY = [str(ROOT / "target/debug/libplumline.a"), "-lgcc_s", "-lpthread", "-lm", "-ldl"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PLUMLINE_REGISTRY"}


class Program:
    """A running example, ended with the block."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def finish(self) -> list[str]:
        """Ends its input, and waits for it to end well: what it still had to say."""
        said, _ = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, said
        return said.splitlines()


class Greeter(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        name = self.rfile.readline()
        if name:  # the registry's look at the port sends nothing
            self.wfile.write(b"hello " + name)


def check(said: object, wanted: object) -> None:
    assert said == wanted, f"it said {said!r}, not {wanted!r}"


def built(language: str, name: str) -> str:
    compiler, standard, ending = COMPILERS[language]
    source, program = ROOT / "examples" / language / (name + ending), OUT / language / name
    program.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, standard, *STRICT, str(source), *LIBRARY, "-o", str(program)], check=True)
    return str(program)


def one_registers_another_calls_it_and_a_third_sees_it(language: str, registry: str) -> None:
    call, register, watch = (built(language, name) for name in ("call", "register", "watch"))
    with Program(watch, registry) as watching, contextlib.ExitStack() as later:
        check(watching.line(), "snapshot: +0 -0")
        serving = later.enter_context(Program(register, registry))
        registered, at = serving.line().split(" ")
        check(registered, "registered")
        check(watching.line(), f"changed: +1 -0 {at}")
        with Program(call, registry) as calling:
            called = calling.finish()
        check(called[0], f'got {{"id":7,"name":"a plum"}} from {at} in 1 attempt(s)')
        check(called[1:3], ["posted: 200", "three more: 200 200 200"])
        check(called[3], 'as expected: nothing registered as "ordrs"; did you mean "orders"?')
        check(serving.finish(), ["deregistered"])
        check(next(line for line in iter(watching.line, "") if "-1" in line), "changed: +0 -1")


def a_protocol_of_ones_own_is_spoken_to_a_picked_endpoint(language: str, registry: str, command: str) -> None:
    pick = built(language, "pick")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_address[1])
        options = ["--registry", registry, "--host", "127.0.0.1", "--port", port, "--protocol", "tcp"]
        with Program(command, "register", *options, "greeter", "--", "cat") as registered:
            waiting = [command, "discover", "--registry", registry, "greeter"]
            while not subprocess.run(waiting, capture_output=True, text=True, env=ENVIRONMENT).stdout.count(port):
                assert registered.process.poll() is None
            with Program(pick, registry) as picking:
                check(picking.finish(), ["hello a plum", "hello another plum"])
            registered.finish()  # deregisters: nobody is there any more
        server.shutdown()


def settings_are_layered_checked_and_changed(language: str) -> None:
    with Program(built(language, "configuration")) as configured:
        said = configured.finish()
    check(said[0], 'unknown key "retry.attemps"; did you mean "retry.attempts"?')
    check(said[1:3], ["fruit", "vegetables"])
    assert said[3].startswith('2 of 2 endpoints of "orders" usable'), said[3]


def main() -> None:
    command = os.environ["PLUMLINE_COMMAND"]
    with Program(command, "controller", "--listen", "127.0.0.1:0") as controller:
        registry = controller.line().split(" ")[-1].replace("http://", "plum://")
        for language in COMPILERS:
            one_registers_another_calls_it_and_a_third_sees_it(language, registry)
            a_protocol_of_ones_own_is_spoken_to_a_picked_endpoint(language, registry, command)
            settings_are_layered_checked_and_changed(language)
    print("examples: 5 in C, 5 in C++")


if __name__ == "__main__":
    main()
