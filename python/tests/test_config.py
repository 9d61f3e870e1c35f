"""Configuration: one set of words, checked once, wrong ones named with the right ones."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import plumline

from .conftest import ROOT


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"timeuot": 1}, 'unknown key "timeuot"; did you mean "timeout"?'),
        ({"retry": {"atempts": 1}}, 'unknown key "retry.atempts"; did you mean "retry.attempts"?'),
        ({"retry": {"attempts": 0}}, "retry.attempts is 0; it must be from 1 to 100"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"timeout": float("nan")}, "timeout is NaN; it must be finite"),
        ({"services": {"orders": {"tmeout": 1}}}, 'did you mean "services.orders.timeout"?'),
        ({"headers": {"X": "a\r\nb"}}, "control character"),
        ({"max_body": 1 << 70}, "too large"),
        ({"zone": "\ud800"}, "surrogate"),
    ],
)
def test_misspelt_key_names_the_right_one(config: dict[str, Any], message: str) -> None:
    with pytest.raises(plumline.PlumInvalidArgumentError) as raised:
        plumline.Client("memory://", **config)
    assert message in str(raised.value)
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("plumm://127.0.0.1:1", "plum"),
        ("plum://", "plum"),
        ("127.0.0.1:8080", "://"),
        ("plum://127.0.0.1:8080?tokn=x", "token"),
        ("static://nobody", "static"),
        ("", ""),
    ],
)
def test_invalid_address_is_rejected_by_the_constructor(address: str, message: str) -> None:
    with pytest.raises(plumline.PlumInvalidArgumentError) as raised:
        plumline.Client(address)
    assert message in str(raised.value)


def test_missing_address_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(plumline.PlumInvalidArgumentError, match="PLUMLINE_REGISTRY"):
        plumline.Client()
    monkeypatch.setenv("PLUMLINE_REGISTRY", "static://10.0.0.1:1")
    with plumline.Client("") as plum:
        assert len(plum.discover("orders")) == 1
    with plumline.Client() as plum:
        assert plum.discover("orders")[0].address == "10.0.0.1:1"


def test_secrets_are_never_shown() -> None:
    with plumline.Client("plum://127.0.0.1:1?token=hush") as plum:
        shown = repr(plum) + str(plum.explain("orders")) + str(plum.stats())
        with pytest.raises(plumline.PlumError) as raised:
            plum.get("orders", "/", timeout=0.2)
    assert "hush" not in shown + str(raised.value)


def test_values_are_accepted_in_every_form(tmp_path: Path) -> None:
    with plumline.Client(
        ["static://10.0.0.1:1", "static://10.0.0.2:2"],
        timeout=timedelta(seconds=2),
        connect_timeout=0.5,
        attempt_timeout="250ms",
        cache={"snapshot": tmp_path / "list", "ttl": 5},
        retry={"attempts": 2, "backoff": "linear"},
        services={"orders": {"timeout": 1}},
        balancer="random",
        headers={"X-Team": "blue"},
    ) as plum:
        assert [found.host for found in plum.discover("orders")] == ["10.0.0.1"]  # the first that answers
    with plumline.Client({"addresses": ["static://10.0.0.1:1"], "poll_interval": 1}) as plum:
        assert len(plum.discover("orders")) == 1


def test_configure_changes_a_live_client() -> None:
    calls: list[int] = []

    def stub(request: plumline.Request, endpoint: plumline.Endpoint) -> plumline.Response:
        calls.append(request.attempt)
        return plumline.Response(503)

    with plumline.Client("static://10.0.0.1:1", transport=stub, retry={"base": 0}) as plum:
        plum.get("orders", "/")
        assert calls == [1, 2, 3]
        plum.configure({"retry": {"attempts": 1}})
        plum.get("orders", "/")
        assert calls == [1, 2, 3, 1]
        with pytest.raises(plumline.PlumInvalidArgumentError, match="registry"):
            plum.configure({"registry": "memory://"})


def test_typed_dicts_match_the_schema() -> None:
    sys.path.insert(0, str(ROOT / "python" / "tools"))
    try:
        from generate_config import TARGET, generate
    finally:
        sys.path.pop(0)
    assert TARGET.read_text() == generate(), "run python tools/generate_config.py"
