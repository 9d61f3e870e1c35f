"""What comes from outside may be anything: it is escaped, or ends in a clear error."""

from __future__ import annotations

import threading

import pytest

import plumline

from .servers import Server

HUGE = "x" * (1 << 20)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "a\x7fb", "\r"])
def test_rejects_crlf_in_headers(plum: plumline.Client, server: Server, value: str) -> None:
    for headers in ({"X-A": value}, {f"X{value}": "1"}):
        with pytest.raises(plumline.PlumInvalidArgumentError, match="header"):
            plum.get("orders", "/x", headers=headers)
    assert server.seen == []


@pytest.mark.parametrize("path", ["/a\r\nHost: evil", "/a\0", "/a#b", "items", "", "http://evil/", "/\x7f"])
def test_rejects_crlf_in_paths(plum: plumline.Client, server: Server, path: str) -> None:
    with pytest.raises(plumline.PlumInvalidArgumentError, match="path"):
        plum.get("orders", path)
    with pytest.raises(plumline.PlumInvalidArgumentError, match="path"):
        plum.service("orders").get(path)
    assert server.seen == []


def test_escapes_spaces_and_unicode_once(plum: plumline.Client) -> None:
    assert (
        plum.get("orders", "/a b/ü/日本?q=%20é").json()["path"]
        == "/a%20b/%C3%BC/%E6%97%A5%E6%9C%AC?q=%20%C3%A9"
    )
    headers = dict(plum.get("orders", "/x", headers={"X-Place": "Zürich"}).json()["headers"])
    assert headers["X-Place"].encode("latin-1").decode() == "Zürich"


def test_rejects_lone_surrogates(plum: plumline.Client) -> None:
    half = "\ud800"
    for wrong in (
        lambda: plum.get("orders", "/x", headers={"X": half}),
        lambda: plum.get("orders", "/x", params={"a": half}),
        lambda: plum.post("orders", "/x", content=half),
        lambda: plum.post("orders", "/x", json=half),
        lambda: plum.get("orders", f"/{half}"),
        lambda: plum.get(half, "/"),
        lambda: plum.register(half, 80),
    ):
        with pytest.raises(ValueError, match="surrogate|can't encode"):
            wrong()


def test_megabyte_of_header_or_path_is_handled(plum: plumline.Client) -> None:
    for call in (
        lambda: plum.get("orders", "/x", headers={"X-A": HUGE}),
        lambda: plum.get("orders", "/" + HUGE),
        lambda: plum.get("orders", "/x", params={HUGE: HUGE}),
    ):
        try:
            assert call().status_code in (200, 400, 414, 431)  # type: ignore[no-untyped-call]
        except plumline.PlumError as error:
            assert len(str(error)) < 1000
    with pytest.raises(plumline.PlumInvalidArgumentError) as raised:
        plum.get("orders", HUGE)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("service", ["日本", "a b", "../../etc", "a\r\nb", "a/b?c#d", "\0", "x" * 10_000])
