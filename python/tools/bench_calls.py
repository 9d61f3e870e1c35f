"""Calls side by side with what a Python program would make them with instead.

    python tools/bench_calls.py target/release/plumline-benches [--json FILE]

The server is the bench server of this tree. Client and server share one core, as in the Rust rows; `--json`
writes rows as `target/bench/results.json` has them. What is not installed of urllib3, requests and httpx is
left out.
"""

from __future__ import annotations

import argparse
import http.client
import importlib
import json
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plumline

PATH = "/items/7"
BODY = 100
WARM_UP, CALLS, ROUNDS = 2_000, 20_000, 3
THREADS, CALLS_PER_THREAD = 16, 300

Call = Callable[[], object]


@contextmanager
def server(program: str, *, pinned: bool) -> Iterator[int]:
    process = subprocess.Popen([program, "serve=0" if pinned else "serve"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def contenders(port: int) -> dict[str, Call]:
    """Each makes one call and reads its body."""
    plum = plumline.Client(f"static://127.0.0.1:{port}")
    orders = plum.service("orders")
    url = f"http://127.0.0.1:{port}{PATH}"
    calls: dict[str, Call] = {
        "plumline, by name": lambda: plum.get("orders", PATH).content,
        "plumline, bound handle": lambda: orders.get(PATH).content,
        "http.client keep-alive": http_client(port),
    }
    for name, make in {"urllib3": urllib3, "requests Session": requests, "httpx Client": httpx}.items():
        try:
            module = importlib.import_module(name.split()[0])
        except ImportError:
            continue
        calls[name] = make(module, url)
    for name, call in calls.items():
        body = call()
        assert isinstance(body, bytes), name
        assert len(body) >= BODY, name
    return calls


def http_client(port: int) -> Call:
    connections: dict[int, http.client.HTTPConnection] = {}

    def call() -> bytes:
        mine = threading.get_ident()
        if mine not in connections:
            connections[mine] = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connections[mine].request("GET", PATH)
        return connections[mine].getresponse().read()

    return call


def urllib3(module: Any, url: str) -> Call:
    pool = module.PoolManager(maxsize=THREADS)
    return lambda: pool.request("GET", url, timeout=10).data


def requests(module: Any, url: str) -> Call:
    session = module.Session()
    session.mount("http://", module.adapters.HTTPAdapter(pool_maxsize=THREADS))
    return lambda: session.get(url, timeout=10).content


def httpx(module: Any, url: str) -> Call:
    client = module.Client(timeout=10)
    return lambda: client.get(url).content


def latencies(call: Call) -> tuple[float, float]:
    """Median and 99th percentile of a call, microseconds."""
    for _ in range(WARM_UP):
        call()
    clock, samples = time.perf_counter_ns, []
    for _ in range(CALLS):
        began = clock()
        call()
        samples.append(clock() - began)
    samples.sort()
    return samples[CALLS // 2] / 1e3, samples[CALLS * 99 // 100] / 1e3


def rate(call: Call) -> tuple[float, float]:
    """Calls per second at 16 threads."""

    def work(_: int) -> None:
        for _ in range(CALLS_PER_THREAD):
            call()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
        began = time.perf_counter()
        list(pool.map(work, range(THREADS)))
    figure = THREADS * CALLS_PER_THREAD / (time.perf_counter() - began)
    return figure, figure


def compare(
    group: str, unit: str, calls: dict[str, Call], measure: Callable[[Call], tuple[float, float]]
) -> list[dict[str, Any]]:
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            rounds[name].append(measure(call))
    rows = []
    for name, figures in rounds.items():
        p50, p99 = (statistics.median(column) for column in zip(*figures, strict=True))
        rows.append({"group": group, "name": name, "unit": unit, "p50": p50, "p99": p99})
    print(f"\n{group} ({unit})")
    for row in rows:
        row["ratio"] = row["p50"] / rows[0]["p50"]
        print(f"  {row['name']:<28} {row['p50']:>11.2f} {row['p99']:>11.2f} {row['ratio']:>7.2f}")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", help="the plumline-benches program")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    options = parser.parse_args()
    everywhere = os.sched_getaffinity(0)
    with server(options.server, pinned=True) as port:
        os.sched_setaffinity(0, {min(everywhere)})
        rows = compare("call-python", "µs", contenders(port), latencies)
        os.sched_setaffinity(0, everywhere)
    with server(options.server, pinned=False) as port:
        rows += compare("call-python-threads", "calls/s", contenders(port), rate)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
