"""A good citizen of its process: threads, signals, forks, exits, logs, and other people's machinery."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import plumline
import plumline.testing

from .conftest import FORKS_ON_PURPOSE, run_python, started_python, wait_until
from .servers import Server, free_port

WAITS = {
    "call": "plum.get('orders', '/hang', timeout=30)",
    "bound call": "plum.service('orders').get('/hang', timeout=30)",
    "watch": "w = plum.watch('orders'); next(w); next(w)",
    "watch with timeout": "w = plum.watch('orders'); next(w); w.get(30)",
    "wait_for": "plumline.Client('memory://').wait_for('orders', 30)",
    "first list": "away.discover('orders')",
    "backoff": "busy.get('orders', '/')",
}


CLOSED_FROM_WITHIN = {
    "wait_for": "plum.wait_for('orders', 20)",
    "watch": "w = plum.watch('orders'); next(w); next(w)",
    "registration": "plum.register('mine', port=1, host='127.0.0.1').wait(20)",
}


@pytest.mark.parametrize("wait", CLOSED_FROM_WITHIN.values(), ids=CLOSED_FROM_WITHIN.keys())
def test_signal_handler_may_close_the_waiting_client(wait: str) -> None:
    source = f"""
        import plumline, signal
        plum = plumline.Client("memory://")
        signal.signal(signal.SIGALRM, lambda *_: plum.close())
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            {wait}
        except (plumline.PlumClosedError, StopIteration):
            print("closed")
    """
    assert "closed" in run_python(source).stdout


def test_registration_is_usable_while_another_thread_waits() -> None:
    source = """
        import plumline, threading
        plum = plumline.Client("memory://")
        mine = plum.register("mine", port=1, host="127.0.0.1")
        def ask():
            while True:
                mine.state, mine.last_error, sum(range(20_000))
        for _ in range(3):
            threading.Thread(target=ask, daemon=True).start()
        try:
            mine.wait(1)
        except plumline.PlumTimeoutError as error:
            print(error)
    """
    assert "its port does not answer yet" in run_python(source).stdout


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_ctrl_c_ends_any_wait(server: Server, wait: str) -> None:
    source = f"""
        import plumline, signal, socket, sys, time, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
        plum = plumline.Client("static://{server.address}")
        plum.discover("orders")
        listener = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
        silent = "plum://127.0.0.1:" + str(listener.getsockname()[1])
        away = plumline.Client({{"addresses": [silent], "timeout": 30}}, timeout=30)
        later = plumline.Response(503, headers={{"Retry-After": "30"}})
        patient = {{"max_retry_after": 60}}
        busy = plumline.Client("static://10.0.0.1:1", transport=lambda *_: later, retry=patient, timeout=60)
        def say():
            time.sleep(0.3)
            print("waiting", flush=True)
        threading.Thread(target=say).start()
        try:
            {wait}
        except KeyboardInterrupt:
            print(time.monotonic(), flush=True)
        else:
            print("nothing", flush=True)
        listener.close()
    """

    def interrupted() -> float:
        with started_python(source) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "waiting\n"
            pressed = time.monotonic()
            program.send_signal(signal.SIGINT)
            output, errors = program.communicate(timeout=10)
        assert output.strip().replace(".", "").isdigit(), (output, errors)
        assert errors == ""
        return float(output) - pressed

    # A wait looks every 100 ms; a busy machine may let it wait longer for its turn, but not most times.
    assert sorted(interrupted() for _ in range(3))[1] < 0.2


def test_exception_of_signal_handler_propagates(server: Server) -> None:
    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    def ring_once_it_hangs() -> None:
        if server.hanging.wait(10):
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, ring)
    ringing = threading.Thread(target=ring_once_it_hangs)
    ringing.start()
    try:
        with plumline.Client(f"static://{server.address}") as plum, pytest.raises(Alarm):
            plum.get("orders", "/hang", timeout=20)
    finally:
        ringing.join()
        signal.signal(signal.SIGALRM, before)


def test_signal_handler_that_returns_ends_nothing(server: Server) -> None:
    rung = threading.Event()

    def ring(*_: object) -> None:
        rung.set()
        server.released.set()

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with plumline.Client(f"static://{server.address}") as plum:
            assert plum.get("orders", "/hang", timeout=20).text == "late"
        assert rung.is_set()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_64_threads_share_one_client(server: Server) -> None:
    with plumline.Client(f"static://{server.address}") as plum:
        orders = plum.service("orders")

        def work(number: int) -> int:
            for step in range(5):
                path = f"/{number}/{step}"
                assert plum.get("orders", path).json()["path"] == path
                assert orders.get(path).json()["path"] == path
                with plum.pick("orders"):
                    pass
            return 1

        with ThreadPoolExecutor(64) as pool:
            assert sum(pool.map(work, range(64))) == 64
        figures = plum.stats()["services"]["orders"]
        assert (figures["calls"], figures["picks"], figures["failures"]) == (640, 320, 0)


def test_waiting_call_releases_the_interpreter(plum: plumline.Client, server: Server) -> None:
    waiting = threading.Thread(target=lambda: plum.get("orders", "/hang", timeout=20))
    waiting.start()
    assert server.hanging.wait(5)
    began = time.monotonic()
    assert sum(range(100_000)) > 0
    assert time.monotonic() - began < 2
    server.released.set()
    waiting.join(5)
    assert not waiting.is_alive()


# --- exits


EXITS = {
    "falling off the end": "",
    "sys.exit": "sys.exit(0)",
    "with a thread in a call": "background(lambda: plum.get('orders', '/hang', timeout=60))",
    "with a thread in a watch": "background(lambda: list(plum.watch('orders')))",
    "with many threads calling": "[background(call_for_ever) for _ in range(8)]",
    "with a pick in hand": "pick = plum.pick('orders')",
    "with a cycle": "a = []; a.append(a); a.append(plum); del plum",
}


@pytest.mark.parametrize("end", EXITS.values(), ids=EXITS.keys())
def test_exit_without_close_is_silent(server: Server, end: str) -> None:
    ended = run_python(
        f"""
        import plumline, sys, threading, time
        plum = plumline.Client("static://{server.address}")
        plum.get("orders", "/x")
        plum.watch("orders").get(1)
        def call_for_ever():
            while True:
                plum.get("orders", "/x")
        def background(work):
            threading.Thread(target=work, daemon=True).start()
            time.sleep(0.2)
        {end}
        """,
        timeout=15,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize("how", ["exit", "SIGTERM"])
def test_orderly_exit_deregisters(registry: plumline.testing.Controller, server: Server, how: str) -> None:
    source = f"""
        import plumline, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        plum = plumline.Client("{registry.address}")
        plum.register("orders", {server.server_port}, host="127.0.0.1").wait(5)
        print("registered", flush=True)
        {"" if how == "exit" else "time.sleep(30)"}
    """
    with started_python(source) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "registered\n"
        if how == "SIGTERM":
            program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=10)
    assert (program.returncode, errors) == (0, "")
    assert listed(registry) == []


def listed(registry: plumline.testing.Controller) -> list[plumline.Endpoint]:
    with plumline.Client(registry.address) as plum:
        return plum.discover("orders")


# --- forks


def test_forked_child_uses_client_and_never_deregisters(
    registry: plumline.testing.Controller, server: Server
) -> None:
    ended = run_python(
        f"""
        import os, plumline, sys
        plum = plumline.Client("{registry.address}")
        me = plum.register("orders", {server.server_port}, host="127.0.0.1")
        me.wait(5)
        orders = plum.service("orders")
        assert orders.get("/parent").status_code == 200
        def child(leave):
            pid = os.fork()
            if pid:
                assert os.waitpid(pid, 0)[1] == 0
                return
            assert plum.get("orders", "/child").status_code == 200
            assert orders.get("/child").status_code == 200
            assert plum.pick("orders").endpoint.port == {server.server_port}
            with plumline.Client("{registry.address}") as own:
                assert len(own.discover("orders")) == 1
            leave()
        child(lambda: os._exit(0))
        child(lambda: sys.exit(0))
        child(lambda: (me.close(), sys.exit(0)))
        child(lambda: (plum.close(), sys.exit(0)))
        assert me.state == "registered"
        assert orders.get("/parent").status_code == 200
        assert len(plum.discover("orders")) == 1
        with plumline.Client("{registry.address}") as other:
            assert len(other.discover("orders")) == 1
        print("done")
        """,
        *FORKS_ON_PURPOSE,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("done\n", "", 0)


def test_fork_during_calls_neither_hangs_nor_crashes(server: Server) -> None:
    ended = run_python(
        f"""
        import os, plumline, threading
        plum = plumline.Client("static://{server.address}")
        over = threading.Event()
        def call():
            while not over.is_set():
                plum.get("orders", "/x")
                with plum.pick("orders"):
                    pass
        threads = [threading.Thread(target=call) for _ in range(8)]
        [t.start() for t in threads]
        for _ in range(20):
            pid = os.fork()
            if not pid:
                ok = plum.get("orders", "/child").status_code == 200
                plum.explain("orders"); plum.stats()
                os._exit(0 if ok else 1)
            assert os.waitpid(pid, 0)[1] == 0
        over.set()
        [t.join() for t in threads]
        print("done")
        """,
        *FORKS_ON_PURPOSE,
        timeout=60,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("done\n", "", 0)


def test_multiprocessing_by_fork_and_by_spawn(server: Server, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        f"""
import multiprocessing, plumline

