"""Plumline from Python, and what a Python program would take instead: measured a round at a time.

    python tools/bench.py call|threads|boundary PORT

Says the names of what it can measure as a JSON array, then measures one round of one of them for each line on
stdin that holds its index: `{"p50": …, "p99": …}`. Whoever asks (the bench program of this tree) decides the
order, starts the server at PORT and binds this process to a core.
"""

from __future__ import annotations

import http.client
import importlib
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import plumline

PATH = "/items/7"
BODY = 100
WARM_UP, CALLS = 2_000, 20_000
THREADS, CALLS_PER_THREAD = 16, 300
CROSSINGS = 200_000
ENDPOINTS = 50

Call = Callable[[], object]
Round = tuple[float, float]


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
        calls[name] = make(importlib.import_module(name.split()[0]), url)
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


def crossings() -> dict[str, Call]:
    """What crosses between Python and the core without a socket."""
    plum = plumline.Client("memory://")
    hosts = (f"10.0.0.{number + 1}" for number in range(ENDPOINTS))
    plum.publish("fifty", [plumline.Endpoint("fifty", host, 80) for host in hosts])
    plum.publish("three", [plumline.Endpoint("three", f"10.0.1.{number}", 80) for number in (1, 2, 3)])
    three = plum.service("three")

    def empty() -> object:
        return plum.is_closed

    def pick() -> object:
        return three.pick().success()

    def discover() -> object:
        return plum.discover("fifty")

    return {"empty call": empty, "pick and report": pick, f"discover of {ENDPOINTS}": discover}


def latencies(call: Call) -> Round:
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


def rate(call: Call) -> Round:
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


def mean(call: Call) -> Round:
    """Nanoseconds of one crossing, the loop around it taken off."""

    def loop(repeat: Call) -> float:
        began = time.perf_counter_ns()
        for _ in range(CROSSINGS):
            repeat()
        return (time.perf_counter_ns() - began) / CROSSINGS

    loop(call)
    figure = loop(call) - loop(lambda: None)
    return figure, figure


def main() -> None:
    mode, port = sys.argv[1], int(sys.argv[2])
    measure = {"call": latencies, "threads": rate, "boundary": mean}[mode]
    calls = crossings() if mode == "boundary" else contenders(port)
    print(json.dumps(list(calls)), flush=True)
    for line in sys.stdin:
        p50, p99 = measure(list(calls.values())[int(line)])
        print(json.dumps({"p50": p50, "p99": p99}), flush=True)


if __name__ == "__main__":
    main()
