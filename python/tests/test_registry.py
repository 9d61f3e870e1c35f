"""Against a real controller: being found, staying known, hearing of changes, doing without the registry."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator

import pytest

import plumline
import plumline.testing

from .conftest import wait_until
from .servers import Server, free_port


@pytest.fixture
def asker(registry: plumline.testing.Controller) -> Iterator[plumline.Client]:
    """A client that registers nothing itself."""
    with plumline.Client(registry.address) as plum:
        yield plum


def ports(plum: plumline.Client, service: str = "orders") -> set[int]:
    return {endpoint.port for endpoint in plum.discover(service)}


def test_readme_example_works(registry: plumline.testing.Controller, server: Server) -> None:
    with (
        plumline.Client(registry.address) as plum,
        plum.register("orders", port=server.server_port, host="127.0.0.1", version="v2") as me,
    ):
        me.wait(5)
        assert (me.state, me.address, me.last_error) == ("registered", server.address, None)
        assert (me.service, me.instance_id) == ("orders", f"orders-127.0.0.1-{server.server_port}")
        plum.wait_for("orders", 5)
        assert plum.services() == ["orders"]
        item = plum.get("orders", "/items/7").raise_for_status().json()
        plum.post("orders", "/items", json=item, idempotent=True, timeout=5)
        with plum.pick("orders") as pick:
            assert pick.endpoint.version == "v2"
        for change in plum.watch("orders"):
            assert (change.kind, len(change.endpoints)) == ("snapshot", 1)
            break
        stats = plum.stats()
        assert [r["state"] for r in stats["registrations"]] == ["registered"]
    assert me.state == "closed"


def test_leaving_the_block_deregisters(
    registry: plumline.testing.Controller, asker: plumline.Client, server: Server
) -> None:
    asker.watch("orders")
    with plumline.Client(registry.address) as plum:
        plum.register("orders", server.server_port, host="127.0.0.1").wait(5)
        asker.wait_for("orders", 5)
    wait_until(lambda: ports(asker) == set())


def test_garbage_collection_never_deregisters(
    registry: plumline.testing.Controller, asker: plumline.Client, server: Server
) -> None:
    plum = plumline.Client(registry.address)
    plum.register("orders", server.server_port, host="127.0.0.1", ttl=1).wait(5)
    gc.collect()
    beats = plum.stats()["registrations"][0]["beats"]
    wait_until(lambda: plum.stats()["registrations"][0]["beats"] > beats, within=10)
    assert ports(asker) == {server.server_port}
    plum.close()


def test_update_is_seen_by_others(
    registry: plumline.testing.Controller, asker: plumline.Client, server: Server
) -> None:
    with plumline.Client(registry.address) as plum:
        me = plum.register("orders", server.server_port, host="127.0.0.1", weight=1)
        me.wait(5)
        changes = asker.watch("orders")
        assert next(changes).kind == "snapshot"
        me.update(weight=7, labels={"env": "test"})
        wait_until(
            lambda: [(e.weight, e.labels.get("env")) for e in asker.discover("orders")] == [(7, "test")]
        )
        me.update(healthy=False)
        wait_until(lambda: ports(asker) == set())
        with pytest.raises(TypeError, match="did you mean 'weight'"):
            me.update(wieght=1)  # type: ignore[call-arg]
        changes.close()


def test_registration_is_published_once_port_answers(
    registry: plumline.testing.Controller, asker: plumline.Client
) -> None:
    port = free_port()
    with plumline.Client(registry.address) as plum:
        began = time.monotonic()
        me = plum.register("orders", port, host="127.0.0.1")
        assert time.monotonic() - began < 5
        assert me.state == "waiting_for_port"
        assert ports(asker) == set()
        server = Server(port)
        try:
            me.wait(10)
            wait_until(lambda: ports(asker) == {port})
        finally:
            server.stop()


def test_register_keeps_trying_while_registry_is_down(server: Server) -> None:
    registry = plumline.testing.Controller()
    registry.stop()
    with plumline.Client(registry.address) as plum:
        me = plum.register("orders", server.server_port, host="127.0.0.1")
        with pytest.raises(plumline.PlumError):
            me.wait(0.3)
        wait_until(lambda: me.last_error is not None)
        assert isinstance(me.last_error, plumline.PlumError)
        registry.start()
        try:
            me.wait(20)
            assert me.last_error is None
        finally:
            plum.close()
            registry.stop()


def test_empty_controller_restart_fails_no_call(
    registry: plumline.testing.Controller, asker: plumline.Client, server: Server
) -> None:
    with plumline.Client(registry.address) as plum:
        plum.register("orders", server.server_port, host="127.0.0.1", ttl=2).wait(5)
        asker.wait_for("orders", 5)
        registry.kill()
        assert all(asker.get("orders", "/x").status_code == 200 for _ in range(20))
        registry.start()

        def known_again() -> bool:
            assert asker.get("orders", "/x").status_code == 200
            with plumline.Client(registry.address) as newcomer:
                return ports(newcomer) == {server.server_port}

        wait_until(known_again, within=15)


def test_watch_reports_changes_and_registry_state(
    registry: plumline.testing.Controller, asker: plumline.Client, server: Server
) -> None:
    with asker.watch("orders") as changes, plumline.Client(registry.address) as plum:
        first = next(changes)
        assert (first.service, first.kind, first.endpoints) == ("orders", "snapshot", ())
        assert changes.get(timeout=0.05) is None
        me = plum.register("orders", server.server_port, host="127.0.0.1")
        added = changes.get(timeout=10)
        assert added is not None
        assert (added.kind, [e.port for e in added.added]) == ("changed", [server.server_port])
        me.close()
        removed = changes.get(timeout=10)
        assert removed is not None
        assert ([e.port for e in removed.removed], removed.endpoints) == ([server.server_port], ())
        registry.kill()
        down = changes.get(timeout=20)
        assert down is not None
        assert down.kind == "registry_down"
        registry.start()
        up = changes.get(timeout=20)
        assert up is not None
        assert up.kind == "registry_up"


def test_watch_all_reports_new_services(
    registry: plumline.testing.Controller, asker: plumline.Client, server: Server
) -> None:
    with asker.watch_all() as changes, plumline.Client(registry.address) as plum:
        plum.register("billing", server.server_port, host="127.0.0.1")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            change = changes.get(timeout=10)
            if change and change.service == "billing" and change.endpoints:
                return
        pytest.fail("billing was not told of")


def test_closing_a_watch_ends_iteration_in_another_thread(asker: plumline.Client) -> None:
    changes, ended = asker.watch("orders"), threading.Event()

    def follow() -> None:
        for _ in changes:
            pass
        ended.set()

    threading.Thread(target=follow, daemon=True).start()
    changes.close()
    assert ended.wait(10)


def test_wait_for_times_out_with_an_explanation(asker: plumline.Client) -> None:
    began = time.monotonic()
    with pytest.raises(plumline.PlumTimeoutError, match=r"waited 0\.3 s; nothing registered as \"orders\""):
        asker.wait_for("orders", 0.3)
    assert time.monotonic() - began < 2


def test_misspelt_service_suggests_the_right_one(asker: plumline.Client, server: Server) -> None:
    asker.register("orders", server.server_port, host="127.0.0.1").wait(5)
    with pytest.raises(
        plumline.PlumNoEndpointError, match='nothing registered as "ordrs"; did you mean "orders"?'
    ):
        asker.get("ordrs", "/")


def test_first_call_without_controller_is_unavailable() -> None:
    with (
        plumline.Client(f"plum://127.0.0.1:{free_port()}") as plum,
        pytest.raises(plumline.PlumError) as raised,
    ):
        plum.get("orders", "/", timeout=1)
    assert "plum://127.0.0.1" in str(raised.value)
    assert raised.value.service == "orders"


def test_register_at_read_only_registry_is_unsupported() -> None:
    with plumline.Client("static://10.0.0.1:1") as plum, pytest.raises(plumline.PlumUnsupportedError):
        plum.register("orders", 80)


def test_wrong_token_is_reported_once_port_answers(server: Server) -> None:
    with plumline.testing.controller("--token", "right") as registry:
        with (
            plumline.Client(f"{registry.address}?token=wrong") as plum,
            pytest.raises((plumline.PlumUnauthenticatedError, plumline.PlumPermissionDeniedError)) as raised,
        ):
            plum.register("orders", server.server_port, host="127.0.0.1").wait(10)
        assert "wrong" not in str(raised.value)
        with plumline.Client(f"{registry.address}?token=right") as plum:
            plum.register("orders", server.server_port, host="127.0.0.1").wait(5)


def test_controller_starts_and_stops() -> None:
    with plumline.testing.controller() as registry:
        address, pid = registry.address, registry.pid
        assert address.startswith("plum://127.0.0.1:")
        registry.restart()
        assert registry.address == address
        assert registry.pid not in (pid, None)
        registry.stop()
        assert registry.pid is None
        assert "stopped" in repr(registry)
        registry.start()


def test_missing_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMLINE_COMMAND", "/nowhere/plumline")
    with pytest.raises(FileNotFoundError, match="PLUMLINE_COMMAND is '/nowhere/plumline'"):
        plumline.testing.Controller()
    monkeypatch.delenv("PLUMLINE_COMMAND")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sysconfig.get_path", lambda _: "/nowhere")
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError, match="the plumline command is not here"):
        plumline.testing.Controller()


def test_controller_that_cannot_start_raises() -> None:
    with pytest.raises(RuntimeError, match="did not start"):
        plumline.testing.Controller("--no-such-option")