plum = plumline.Client("static://{server.address}")

def work(number):
    return plum.get("orders", f"/{{number}}").json()["path"]

if __name__ == "__main__":
    assert work(0) == "/0"
    for way in ("fork", "spawn"):
        with multiprocessing.get_context(way).Pool(3) as pool:
            assert pool.map(work, range(9)) == [f"/{{n}}" for n in range(9)]
    print("done")
"""
    )
    ended = subprocess.run(
        [sys.executable, "-X", "dev", *FORKS_ON_PURPOSE, str(program)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("done\n", "", 0)


def test_gunicorn_with_preload(registry: plumline.testing.Controller, server: Server, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "shop.py").write_text(
        f"""
import os, plumline

plum = plumline.Client("{registry.address}")
plum.register("shop", {port}, host="127.0.0.1")
plum.register("orders", {server.server_port}, host="127.0.0.1").wait(5)
assert plum.get("orders", "/preload").status_code == 200

def app(environ, start_response):
    answer = plum.get("orders", "/item")
    start_response(str(answer.status_code) + " OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
"""
    )
    gunicorn = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--preload", "-w", "2", "-b", f"127.0.0.1:{port}", "shop:app"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        with plumline.Client(registry.address) as plum:
            plum.wait_for("shop", 15)
            workers = {plum.get("shop", "/").text for _ in range(40)}
            assert str(gunicorn.pid) not in workers
            before = {endpoint.port for endpoint in plum.discover("orders")}
            first = next(iter(workers))
            os.kill(int(first), signal.SIGTERM)  # a worker that leaves must not take the registration along
            wait_until(lambda: plum.get("shop", "/").text != first, within=10)
            assert {endpoint.port for endpoint in plum.discover("orders")} == before == {server.server_port}
    finally:
        gunicorn.terminate()
        output, _ = gunicorn.communicate(timeout=15)
    assert "Traceback" not in output
    assert listed(registry) == []


# --- logs


def test_logs_of_a_call_arrive_before_it_returns(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*_: object) -> plumline.Response:
        raise ConnectionRefusedError("no")

    with (
        caplog.at_level(logging.DEBUG, "plumline"),
        plumline.Client("static://10.0.0.1:1,10.0.0.2:2", transport=refuse) as plum,
    ):
        with pytest.raises(plumline.PlumUnavailableError):
            plum.get("orders", "/")
        ejected = [record for record in caplog.records if "ejected" in record.getMessage()]
    assert ejected
    assert {record.name for record in ejected} == {"plumline"}
    assert ejected[0].levelno == logging.WARNING
    assert "service=orders" in ejected[0].getMessage()
    assert ejected[0].threadName == threading.current_thread().name


def test_background_logs_arrive_without_a_call(tmp_path: Path) -> None:
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    listener, logger = Listener(), logging.getLogger("plumline")
    logger.addHandler(listener)
    try:
        listed = tmp_path / "services.yaml"
        listed.write_text("orders: ['10.0.0.1:1']")
        with plumline.Client(f"file://{listed}") as plum:
            plum.discover("orders")
            listed.write_text("orders: [")
            wait_until(lambda: any("cannot be read" in message for message in heard), within=15)
    finally:
        logger.removeHandler(listener)


def test_raising_log_handler_does_not_fail_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ZeroDivisionError

    unraisable: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    broken, logger = Broken(), logging.getLogger("plumline")
    logger.addHandler(broken)
    try:
        with plumline.Client("static://10.0.0.1:1,10.0.0.2:2") as plum:
            for _ in range(20):
                plum.pick("orders").failure()
    finally:
        logger.removeHandler(broken)
    assert unraisable


def test_unconfigured_logging_stays_silent() -> None:
    ended = run_python(
        """
        import plumline
        with plumline.Client("static://10.0.0.1:1,10.0.0.2:2") as plum:
            for _ in range(20):
                plum.pick("orders").failure()
        """
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_import_starts_no_thread_and_close_leaves_none() -> None:
    ended = run_python(
        """
        import os, threading, time
        import plumline
        count = lambda: len(os.listdir("/proc/self/task"))
        assert count() == 1, count()
        with plumline.Client("static://10.0.0.1:1") as plum:
            plum.discover("orders")
            plum.watch("orders").get(1)
            assert threading.active_count() == 2
        deadline = time.monotonic() + 3
        while count() > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert count() == 1, [t.name for t in threading.enumerate()]
        """
    )
    assert (ended.returncode, ended.stderr) == (0, "")


# --- other people's machinery


def test_gevent_is_warned_of_once(server: Server) -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            f"""
from gevent import monkey; monkey.patch_all()
import plumline
for _ in range(3):
    with plumline.Client("static://{server.address}") as plum:
        assert plum.get("orders", "/x").status_code == 200
""",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("patched by gevent") == 1


def test_works_in_xdist_workers(tmp_path: Path, server: Server) -> None:
    (tmp_path / "test_many.py").write_text(
        f"""
import plumline, pytest

@pytest.mark.parametrize("number", range(12))
def test_call(number):
    with plumline.Client("static://{server.address}") as plum:
        assert plum.get("orders", f"/{{number}}").status_code == 200
"""
    )
    ended = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-m",
            "pytest",
            "-q",
            "-n",
            "3",
            "-p",
            "no:cacheprovider",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "12 passed" in ended.stdout
    assert "warning" not in ended.stdout
