"""What `Client.stats()` returns."""

from __future__ import annotations

from typing import TypedDict


class EndpointStats(TypedDict):
    """What is counted for one endpoint."""

    attempts: int
    failures: int
    in_flight: int
    ewma_ms: float | None
    success: float
    ejected: bool


class ServiceStats(TypedDict):
    """What is counted for one service."""

    calls: int
    failures: int
    attempts: int
    retries: int
    picks: int
    unreported: int
    ejections: int
    probes: int
    budget: float
    stale: bool
    endpoints: dict[str, EndpointStats]


class RegistryStats(TypedDict):
    """How one registry fares."""

    source: str
    up: bool
    settled: bool
    heard_s: float | None
    losses: int
    last_error: str | None


class CacheStats(TypedDict):
    """How the lists of endpoints fare."""

    services: int
    hits: int
    misses: int
    refreshes: int
    stale: int
    oldest_s: float
    registries: list[RegistryStats]


class RegistrationStats(TypedDict):
    """How one registration fares."""

    service: str
    instance_id: str
    address: str
    state: str
    last_beat_s: float | None
    beats: int
    reregistrations: int
    last_error: str | None


class Stats(TypedDict):
    """Everything that is counted."""

    services: dict[str, ServiceStats]
    cache: CacheStats
    registrations: list[RegistrationStats]
    threads: int
