"""The Python runner: does what the test bed says, with the public API, and tells what came of it.

It judges nothing; `tests/conformance/README.md` says what the lines mean. It is a program of its own:
`python -m tests.conformance [filter]` in the folder `python`.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plumline

ROOT = Path(__file__).parents[2]
WORDS = ("get", "post", "put", "patch", "delete", "head", "options")
Fields = dict[str, Any]


class Raised(Exception):
    """What the user's own code raises here."""


# --- normal forms


def endpoint(one: plumline.Endpoint) -> Fields:
    words = ("service", "address", "host", "ip", "port", "protocol", "version", "labels", "weight")
    words += ("zone", "healthy", "instance_id", "node_id", "source")
    return {word: getattr(one, word) for word in words}


def endpoints(several: Any) -> list[Fields]:
    return [endpoint(one) for one in several]


def text(content: bytes) -> Any:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def trace(steps: tuple[plumline.TraceStep, ...]) -> list[Fields]:
    def shown(step: plumline.TraceStep) -> Fields:
        came = {"status": step.status} if step.kind is None else {"kind": int(step.kind)}
        return {"endpoint": step.endpoint.address, **came}

    return [shown(step) for step in steps]


def response(came: plumline.Response) -> Fields:
    return {
        "status": came.status_code,
        "is_success": came.is_success,
        "headers": came.headers.multi_items(),
        "body": text(came.content),
        "service": came.service,
        "endpoint": came.endpoint.address,
        "attempts": came.attempts,
        "trace": trace(came.trace),
        "elapsed": came.elapsed.total_seconds() * 1000,
    }


def error(raised: plumline.PlumError) -> Fields:
    return {
        "kind": int(raised.kind),
        "name": type(raised).__name__.removeprefix("Plum").removesuffix("Error"),
        "message": raised.message,
        "service": raised.service,
        "endpoint": raised.endpoint and raised.endpoint.address,
        "attempts": raised.attempts,
        "retryable": raised.is_retryable,
        "trace": trace(raised.trace),
    }


def change(told: plumline.Change | None) -> Fields | None:
    if told is None:
        return None
    lists = {word: endpoints(getattr(told, word)) for word in ("added", "updated", "removed", "endpoints")}
    return {"service": told.service, "kind": told.kind, **lists}


def registration(handle: plumline.Registration) -> Fields:
    words = ("state", "address", "service", "instance_id")
    last = handle.last_error
    return {**{word: getattr(handle, word) for word in words}, "last_error": last and error(last)}


def explanation(told: plumline.Explanation) -> Fields:
    words = ("address", "usable", "reasons", "ewma_ms", "success", "in_flight", "weight")
    rows = [
        {**{word: getattr(row, word) for word in words}, "endpoint": endpoint(row.endpoint)}
        for row in told.endpoints
    ]
    return {
        **{word: getattr(told, word) for word in ("query", "summary", "usable", "source")},
        "endpoints": rows,
    }


# --- a user's own code