def test_service_name_may_be_any_text(service: str) -> None:
    with plumline.Client("memory://") as plum:
        assert plum.discover(service) == []
        with pytest.raises(plumline.PlumNoEndpointError) as raised:
            plum.get(service, "/")
        assert "\n" not in str(raised.value)
        assert "\r" not in str(raised.value)
    with (
        plumline.Client("memory://") as plum,
        pytest.raises(plumline.PlumInvalidArgumentError, match="empty"),
    ):
        plum.get("", "/")


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("timeout", -1, ValueError, "timeout is -1"),
        ("timeout", 0, ValueError, "timeout is 0"),
        ("timeout", float("nan"), ValueError, "timeout is NaN"),
        ("timeout", float("inf"), ValueError, "timeout is inf"),
        ("timeout", "1s", TypeError, "timeout must be seconds or a timedelta, not str"),
        ("timeout", True, TypeError, "timeout must be seconds"),
        ("attempts", 0, ValueError, "attempts is 0"),
        ("attempts", -1, ValueError, "attempts is -1"),
        ("attempts", 1.5, TypeError, "attempts must be int, not float"),
        ("attempts", 1 << 40, ValueError, "attempts"),
        ("max_body", -1, ValueError, "max_body"),
        ("idempotent", 1, TypeError, "idempotent must be bool, not int"),
        ("headers", {"X": 1}, TypeError, "header value must be str, not int"),
        ("headers", {"X": None}, TypeError, "header value must be str, not NoneType"),
        ("headers", "X: 1", TypeError, "headers must be a mapping"),
        ("headers", 7, TypeError, "headers must be a mapping"),
        ("headers", [1], TypeError, "headers must be a mapping"),
        ("headers", {"Content-Length": "3"}, ValueError, "cannot be set"),
        ("params", "a=1", TypeError, "params must be a mapping"),
        ("params", {1: 2}, TypeError, "parameter's name must be str, not int"),
        ("content", 7, TypeError, "content must be bytes or str, not int"),
        ("content", {"a": 1}, TypeError, "content must be bytes or str, not dict"),
        ("json", float("nan"), ValueError, "json"),
        ("json", object(), TypeError, "not JSON serializable"),
        ("version", 2, TypeError, "version must be str, not int"),
        ("labels", {"a": 1}, TypeError, "labels must be str, not int"),
        ("timeuot", 1, TypeError, "unexpected keyword argument 'timeuot'; did you mean 'timeout'?"),
        ("jsn", 1, TypeError, "did you mean 'json'?"),
        ("colour", 1, TypeError, "unexpected keyword argument 'colour'"),
    ],
)
def test_unknown_option_is_named(
    plum: plumline.Client, option: str, value: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        plum.post("orders", "/x", **{option: value})  # type: ignore[arg-type]
    assert message in str(raised.value)


def test_rejects_more_than_one_body(plum: plumline.Client) -> None:
    with pytest.raises(plumline.PlumInvalidArgumentError, match="only one of json, content and data"):
        plum.post("orders", "/x", json={}, content=b"")


def test_rejects_invalid_method(plum: plumline.Client) -> None:
    for method in ("GE T", "", "GET\r\n", "G\0T"):
        with pytest.raises(plumline.PlumInvalidArgumentError, match="method"):
            plum.call(method, "orders", "/x")


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"port": 0}, ValueError, "port"),
        ({"port": 70_000}, ValueError, "port"),
        ({"port": -1}, ValueError, "port"),
        ({"port": "80"}, ValueError, "port"),
        ({"port": 80, "host": "0.0.0.0"}, ValueError, "where to listen"),
        ({"port": 80, "host": "localhost"}, ValueError, "where to listen"),
        ({"port": 80, "verison": "v2"}, TypeError, "did you mean 'version'?"),
        ({"port": 80, "ttl": -1}, ValueError, "ttl"),
        ({"port": 80, "labels": {"a": 1}}, ValueError, "labels.a"),
        ({"port": 80, "weight": -1}, ValueError, "weight"),
    ],
)
def test_invalid_instance_field_is_named(
    fields: dict[str, object], error: type[Exception], message: str
) -> None:
    with plumline.Client("memory://") as plum, pytest.raises(error) as raised:
        plum.register("orders", **fields)  # type: ignore[arg-type]
    assert message in str(raised.value)


def test_calls_after_close_raise_closed(server: Server) -> None:
    plum = plumline.Client(f"static://{server.address}")
    orders, watch = plum.service("orders"), plum.watch("orders")
    plum.get("orders", "/x")
    plum.close()
    plum.close()
    assert plum.is_closed
    assert "closed" in repr(plum)
    for use in (
        lambda: plum.get("orders", "/x"),
        lambda: orders.get("/x"),
        lambda: plum.pick("orders"),
        lambda: orders.pick(),
        lambda: plum.discover("orders"),
        lambda: plum.register("orders", 80),
        lambda: plum.watch("orders"),
        lambda: plum.watch_all(),
        lambda: plum.wait_for("orders", 1),
        lambda: plum.explain("orders"),
        lambda: plum.stats(),
        lambda: plum.publish("orders", []),
        lambda: plum.clear_cache(),
        lambda: plum.configure({"timeout": 1}),
        lambda: plum.service("orders"),
        lambda: watch.get(1),
    ):
        with pytest.raises(plumline.PlumClosedError):
            use()
    assert list(watch) == []


def test_close_from_another_thread_ends_a_call(server: Server) -> None:
    plum = plumline.Client(f"static://{server.address}")
    raised: list[BaseException] = []

    def call() -> None:
        try:
            plum.get("orders", "/hang", timeout=20)
        except plumline.PlumError as error:
            raised.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    assert server.hanging.wait(5)
    plum.close()
    caller.join(10)
    assert not caller.is_alive()
    assert [type(error) for error in raised] == [plumline.PlumClosedError]
