"""Picks: an exception is a failure, what only ends the program says nothing, the first word counts."""

from __future__ import annotations

import asyncio

import plumline
import pytest

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
        (KeyboardInterrupt(), (0, 0, 1)),
        (asyncio.CancelledError(), (0, 0, 1)),
        (GeneratorExit(), (0, 0, 1)),
        (SystemExit(), (0, 0, 1)),
    ],
    ids=repr,
)
def test_how_the_block_ends_is_what_the_pick_came_to(
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


def test_the_first_word_counts() -> None:
    with plumline.Client(ADDRESS) as plum:
        with plum.pick("billing") as pick:
            pick.failure()
            pick.success()
        assert figures(plum) == (1, 1, 0)


def test_a_pick_nobody_reports_on_is_neutral_and_counted() -> None:
    with plumline.Client(ADDRESS) as plum:
        pick = plum.pick("billing")
        assert plum.explain("billing").endpoints[0].in_flight == 1
        del pick
        assert plum.explain("billing").endpoints[0].in_flight == 0
        assert figures(plum) == (0, 0, 1)


def test_failures_take_an_endpoint_out() -> None:
    with plumline.Client("static://10.0.0.1:1,10.0.0.2:2") as plum:
        billing = plum.service("billing")
        for _ in range(60):
            pick = billing.pick()
            (pick.failure if pick.endpoint.port == 1 else pick.success)()
        assert {billing.pick().endpoint.port for _ in range(20)} == {2}


def test_a_service_nobody_knows_is_no_endpoint_and_says_what_was_meant() -> None:
    with plumline.Client("memory://") as plum:
        plum.publish("orders", [plumline.Endpoint("orders", "10.0.0.1", 1)])
        with pytest.raises(plumline.PlumNoEndpointError, match='nothing registered as "ordrs"') as raised:
            plum.pick("ordrs")
        assert raised.value.service == "ordrs"
        assert isinstance(raised.value, ConnectionError)


def test_a_pick_is_of_any_protocol_but_a_call_is_http() -> None:
    with plumline.Client("memory://") as plum:
        plum.publish("mail", [plumline.Endpoint("mail", "10.0.0.1", 25, protocol="smtp")])
        assert plum.pick("mail").endpoint.protocol == "smtp"
        with pytest.raises(plumline.PlumUnsupportedError, match="smtp"):
            plum.get("mail", "/")