class Own:
    """Hooks, balancer and stub of one client, and what they noted."""

    here = threading.local()

    def __init__(self, operation: Fields) -> None:
        self.operation = operation
        self.client: plumline.Client | None = None
        self.notes: list[Fields] = []
        self.given: dict[str, int] = {}

    def arguments(self) -> dict[str, Any]:
        hooks = {"on_request": self.on_request, "on_response": self.on_response}
        hooks |= {"balancer": self.balancer, "transport": self.transport}
        return {word: hook for word, hook in hooks.items() if word in self.operation}

    def note(self, by: str, **what: Any) -> None:
        self.notes.append({"by": by, **what, "on_caller": getattr(self.here, "is_caller", False)})

    def act(self, script: Fields) -> None:
        if "raise" in script:
            raise Raised(script["raise"])
        if script.get("close") and self.client is not None:
            self.client.close()

    def on_request(self, request: plumline.Request, to: plumline.Endpoint) -> None:
        self.note(
            "on_request",
            method=request.method,
            service=request.service,
            path=request.path,
            attempt=request.attempt,
            endpoint=to.address,
        )
        script = self.operation["on_request"]
        for name, value in script.get("set_headers", []):
            request.set_header(name, value.replace("{attempt}", str(request.attempt)))
        self.act(script)

    def on_response(
        self, request: plumline.Request, at: plumline.Endpoint, came: plumline.Response | plumline.PlumError
    ) -> None:
        if isinstance(came, plumline.PlumError):
            what = {"kind": int(came.kind)}
        else:
            what = {"status": came.status_code}
        self.note("on_response", attempt=request.attempt, endpoint=at.address, **what)
        self.act(self.operation["on_response"])

    def balancer(self, among: tuple[plumline.Endpoint, ...], choice: plumline.Choice) -> int:
        self.note("balancer", endpoints=[one.address for one in among], tried=choice.tried)
        script = self.operation["balancer"]
        if isinstance(script, dict):
            raise Raised(script["raise"])
        return {"first": 0, "last": len(among) - 1, "out_of_range": len(among)}[script]

    def transport(self, request: plumline.Request, to: plumline.Endpoint) -> plumline.Response:
        self.note(
            "transport",
            method=request.method,
            path=request.path,
            attempt=request.attempt,
            endpoint=to.address,
        )
        script = self.operation["transport"]
        host = to.host if to.host in script else "*"
        turn = self.given.get(host, 0)
        self.given[host] = turn + 1
        answer = script[host][min(turn, len(script[host]) - 1)]
        if "raise" in answer:
            raise Raised(answer["raise"])
        if "fail" in answer:
            failures = {
                "refused": ConnectionRefusedError,
                "reset": ConnectionResetError,
                "timeout": TimeoutError,
            }
            raise failures[answer["fail"]]("played")
        headers = [tuple(pair) for pair in answer.get("headers", [])]
        return plumline.Response(answer.get("status", 200), headers=headers, content=answer.get("body", ""))


# --- operations


def seconds(fields: Fields, *words: str) -> Fields:
    return {word: fields[word] / 1000 for word in words if word in fields}


def given(fields: Fields, *words: str) -> Fields:
    return {word: fields[word] for word in words if word in fields}


def query(fields: Fields) -> Fields:
    return given(fields, "version", "protocol", "labels")


def instance(fields: Fields) -> Fields:
    rest = {word: value for word, value in fields.items() if word not in ("service", "ttl")}
    return {**rest, **seconds(fields, "ttl")}


def published(service: str, row: Fields) -> plumline.Endpoint:
    rest = {word: value for word, value in row.items() if word not in ("host", "port")}
    return plumline.Endpoint(service, row["host"], row["port"], **rest)


