"""Requests in httpx's words, and the answers to them."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

import plumline

from .servers import Server, free_port

VERBS = ["get", "post", "put", "patch", "delete", "options"]


@pytest.mark.parametrize("verb", VERBS)
def test_every_method_is_sent(plum: plumline.Client, verb: str) -> None:
    assert getattr(plum, verb)("orders", "/x").json()["method"] == verb.upper()
    assert getattr(plum.service("orders"), verb)("/x").json()["method"] == verb.upper()


def test_head_has_no_body_and_custom_methods_work(plum: plumline.Client, server: Server) -> None:
    assert plum.head("orders", "/x").content == b""
    assert plum.service("orders").head("/x").status_code == 200
    assert plum.call("BREW", "orders", "/x").json()["method"] == "BREW"
    assert plum.service("orders").call("BREW", "/x").json()["method"] == "BREW"
    assert ("HEAD", "/x") in server.seen


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"a": 1, "b": "x y"}, "a=1&b=x%20y"),
        ({"a": [1, 2], "b": True, "c": None}, "a=1&a=2&b=true&c="),
        ([("a", "1"), ("a", "2")], "a=1&a=2"),
        ({"ü": "&="}, "%C3%BC=%26%3D"),
        ({"n": 1.5}, "n=1.5"),
    ],
)
def test_params_become_the_query_string(plum: plumline.Client, params: object, query: str) -> None:
    assert plum.get("orders", "/x", params=params).json()["path"] == f"/x?{query}"  # type: ignore[arg-type]
    assert plum.get("orders", "/x?z=0", params=params).json()["path"] == f"/x?z=0&{query}"  # type: ignore[arg-type]


def test_bodies_arrive_unchanged(plum: plumline.Client) -> None:
    def sent(**body: object) -> tuple[str, str | None]:
        echo = plum.post("orders", "/x", **body).json()  # type: ignore[arg-type]
        return echo["body"], dict(echo["headers"]).get("Content-Type")

    assert sent(json={"ü": [1, None]}) == ('{"ü":[1,null]}', "application/json")
    assert sent(content=b"abc") == ("abc", None)
    assert sent(content="äbc") == ("äbc", None)
    assert sent(content=bytearray(b"abc")) == ("abc", None)
    assert sent(content=memoryview(b"abc")) == ("abc", None)
    assert sent(data={"a": "x y", "b": [1, 2]}) == ("a=x+y&b=1&b=2", "application/x-www-form-urlencoded")
    assert sent() == ("", None)
    assert sent(json=[], headers={"content-type": "application/vnd.x+json"})[0] == "[]"


def test_megabyte_body_arrives(plum: plumline.Client) -> None:
    assert plum.post("orders", "/x", content=b"x" * (1 << 20)).json()["length"] == 1 << 20


def test_headers_keep_duplicates_and_add_configured_ones(server: Server) -> None:
    with plumline.Client(f"static://{server.address}", headers={"X-Team": "blue"}) as plum:
        echo = plum.get("orders", "/x", headers=[("X-A", "1"), ("X-A", "2")]).json()
        assert ["X-A", "1"] in echo["headers"]
        assert ["X-A", "2"] in echo["headers"]
        assert ["X-Team", "blue"] in echo["headers"]
        override = plum.get("orders", "/x", headers={"x-team": "red"}).json()
        assert dict(override["headers"])["x-team"] == "red"


def test_response_has_all_fields(plum: plumline.Client, server: Server) -> None:
    response = plum.get("orders", "/items/7")
    assert (response.status_code, response.is_success, response.service) == (200, True, "orders")
    assert json.loads(response.text) == json.loads(response.content) == response.json()
    assert response.content is response.content
    assert response.endpoint.address == server.address
    assert response.attempts == 1
    assert [step.status for step in response.trace] == [200]
    assert timedelta(0) < response.trace[0].elapsed <= response.elapsed
    assert response.raise_for_status() is response
    assert repr(response) == f"<Response [200] {len(response.content)} bytes>"


def test_response_headers_ignore_case_and_keep_duplicates(plum: plumline.Client) -> None:
    headers = plum.get("orders", "/cookies").headers
    assert headers["set-cookie"] == headers["SET-COOKIE"] == "a=1, b=2"
    assert headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert "Set-Cookie" in headers
    assert "x-none" not in headers
    assert headers.get("x-none") is None
    assert headers.get("x-none", "x") == "x"
    assert list(headers).count("Set-Cookie") == 1
    assert len(headers) == len(dict(headers)) == len(headers.items())
    with pytest.raises(KeyError):
        headers["x-none"]


def test_non_utf8_body_is_readable(plum: plumline.Client) -> None:
    response = plum.get("orders", "/latin")
    assert response.headers["x-place"] == "café"
    assert response.text == "caf\ufffd"
    with pytest.raises(plumline.PlumProtocolError, match="as the expected JSON") as raised:
        response.json()
    assert isinstance(raised.value.__cause__, ValueError)


@pytest.mark.parametrize("status", [204, 302, 404, 500, 501])
def test_any_status_is_a_response(plum: plumline.Client, status: int) -> None:
    response = plum.post("orders", f"/status/{status}")
    assert response.status_code == status
    if status < 400:
        assert response.raise_for_status() is response
        return
    with pytest.raises(plumline.PlumStatusError, match=str(status)) as raised:
        response.raise_for_status()
    assert raised.value.status_code == status
    assert raised.value.endpoint == response.endpoint
    assert raised.value.attempts == 1


def test_get_is_retried_and_post_is_not(plum: plumline.Client, server: Server) -> None:
    assert plum.get("orders", "/status/503").attempts == 3
    assert plum.get("orders", "/status/503", attempts=1).attempts == 1
    assert plum.post("orders", "/status/503").attempts == 1
    assert plum.post("orders", "/status/503", idempotent=True, attempts=2).attempts == 2


@pytest.mark.parametrize("timeout", [0.2, timedelta(milliseconds=200)])
def test_hanging_call_ends_at_its_timeout(plum: plumline.Client, server: Server, timeout: float) -> None:
    with pytest.raises(TimeoutError) as raised:
        plum.get("orders", "/hang", timeout=timeout, attempts=1)
    assert isinstance(raised.value, plumline.PlumTimeoutError)
    assert raised.value.service == "orders"
    assert raised.value.endpoint is not None
    assert raised.value.trace[0].kind is plumline.Kind.TIMEOUT
    assert raised.value.is_retryable


def test_rejects_body_larger_than_max_body(plum: plumline.Client) -> None:
    with pytest.raises(plumline.PlumProtocolError, match="max_body"):
        plum.post("orders", "/x", content=b"x" * 1000, max_body=100)


def test_dead_endpoint_fails_no_call(server: Server) -> None:
    addresses = f"static://127.0.0.1:{free_port()},{server.address}"
    with plumline.Client(addresses, balancer="round_robin") as plum:
        statuses = {plum.get("orders", "/x").status_code for _ in range(20)}
        assert statuses == {200}
        ejected = [e for e in plum.stats()["services"]["orders"]["endpoints"].values() if e["ejected"]]
        assert len(ejected) == 1


def test_refused_connection_is_a_connection_error() -> None:
    with plumline.Client(f"static://127.0.0.1:{free_port()}") as plum:
        with pytest.raises(ConnectionError, match="could not connect") as raised:
            plum.get("orders", "/x")
        assert isinstance(raised.value, plumline.PlumUnavailableError)
        assert "\n" not in str(raised.value)


def test_version_and_labels_filter_a_call(server: Server) -> None:
    other = Server()
    try:
        with plumline.Client("memory://") as plum:
            plum.publish(
                "orders",
                [
                    plumline.Endpoint("orders", "127.0.0.1", server.server_port, version="v1"),
                    plumline.Endpoint(
                        "orders", "127.0.0.1", other.server_port, version="v2", labels={"a": "b"}
                    ),
                ],
            )
            for narrowed in ({"version": "v2"}, {"labels": {"a": "b"}}):
                ports = {plum.get("orders", "/x", **narrowed).json()["port"] for _ in range(8)}
                assert ports == {other.server_port}
            bound = plum.service("orders", version="v1")
            assert {bound.get("/x").json()["port"] for _ in range(8)} == {server.server_port}
            with pytest.raises(TypeError, match="when the handle is made"):
                bound.get("/x", version="v2")  # type: ignore[call-arg]
            with pytest.raises(plumline.PlumNoEndpointError, match="version v3|filtered"):
                plum.get("orders", "/x", version="v3")
    finally:
        other.stop()


def test_ignores_proxy_in_environment(plum: plumline.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert plum.get("orders", "/x").status_code == 200
