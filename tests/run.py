#!/usr/bin/env python3
"""Runs every test suite and ends with a table: `suite · result · tests · seconds · CPU seconds`.

    python3 tests/run.py                 # everything, in the order below
    python3 tests/run.py rust java-25    # only these suites; what they need must have been built
    python3 tests/run.py --list          # the names

First comes the build, alone. Then the suites of `BESIDE` run next to each other: most of them wait. At the
end the suites of `ALONE` run one after the other, because their time bounds are what they test.

Each suite writes to `target/test/<suite>.log`; the log of a suite that fails is printed whole. A test that
passed only when it was repeated is FLAKY: it is listed below the table and in `target/flaky.txt`, and does
not fail the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "target"
LOGS = TARGET / "test"
PYTHON = str(ROOT / ".venv/bin/python")

LIMIT = 25 * 60
"""Seconds after which a suite is ended: it hangs."""

CAPACITY = 5
"""How much runs at a time, in the units of `Suite.load`: more than the cores, since most suites wait."""

PATIENCE = 2
"""What the bounds of waits are multiplied by while suites run side by side."""

NOWHERE = dict.fromkeys(
    (
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ),
    "http://127.0.0.1:1",
)
"""A proxy comes from nowhere but the configuration: through one of these every call would fail."""


@dataclass(frozen=True)
class Suite:
    name: str
    command: list[str]
    load: int = 1
    shares_servers: bool = False
    """Whether its tests use the registry servers that `shared_servers` starts."""
    junit: str = ""
    """Where it writes its results, as a pattern below the checkout."""
    conformance: str = ""
    """The language whose scenarios it plays."""
    environment: dict[str, str] = field(default_factory=dict)


def conformance(language: str, command: list[str]) -> Suite:
    return Suite(f"scenarios-{language}", command, conformance=language, environment=NOWHERE)


def nextest(profile: str) -> Suite:
    name = "rust" if profile == "default" else f"rust-{profile}"
    command = ["cargo", "nextest", "run", "--workspace", "--profile", profile]
    junit = f"target/nextest/{profile}/junit.xml"
    return Suite(name, command, load=2, shares_servers=True, junit=junit)


def pytest(name: str, workers: int, *arguments: str) -> Suite:
    junit = f"target/test/{name}.xml"
    command = [
        PYTHON,
        "-X",
        "dev",
        "-m",
        "pytest",
        "-q",
        "-n",
        str(workers),
        "--reruns",
        "2",
        f"--junitxml={junit}",
    ]
    return Suite(name, [*command, *arguments], junit=junit)


def java(name: str, conformance: str = "") -> Suite:
    reports = f"target/test/{name}"
    junit = "" if conformance else f"{reports}/TEST-*.xml"
    return Suite(name, ["java/tools/suite.sh", name, reports], junit=junit, conformance=conformance)


def c(part: str) -> Suite:
    return Suite(f"c-{part}", ["tests/c/run.sh", part])


BUILD = Suite("build", ["make", "--no-print-directory", "test-build"])
BESIDE = [
    nextest("default"),
    conformance("python", [PYTHON, "-X", "dev", "-W", "error", "python/tests/conformance.py"]),
    java("java-25"),
    conformance("c", ["tests/c/run.sh", "conformance"]),
    conformance("rust", ["target/debug/conformance-rust"]),
    java("scenarios-java", conformance="java"),
    pytest("python", 4, "-c", "python/pyproject.toml", "--rootdir=python", "python/tests"),
    c("valgrind"),
    pytest(
        "docs",
        3,
        "-c",
        "python/pyproject.toml",
        "--rootdir=.",
        "-p",
        "no:cacheprovider",
        "tests/documentation",
    ),
    c("plain"),
    c("sanitize"),
    java("java-17"),
    c("install"),
    Suite("rust-doc", ["cargo", "test", "--workspace", "--doc", "--quiet"]),
    java("java-packaged"),
]
ALONE = [
    Suite("scenarios-table", ["target/debug/plumline-testbed", "--table"]),
    nextest("timed"),
]


@contextlib.contextmanager
def shared_servers(suites: list[Suite]) -> Iterator[dict[str, str]]:
    """One registry server of each system while tests run, if any of these suites shares them.

    The value tells their tests where the servers are.
    """
    if not any(suite.shares_servers for suite in suites):
        yield {}
        return
    command = ["target/debug/plumline-servers", "--serve"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as servers:
        assert servers.stdout is not None
        places = servers.stdout.readline().strip()
        if not places:
            raise SystemExit("the servers that tests share did not start; see above")
        yield {"PLUMLINE_TEST_SHARED": places}


@dataclass
class Result:
    suite: Suite
    passed: int
    failed: int
    flaky: list[str]
    seconds: float
    cpu: float

    @property
    def is_good(self) -> bool:
        return self.failed == 0


def run(suite: Suite, shared: Mapping[str, str] = {}) -> Result:
    """Runs a suite to its end and reads what it left. `shared`: where the servers are that tests share."""
    started = time.monotonic()
    log = LOGS / f"{suite.name}.log"
    for old in ROOT.glob(suite.junit) if suite.junit else ():
        old.unlink()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLUMLINE_")}
    environment |= {
        "PLUMLINE_COMMAND": str(TARGET / "debug/plumline"),
        "PLUMLINE_TEST_PATIENCE": str(PATIENCE if suite in BESIDE else 1),
        "PLUMLINE_FLAKY": str(LOGS / f"{suite.name}.flaky"),
        **shared,
        **suite.environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            suite.command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        watchdog = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        watchdog.cancel()
    seconds = time.monotonic() - started
    passed, failed, flaky = counted(suite)
    if os.waitstatus_to_exitcode(status) != 0 and failed == 0:
        failed = 1
    if passed + failed == 0:
        passed = 1
    return Result(suite, passed, failed, flaky, seconds, usage.ru_utime + usage.ru_stime)


def counted(suite: Suite) -> tuple[int, int, list[str]]:
    """How many tests of a suite passed and failed, and which of them passed only when repeated."""
    passed, failed, flaky = 0, 0, []
    for path in ROOT.glob(suite.junit) if suite.junit else ():
        for case in ElementTree.parse(path).iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                failed += 1
            elif "skipped" not in kinds:
                passed += 1
            if kinds & {"flakyFailure", "flakyError"}:
                flaky.append(f"{case.get('classname')} {case.get('name')}")
    scenarios = TARGET / f"conformance/{suite.conformance}.json"
    if suite.conformance and scenarios.exists():
        for scenario in json.loads(scenarios.read_text()):
            if scenario["failure"] is not None:
                failed += 1
                continue
            passed += 1
            if scenario["tries"] > 1:
                flaky.append(f"{scenario['topic']}: {scenario['name']}")
    if passed + failed == 0:
        log = (LOGS / f"{suite.name}.log").read_text(errors="replace")
        passed = sum(int(count) for count in re.findall(r"\b(\d+) (?:tests )?passed", log))
        failed = sum(int(count) for count in re.findall(r"\b(\d+) failed", log))
    written = LOGS / f"{suite.name}.flaky"
    if written.exists():
        flaky += written.read_text().splitlines()
    return passed, failed, flaky


def report(result: Result) -> None:
    """Says how a suite ended; shows its whole output where it failed."""
    print(
        f"{'ok    ' if result.is_good else 'FAILED'} {result.suite.name} ({result.seconds:.0f} s)",
        flush=True,
    )
    if not result.is_good:
        print((LOGS / f"{result.suite.name}.log").read_text(errors="replace"), flush=True)


def run_beside(suites: list[Suite], shared: Mapping[str, str]) -> list[Result]:
    """Runs suites next to each other, as many as `CAPACITY` carries, in their order."""
    results: list[Result] = []
    waiting, free = list(suites), CAPACITY
    changed = threading.Condition()

    def work(suite: Suite) -> None:
        nonlocal free
        result = run(suite, shared)
        with changed:
            free += suite.load
            results.append(result)
            report(result)
            changed.notify()

    with changed:
        while waiting or len(results) < len(suites):
            if waiting and waiting[0].load <= free:
                suite = waiting.pop(0)
                free -= suite.load
                threading.Thread(target=work, args=(suite,)).start()
            else:
                changed.wait()
    return results


def table(results: list[Result]) -> str:
    lines = [f"{'suite':<20}{'result':<10}{'passed':>8}{'failed':>8}{'seconds':>9}{'CPU s':>8}"]
    for result in results:
        lines.append(
            f"{result.suite.name:<20}{'ok' if result.is_good else 'FAILED':<10}{result.passed:>8}"
            f"{result.failed:>8}{result.seconds:>9.0f}{result.cpu:>8.0f}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the test suites and ends with a table.")
    parser.add_argument("suite", nargs="*", help="only these (default: the build, then all of them)")
    parser.add_argument("--list", action="store_true", help="print the names of the suites")
    arguments = parser.parse_args()
    suites = [BUILD, *BESIDE, *ALONE]
    if arguments.list:
        print("\n".join(suite.name for suite in suites))
        return 0
    if unknown := set(arguments.suite) - {suite.name for suite in suites}:
        parser.error(f"no suite is named {', '.join(sorted(unknown))}; --list prints the names")
    chosen = [suite for suite in suites if not arguments.suite or suite.name in arguments.suite]

    started = time.monotonic()
    LOGS.mkdir(parents=True, exist_ok=True)
    for old in [*LOGS.glob("*.flaky"), *(TARGET / "conformance").glob("*.json")]:
        old.unlink()
    results = []
    if BUILD in chosen:
        results.append(run(BUILD))
        report(results[0])
        if not results[0].is_good:
            return finish(results, started)
    with shared_servers(chosen) as shared:
        results += run_beside([suite for suite in BESIDE if suite in chosen], shared)
        for suite in ALONE:
            if suite in chosen:
                results.append(run(suite, shared))
                report(results[-1])
    return finish(results, started)


def finish(results: list[Result], started: float) -> int:
    """Prints the table, the flaky tests and the line that readers of logs look for; returns the exit code."""
    flaky = [f"{result.suite.name}: {test}" for result in results for test in result.flaky]
    (TARGET / "flaky.txt").write_text("".join(f"{test}\n" for test in flaky))
    print(f"\n{table(results)}\n\nAll of it: {time.monotonic() - started:.0f} s")
    if flaky:
        print("\nFLAKY: these passed only when repeated\n" + "\n".join(f"  {test}" for test in flaky))
    failed = sum(result.failed for result in results)
    print(f"\n{sum(result.passed for result in results)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