class Runner:
    """What was made since the last `end`, and the operations on it."""

    def __init__(self) -> None:
        self.things: dict[str, Any] = {}
        self.owns: dict[str, Own] = {}
        self.tasks: dict[str, tuple[threading.Thread, list[Fields]]] = {}

    def answer(self, operation: Fields) -> Fields:
        if operation["do"] == "join":
            thread, answers = self.tasks.pop(operation["task"])
            thread.join()
            return answers[0]
        if "task" not in operation:
            return self.done(operation)
        answers: list[Fields] = []
        thread = threading.Thread(target=lambda: answers.append(self.done(operation)), daemon=True)
        self.tasks[operation["task"]] = (thread, answers)
        thread.start()
        return {"value": None}

    def done(self, operation: Fields) -> Fields:
        Own.here.is_caller = True
        try:
            act: Callable[[Fields], Any] = getattr(self, "do_" + operation["do"])
            return {"value": act(operation)}
        except plumline.PlumError as failed:
            return {"error": error(failed)}
        except Raised as raised:
            return {"raised": str(raised)}
        except Exception as wrong:
            return {"defect": f"{type(wrong).__name__}: {wrong}"}
        finally:
            Own.here.is_caller = False

    def of(self, kind: str, operation: Fields) -> Any:
        return self.things[f"{kind} {operation[kind]}"]

    def keep(self, kind: str, operation: Fields, thing: Any) -> None:
        self.things[f"{kind} {operation['as']}"] = thing

    def do_client(self, operation: Fields) -> None:
        own = Own(operation)
        own.client = plumline.Client(**operation["config"], **own.arguments())
        self.keep("client", operation, own.client)
        self.owns[operation["as"]] = own

    def do_service(self, operation: Fields) -> None:
        client = self.of("client", operation)
        self.keep("handle", operation, client.service(operation["service"], **query(operation)))

    def do_call(self, operation: Fields) -> Fields:
        options = given(operation, "attempts", "idempotent", "max_body", "json", "version", "labels")
        options |= seconds(operation, "timeout", "attempt_timeout")
        for word, name in (("params", "params"), ("headers", "headers"), ("form", "data")):
            if word in operation:
                options[name] = [tuple(pair) for pair in operation[word]]
        if "body" in operation:
            options["content"] = operation["body"]
        if "handle" in operation:
            caller, place = self.of("handle", operation), (operation["path"],)
        else:
            caller, place = self.of("client", operation), (operation["service"], operation["path"])
        method = operation["method"]
        if method.lower() in WORDS:
            came = getattr(caller, method.lower())(*place, **options)
        else:
            came = caller.call(method, *place, **options)
        return response(came.raise_for_status() if operation.get("raise_for_status") else came)

    def do_discover(self, operation: Fields) -> list[Fields]:
        return endpoints(self.of("client", operation).discover(operation["service"], **query(operation)))

    def do_services(self, operation: Fields) -> Any:
        return self.of("client", operation).services()

    def do_pick(self, operation: Fields) -> Fields:
        if "handle" in operation:
            pick = self.of("handle", operation).pick()
        else:
            pick = self.of("client", operation).pick(operation["service"], **query(operation))
        self.keep("pick", operation, pick)
        return {"endpoint": endpoint(pick.endpoint), "is_stale": pick.is_stale}

    def do_report(self, operation: Fields) -> None:
        getattr(self.of("pick", operation), operation["outcome"])()

    def do_register(self, operation: Fields) -> Fields:
        wanted = operation["instance"]
        handle = self.of("client", operation).register(wanted["service"], **instance(wanted))
        self.keep("registration", operation, handle)
        return registration(handle)

    def do_registration(self, operation: Fields) -> Fields:
        return registration(self.of("registration", operation))

    def do_wait(self, operation: Fields) -> None:
        self.of("registration", operation).wait(operation["timeout"] / 1000)

    def do_update(self, operation: Fields) -> None:
        self.of("registration", operation).update(**instance(operation["fields"]))

    def do_close_registration(self, operation: Fields) -> None:
        self.of("registration", operation).close(**seconds(operation, "drain"))

    def do_watch(self, operation: Fields) -> None:
        self.keep("watch", operation, self.of("client", operation).watch(operation["service"]))

    def do_watch_all(self, operation: Fields) -> None:
        self.keep("watch", operation, self.of("client", operation).watch_all())

    def do_next(self, operation: Fields) -> Fields | None:
        return change(self.of("watch", operation).get(operation["timeout"] / 1000))

    def do_close_watch(self, operation: Fields) -> None:
        self.of("watch", operation).close()

    def do_wait_for(self, operation: Fields) -> None:
        client, timeout = self.of("client", operation), operation["timeout"] / 1000
        client.wait_for(operation["service"], timeout, **query(operation))

    def do_explain(self, operation: Fields) -> Fields:
        return explanation(self.of("client", operation).explain(operation["service"], **query(operation)))

    def do_stats(self, operation: Fields) -> Any:
        return self.of("client", operation).stats()

    def do_publish(self, operation: Fields) -> None:
        service = operation["service"]
        rows = [published(service, row) for row in operation["endpoints"]]
        self.of("client", operation).publish(service, rows)

    def do_clear_cache(self, operation: Fields) -> None:
        self.of("client", operation).clear_cache()

    def do_configure(self, operation: Fields) -> None:
        self.of("client", operation).configure(operation["changes"])

    def do_close(self, operation: Fields) -> None:
        self.of("client", operation).close(**seconds(operation, "drain"))

    def do_is_closed(self, operation: Fields) -> Any:
        return self.of("client", operation).is_closed

    def do_recorded(self, operation: Fields) -> list[Fields]:
        return self.owns[operation["client"]].notes

    def do_end(self, _: Fields) -> None:
        for own in self.owns.values():
            if own.client is not None:
                own.client.close()
                own.client = None
        for thread, _answers in self.tasks.values():
            thread.join()
        self.things.clear()
        self.owns.clear()
        self.tasks.clear()


def main(arguments: list[str]) -> int:
    bed = os.environ.pop("PLUMLINE_TESTBED", str(ROOT / "target" / "debug" / "plumline-testbed"))
    runner = Runner()
    with subprocess.Popen(
        [bed, "python", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            process.stdin.write(json.dumps(runner.answer(json.loads(line))) + "\n")
            process.stdin.flush()
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
