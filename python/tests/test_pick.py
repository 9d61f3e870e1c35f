"""Picks: an exception is a failure, what only ends the program says nothing, the first word counts."""

from __future__ import annotations

import asyncio

import pytest

import plumline

ADDRESS = "static://10.0.0.1:1"


def figures(plum: plumline.Client) -> tuple[int, int, int]:
    """Uses that ended, those among them that failed, and picks nobody reported on."""
    service = plum.stats()["services"]["billing"]
    (endpoint,) = service["endpoints"].values()
    return endpoint["attempts"], endpoint["failures"], service["unreported"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (None, (1, 0, 0)),
        (OSError(), (1, 1, 0)),
        (ValueError(), (1, 1, 0)),
        (KeyboardInterrupt(), (1, 0, 1)),
        (asyncio.CancelledError(), (1, 0, 1)),
        (GeneratorExit(), (1, 0, 1)),
        (SystemExit(), (1, 0, 1)),
    ],
    ids=repr,
)
def test_exception_in_block_counts_as_failure(
    raised: BaseException | None, expected: tuple[int, int, int]
) -> None:
    with plumline.Client(ADDRESS) as plum:
        try:
            with plum.pick("billing") as pick:
                assert pick.endpoint.address == "10.0.0.1:1"
                if raised is not None:
                    raise raised
        except BaseException as came:
            assert came is raised
        assert figures(plum) == expected


def test_first_report_counts() -> None:
    with plumline.Client(ADDRESS) as plum:
        with plum.pick("billing") as pick:
            pick.failure()
            pick.success()
        assert figures(plum) == (1, 1, 0)


def test_unreported_pick_is_neutral_and_counted() -> None:
    with plumline.Client(ADDRESS) as plum:
        pick = plum.pick("billing")
        assert plum.explain("billing").endpoints[0].in_flight == 1
        del pick
        assert plum.explain("billing").endpoints[0].in_flight == 0
        assert figures(plum) == (1, 0, 1)


def test_failures_eject_an_endpoint() -> None:
    with plumline.Client("static://10.0.0.1:1,10.0.0.2:2") as plum:
        billing = plum.service("billing")
        for _ in range(60):
            pick = billing.pick()
            (pick.failure if pick.endpoint.port == 1 else pick.success)()
        assert {billing.pick().endpoint.port for _ in range(20)} == {2}


def test_unknown_service_suggests_the_nearest_name() -> None:
    with plumline.Client("memory://") as plum:
        plum.publish("orders", [plumline.Endpoint("orders", "10.0.0.1", 1)])
        with pytest.raises(plumline.PlumNoEndpointError, match='nothing registered as "ordrs"') as raised:
            plum.pick("ordrs")
        assert raised.value.service == "ordrs"
        assert isinstance(raised.value, ConnectionError)


def test_pick_takes_any_protocol_but_call_needs_http() -> None:
    with plumline.Client("memory://") as plum:
        plum.publish("mail", [plumline.Endpoint("mail", "10.0.0.1", 25, protocol="smtp")])
        assert plum.pick("mail").endpoint.protocol == "smtp"
        with pytest.raises(plumline.PlumUnsupportedError, match="smtp"):
            plum.get("mail", "/")
