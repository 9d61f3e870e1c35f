"""What a client can be told. Generated from the core's schema by tools/generate_config.py."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from ._plumline import Choice, Endpoint

Duration: TypeAlias = float | timedelta | str
"""Seconds, a `timedelta`, or text such as `250ms`."""

Balancer: TypeAlias = Callable[["tuple[Endpoint, ...]", "Choice"], "int | None"]
"""A balancer of one's own: the index of the endpoint it chooses."""


class CacheConfig(TypedDict, total=False):
    """How long lists of endpoints are believed, and where they are kept."""

    ttl: Duration
    """How long a list is fresh where the registry cannot be watched; older ones are used while they are
    refreshed.
    """

    snapshot: str | os.PathLike[str] | None
    """A file to keep the lists in, used at a start while the registry is away; unset: none."""


class OutlierConfig(TypedDict, total=False):
    """When to take an endpoint out of rotation."""

    enabled: bool
    """Whether endpoints are taken out at all."""

    consecutive_connect_failures: int
    """So many connect errors or timeouts in a row."""

    consecutive_failures: int
    """So many failures of any kind in a row."""

    base_ejection: Duration
    """The longest first ejection; each further one is longer by as much."""

    max_ejection: Duration
    """The longest ejection."""

    stall: bool
    """Whether an endpoint that has stopped answering is avoided before anything times out."""


class RegistrationConfig(TypedDict, total=False):
    """How this program keeps itself registered."""

    ttl: Duration
    """How long the registry keeps an instance without hearing from it."""

    wait_listening: Duration
    """How long to wait for the port to answer before it is published anyway; 0: not at all."""

    host: str | None
    """Where others reach this program; unset: the local address of a socket towards the registry.
    """

    drain: Duration
    """How long `close()` waits after deregistering, for calls still on their way."""


class RegistryConfig(TypedDict, total=False):
    """Which registries to ask, and how."""

    addresses: Sequence[str]
    """Their addresses; empty: `PLUMLINE_REGISTRY`."""

    mode: Literal["failover", "merge"]
    """How several of them are read: `failover`, the first that answers, or `merge`, all together;
    registrations go to each.
    """

    poll_interval: Duration
    """How often to look where a registry cannot be watched (±20 %)."""

    timeout: Duration
    """How long one request to a registry may take."""


class RetryConfig(TypedDict, total=False):
    """When and how often to try again."""

    attempts: int
    """Attempts in all, the first included."""

    backoff: Literal["full_jitter", "decorrelated", "linear", "fixed"]
    """The shape of the wait before returning to an endpoint already tried."""

    base: Duration
    """The first wait's bound."""

    cap: Duration
    """The largest wait."""

    max_retry_after: Duration
    """The longest `Retry-After` that is waited for; a longer one ends the call with that answer.
    """

    budget: float
    """How many retries the budget starts with."""

    budget_ratio: float
    """What each call adds to the budget."""


class Settings(TypedDict, total=False):
    """The settings of one service's calls."""

    timeout: Duration
    """The whole call: first discovery, waits, retries, body."""

    attempt_timeout: Duration | None
    """One attempt; unset: 60 % of what is left while a safe repeat remains, else all of it."""

    connect_timeout: Duration
    """Opening one connection."""

    balancer: Literal["p2c_ewma", "round_robin", "random"] | Balancer
    """Whom to ask next: `p2c_ewma`, `round_robin` or `random`."""

    zone: str
    """The zone this program runs in; empty if it does not matter."""

    max_body: int
    """The largest response body taken, bytes after decompression."""

    host_header: str | None
    """Sent in the Host header instead of the endpoint's host."""

    headers: Mapping[str, str]
    """Sent with every request; the request's own win."""

    retry: RetryConfig
    """When and how often to try again."""

    outlier: OutlierConfig
    """When to take an endpoint out of rotation."""

    tls: TlsConfig
    """How to speak TLS."""


class TlsConfig(TypedDict, total=False):
    """How to speak TLS."""

    ca: str | os.PathLike[str] | None
    """A file of PEM certificates to trust beside the system's."""

    cert: str | None
    """A file of PEM certificates to show to whoever asks who we are: ours first, then those it was signed
    with.
    """

    key: str | None
    """The file of the private key to `cert`, in PEM."""

    server_name: str | None
    """The name to verify instead of the endpoint's host."""


class Config(TypedDict, total=False):
    """The keyword arguments of `Client` beside those it names itself."""

    cache: CacheConfig
    """How long lists of endpoints are believed, and where they are kept."""

    registration: RegistrationConfig
    """How this program keeps itself registered."""

    timeout: Duration
    """The whole call: first discovery, waits, retries, body."""

    attempt_timeout: Duration | None
    """One attempt; unset: 60 % of what is left while a safe repeat remains, else all of it."""

    connect_timeout: Duration
    """Opening one connection."""

    zone: str
    """The zone this program runs in; empty if it does not matter."""

    max_body: int
    """The largest response body taken, bytes after decompression."""

    host_header: str | None
    """Sent in the Host header instead of the endpoint's host."""

    headers: Mapping[str, str]
    """Sent with every request; the request's own win."""

    retry: RetryConfig
    """When and how often to try again."""

    outlier: OutlierConfig
    """When to take an endpoint out of rotation."""

    tls: TlsConfig
    """How to speak TLS."""

    services: Mapping[str, Settings]
    """Settings for single services, by name."""
