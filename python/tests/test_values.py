"""Responses, endpoints, changes and errors are values: they compare, pickle, and can be made by hand."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Mapping

import pytest

import plumline
from plumline import _plumline, errors

ENDPOINT = plumline.Endpoint("orders", "127.0.0.1", 8080, version="v2", labels={"env": "test"}, weight=3)


def test_response_constructor_and_equality() -> None:
    response = plumline.Response(200, json={"id": 7}, headers={"X-A": "1"})
    assert response == plumline.Response(200, json={"id": 7}, headers={"X-A": "1"})
    assert response != plumline.Response(201, json={"id": 7}, headers={"X-A": "1"})
    assert response != plumline.Response(200, json={"id": 8}, headers={"X-A": "1"})
    assert response != "something else"
    assert response.json() == {"id": 7}
    assert response.headers["content-type"] == "application/json"
    assert plumline.Response(content="ä").text == "ä"
    assert plumline.Response().status_code == 200


def test_endpoint_keeps_its_fields() -> None:
    assert (ENDPOINT.address, ENDPOINT.ip, ENDPOINT.port) == ("127.0.0.1:8080", "127.0.0.1", 8080)
    assert (ENDPOINT.version, ENDPOINT.labels, ENDPOINT.weight) == ("v2", {"env": "test"}, 3)
    assert (ENDPOINT.protocol, ENDPOINT.healthy, ENDPOINT.instance_id) == (
        "http",
        True,
        "orders-127.0.0.1-8080",
    )
    assert plumline.Endpoint("orders", "::1", 80).address == "[::1]:80"
    named = plumline.Endpoint("orders", "shop.example", 443, ip="10.0.0.7", protocol="https")
    assert (named.host, named.address) == ("shop.example", "10.0.0.7:443")
    with pytest.raises(plumline.PlumInvalidArgumentError, match="pass ip="):
        plumline.Endpoint("orders", "shop.example", 443)


def test_endpoints_compare_by_fields() -> None:
    twin = plumline.Endpoint("orders", "127.0.0.1", 8080, version="v2", labels={"env": "test"}, weight=3)
    assert {ENDPOINT, twin} == {twin}
    assert plumline.Endpoint("orders", "127.0.0.1", 8081) != ENDPOINT


STEP = plumline.TraceStep(ENDPOINT, kind=plumline.Kind.TIMEOUT, error="no answer in time", elapsed=0.25)
CHANGE = plumline.Change("orders", "changed", [ENDPOINT], added=[ENDPOINT])


@pytest.mark.parametrize(
    "value",
    [
        ENDPOINT,
        STEP,
        plumline.TraceStep(ENDPOINT, status=200),
        CHANGE,
        plumline.Headers([("A", "1"), ("a", "2")]),
        plumline.Response(404, json={"why": "not here"}, headers=[("A", "1"), ("A", "2")], endpoint=ENDPOINT),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_survive_pickle_and_copy(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value
    assert copy.deepcopy(value) == value
    assert copy.copy(value) == value
    assert repr(value)


def test_change_and_trace_step_keep_their_fields() -> None:
    assert (CHANGE.service, CHANGE.kind, CHANGE.endpoints, CHANGE.added) == (
        "orders",
        "changed",
        (ENDPOINT,),
        (ENDPOINT,),
    )
    assert (CHANGE.updated, CHANGE.removed) == ((), ())
    assert (STEP.status, STEP.kind, STEP.error) == (None, plumline.Kind.TIMEOUT, "no answer in time")
    assert STEP.elapsed.total_seconds() == 0.25
    with pytest.raises(plumline.PlumInvalidArgumentError, match="snapshot, changed"):
        plumline.Change("orders", "gone", [])  # type: ignore[arg-type]


def test_headers_are_a_mapping() -> None:
    headers = plumline.Headers({"A": "1"})
    assert isinstance(headers, Mapping)
    assert headers == {"a": "1"}
    assert headers != {"a": "2"}
    assert {**headers} == {"A": "1"}
    assert plumline.Headers(headers) == headers


def classes() -> list[type[plumline.PlumError]]:
    found = [
        cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, errors.PlumError)
    ]
    return [cls for cls in found if cls is not errors.PlumError]


def test_every_kind_has_a_class_with_its_number() -> None:
    assert {(cls.__name__, int(cls.kind)) for cls in classes()} == {
        (f"Plum{name}Error", number) for name, number in _plumline.kinds()
    }
    assert {(kind.name.replace("_", "").lower(), int(kind)) for kind in plumline.Kind} == {
        (name.lower(), number) for name, number in _plumline.kinds()
    }
    assert all(errors.class_of(int(cls.kind)) is cls for cls in classes())
    assert all(cls.__name__ in plumline.__all__ for cls in classes())


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_errors_survive_pickle(cls: type[plumline.PlumError]) -> None:
    error = cls("it did not work", service="orders", endpoint=ENDPOINT, attempts=2, trace=(STEP,))
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is cls
    assert (twin.message, twin.service, twin.endpoint, twin.attempts, twin.trace) == (
        "it did not work",
        "orders",
        ENDPOINT,
        2,
        (STEP,),
    )
    assert str(twin) == str(copy.copy(error)) == "it did not work"
    assert isinstance(error, plumline.PlumError)


def test_errors_subclass_builtin_exceptions() -> None:
    assert issubclass(plumline.PlumTimeoutError, TimeoutError)
    assert issubclass(plumline.PlumUnavailableError, ConnectionError)
    assert issubclass(plumline.PlumNoEndpointError, ConnectionError)
    assert issubclass(plumline.PlumCircuitOpenError, ConnectionError)
    assert issubclass(plumline.PlumInvalidArgumentError, ValueError)
