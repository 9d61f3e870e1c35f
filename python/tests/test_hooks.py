"""The user's own code inside a call: transports, hooks, balancers, a registry of one's own."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

import plumline
from plumline import Choice, Endpoint, PlumError, Request, Response

from .servers import Server

TWO = "static://10.0.0.1:1,10.0.0.2:2"


def answering(request: Request, endpoint: Endpoint) -> Response:
    return Response(200, json={"port": endpoint.port, "path": request.path})


def test_transport_stub_replaces_the_network() -> None:
    seen: list[Request] = []

    def stub(request: Request, endpoint: Endpoint) -> Response:
        seen.append(request)
        return Response(201, json={"id": 7}, headers={"X-Port": str(endpoint.port)})

    with plumline.Client("static://10.0.0.1:1", transport=stub) as plum:
        response = plum.post("orders", "/items", json={"a": 1}, headers={"X-A": "1"}, params={"q": "x y"})
    assert (response.status_code, response.json(), response.headers["x-port"]) == (201, {"id": 7}, "1")
    (request,) = seen
    assert (request.method, request.service, request.path, request.attempt) == (
        "POST",
        "orders",
        "/items?q=x%20y",
        1,
    )
    assert (request.content, request.json(), request.headers["x-a"]) == (b'{"a":1}', {"a": 1}, "1")


@pytest.mark.parametrize(
    "failure", [ConnectionRefusedError("no"), ConnectionResetError("gone"), TimeoutError(), BrokenPipeError()]
)
def test_stub_raising_socket_errors_is_retried_and_ejected(failure: Exception) -> None:
    asked: Counter[int] = Counter()

    def stub(request: Request, endpoint: Endpoint) -> Response:
        asked[endpoint.port] += 1
        if endpoint.port == 1:
            raise failure
        return answering(request, endpoint)

    with plumline.Client(TWO, transport=stub, balancer="round_robin") as plum:
        assert {plum.get("orders", "/").json()["port"] for _ in range(30)} == {2}
        verdicts = {v.endpoint.port: v for v in plum.explain("orders").endpoints}
        assert not verdicts[1].usable
        assert "ejected" in verdicts[1].reasons[0]
    assert 1 <= asked[1] < 20


def test_stub_that_always_refuses_raises_unavailable() -> None:
    def stub(request: Request, endpoint: Endpoint) -> Response:
        raise ConnectionRefusedError("nobody home")

    with (
        plumline.Client(TWO, transport=stub) as plum,
        pytest.raises(plumline.PlumUnavailableError, match="nobody home") as raised,
    ):
        plum.get("orders", "/")
    assert {step.endpoint.port for step in raised.value.trace} == {1, 2}


class Own(Exception):
    """Nothing that the core knows."""


@pytest.mark.parametrize("raised", [Own("mine"), KeyboardInterrupt(), ZeroDivisionError()])
def test_other_user_exceptions_propagate(raised: BaseException) -> None:
    def boom(*_: object) -> Response:
        raise raised

    for client in (
        plumline.Client(TWO, transport=boom),
        plumline.Client(TWO, transport=answering, on_request=boom),
        plumline.Client(TWO, transport=answering, on_response=boom),
        plumline.Client(TWO, transport=answering, balancer=boom),  # type: ignore[arg-type]
    ):
        with client as plum, pytest.raises(type(raised)) as came:
            plum.get("orders", "/")
        assert came.value is raised


def test_stub_must_return_a_response() -> None:
    with (
        plumline.Client(TWO, transport=lambda *_: {"id": 7}) as plum,  # type: ignore[arg-type]
        pytest.raises(TypeError, match=r"plumline\.Response, not dict"),
    ):
        plum.get("orders", "/")


def test_hooks_see_every_attempt_and_may_add_headers(server: Server) -> None:
    came: list[Response | PlumError] = []

    def sign(request: Request, endpoint: Endpoint) -> None:
        request.set_header("X-Signature", f"{request.method} {request.path} {request.attempt}")

    def note(request: Request, endpoint: Endpoint, response: Response | PlumError) -> None:
        came.append(response)

    with plumline.Client(f"static://{server.address}", on_request=sign, on_response=note) as plum:
        echo = plum.get("orders", "/x").json()
        assert dict(echo["headers"])["X-Signature"] == "GET /x 1"
        plum.get("orders", "/status/503")
    assert [r.status_code for r in came if isinstance(r, Response)] == [200, 503, 503, 503]


def test_hook_receives_failures_as_exceptions() -> None:
    came: list[Response | PlumError] = []

    def stub(request: Request, endpoint: Endpoint) -> Response:
        if endpoint.port == 1:
            raise ConnectionResetError("gone")
        return answering(request, endpoint)

    with (
        plumline.Client(
            "static://10.0.0.1:1", transport=stub, on_response=lambda *three: came.append(three[2])
        ) as plum,
        pytest.raises(plumline.PlumUnavailableError),
    ):
        plum.post("orders", "/")
    assert [type(one) for one in came] == [plumline.PlumUnavailableError]


def test_rejects_invalid_headers_from_hooks() -> None:
    with (
        plumline.Client(
            TWO, transport=answering, on_request=lambda request, _: request.set_header("X", "a\r\nb")
        ) as plum,
        pytest.raises(plumline.PlumInvalidArgumentError, match="control character"),
    ):
        plum.get("orders", "/")


def test_custom_balancer_chooses() -> None:
    choices: list[Choice] = []

    def last(endpoints: tuple[Endpoint, ...], choice: Choice) -> int:
        choices.append(choice)
        return len(endpoints) - 1

    with plumline.Client(TWO, transport=answering, balancer=last) as plum:
        assert {plum.get("orders", "/").json()["port"] for _ in range(5)} == {2}
        assert plum.pick("orders").endpoint.port == 2
    assert choices[0].in_flight == (0, 0)
    assert choices[0].latency == (None, None)
    assert choices[0].tried == (False, False)
    assert choices[1].latency[1] is not None


def test_balancer_of_one_service_does_not_affect_others() -> None:
    with plumline.Client(TWO, transport=answering, services={"orders": {"balancer": lambda *_: 0}}) as plum:
        assert {plum.get("orders", "/").json()["port"] for _ in range(8)} == {1}
        assert {plum.get("billing", "/").json()["port"] for _ in range(50)} == {1, 2}


@pytest.mark.parametrize("wrong", [7, -1, None])
def test_balancer_that_chooses_nobody_is_an_error(wrong: int | None) -> None:
    with (
        plumline.Client(TWO, transport=answering, balancer=lambda *_: wrong) as plum,
        pytest.raises(plumline.PlumInvalidArgumentError, match="the balancer (chose|returned)"),
    ):
        plum.get("orders", "/")


def test_balancer_that_returns_a_wrong_type_is_a_type_error() -> None:
    with (
        plumline.Client(TWO, transport=answering, balancer=lambda *_: "first") as plum,  # type: ignore[arg-type]
        pytest.raises(TypeError),
    ):
        plum.get("orders", "/")


def test_user_code_may_use_its_client() -> None:
    with plumline.Client("memory://") as other:
        other.publish("colours", [Endpoint("colours", "10.0.0.9", 9)])

        def balancer(endpoints: tuple[Endpoint, ...], choice: Choice) -> int:
            with other.pick("colours"):
                return 0

        def stub(request: Request, endpoint: Endpoint) -> Response:
            if request.path == "/outer":
                return plum.get("orders", "/inner")
            return answering(request, endpoint)

        with plumline.Client(TWO, transport=stub, balancer=balancer) as plum:
            assert plum.get("orders", "/outer").json() == {"port": 1, "path": "/inner"}
            assert plum.pick("orders").endpoint.port == 1


def test_hooks_run_on_the_callers_thread() -> None:
    threads: list[int] = []
    with plumline.Client(
        TWO, transport=answering, on_request=lambda *_: threads.append(threading.get_ident())
    ) as plum:
        plum.get("orders", "/")
    assert threads == [threading.get_ident()]


def test_rejects_hooks_that_are_not_callable() -> None:
    for name in ("transport", "on_request", "on_response"):
        with pytest.raises(TypeError, match=f"{name} must be a callable, not int"):
            plumline.Client(TWO, **{name: 7})  # type: ignore[arg-type]
    with pytest.raises(plumline.PlumInvalidArgumentError, match='did you mean "round_robin"'):
        plumline.Client(TWO, balancer="roundrobin")  # type: ignore[arg-type]


def test_published_endpoints_are_discovered() -> None:
    with plumline.Client("memory://", transport=answering) as plum:
        assert plum.discover("orders") == []
        plum.publish(
            "orders", [Endpoint("orders", "10.0.0.1", 1), Endpoint("orders", "10.0.0.2", 2, version="v2")]
        )
        assert {endpoint.port for endpoint in plum.discover("orders")} == {1, 2}
        assert [endpoint.port for endpoint in plum.discover("orders", version="v2")] == [2]
        assert plum.get("orders", "/").status_code == 200
        with pytest.raises(TypeError, match="Endpoints, not str"):
            plum.publish("orders", ["10.0.0.1:1"])  # type: ignore[list-item]
