"""What can go wrong: one class per kind, with the same numbers as in every other language.

All of them are `PlumError`. Where Python has a word of its own for it, they are that as well: a
`PlumTimeoutError` is a `TimeoutError`, a `PlumUnavailableError` a `ConnectionError`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ._plumline import Endpoint, TraceStep


class Kind(enum.IntEnum):
    """What went wrong. The numbers are never reused."""

    INVALID_ARGUMENT = 1
    NOT_FOUND = 2
    NO_ENDPOINT = 3
    TIMEOUT = 4
    UNAVAILABLE = 5
    CIRCUIT_OPEN = 6
    OVERLOADED = 7
    UNAUTHENTICATED = 8
    PERMISSION_DENIED = 9
    PROTOCOL = 10
    CANCELLED = 11
    CLOSED = 12
    UNSUPPORTED = 13
    STATUS = 14
    INTERNAL = 99


class PlumError(Exception):
    """What every error of Plumline is.

    `message` is one line; `service` and `endpoint` name whom it concerns, if anybody; `attempts` and `trace`
    tell what was tried.
    """

    kind: ClassVar[Kind] = Kind.INTERNAL

    message: str
    service: str | None
    endpoint: Endpoint | None
    attempts: int
    trace: tuple[TraceStep, ...]

    def __init__(
        self,
        message: str = "",
        *,
        service: str | None = None,
        endpoint: Endpoint | None = None,
        attempts: int = 0,
        trace: tuple[TraceStep, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.service = service
        self.endpoint = endpoint
        self.attempts = attempts
        self.trace = trace

    def __str__(self) -> str:
        return self.message

    @property
    def is_retryable(self) -> bool:
        """Whether the same call could succeed if it were made again, later or elsewhere."""
        return self.kind in _RETRYABLE

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException's own would hand the message alone to the constructor.
        return (type(self), (self.message,), self.__dict__.copy())


class PlumInvalidArgumentError(PlumError, ValueError):
    """The caller passed something that cannot be right; the message names it and what would be."""

    kind = Kind.INVALID_ARGUMENT


class PlumNotFoundError(PlumError):
    """The key asked for does not exist."""

    kind = Kind.NOT_FOUND


class PlumNoEndpointError(PlumError, ConnectionError):
    """No endpoint could be chosen; the message says why."""

    kind = Kind.NO_ENDPOINT


class PlumTimeoutError(PlumError, TimeoutError):
    """The deadline of the call, or of its last attempt, passed."""

    kind = Kind.TIMEOUT


class PlumUnavailableError(PlumError, ConnectionError):
    """No connection, or one that broke."""

    kind = Kind.UNAVAILABLE


class PlumCircuitOpenError(PlumError, ConnectionError):
    """The service's circuit breaker is open."""

    kind = Kind.CIRCUIT_OPEN


class PlumOverloadedError(PlumError):
    """A local limit refused the call."""

    kind = Kind.OVERLOADED


class PlumUnauthenticatedError(PlumError):
    """The other side wants to know who asks."""

    kind = Kind.UNAUTHENTICATED


class PlumPermissionDeniedError(PlumError):
    """The other side knows who asks, and says no."""

    kind = Kind.PERMISSION_DENIED


class PlumProtocolError(PlumError):
    """The answer broke the protocol, its certificate did not verify, or it was larger than `max_body`."""

    kind = Kind.PROTOCOL


class PlumCancelledError(PlumError):
    """The caller ended the wait."""

    kind = Kind.CANCELLED


class PlumClosedError(PlumError):
    """The client was closed."""

    kind = Kind.CLOSED


class PlumUnsupportedError(PlumError):
    """This registry or endpoint cannot do that."""

    kind = Kind.UNSUPPORTED


class PlumStatusError(PlumError):
    """`raise_for_status()` met a 4xx or 5xx answer."""

    kind = Kind.STATUS

    @property
    def status_code(self) -> int | None:
        """The status that was met."""
        return self.trace[-1].status if self.trace else None

    @property
    def is_retryable(self) -> bool:
        """Whether it is a status that passes."""
        return self.status_code in (408, 429, 502, 503, 504)


class PlumInternalError(PlumError):
    """A defect of Plumline; please report it."""

    kind = Kind.INTERNAL


_RETRYABLE = frozenset({Kind.NO_ENDPOINT, Kind.TIMEOUT, Kind.UNAVAILABLE, Kind.CIRCUIT_OPEN, Kind.OVERLOADED})

_CLASSES: dict[int, type[PlumError]] = {
    int(cls.kind): cls
    for cls in (
        PlumInvalidArgumentError,
        PlumNotFoundError,
        PlumNoEndpointError,
        PlumTimeoutError,
        PlumUnavailableError,
        PlumCircuitOpenError,
        PlumOverloadedError,
        PlumUnauthenticatedError,
        PlumPermissionDeniedError,
        PlumProtocolError,
        PlumCancelledError,
        PlumClosedError,
        PlumUnsupportedError,
        PlumStatusError,
        PlumInternalError,
    )
}


def class_of(number: int) -> type[PlumError]:
    """The class of the kind with this number."""
    return _CLASSES.get(number, PlumInternalError)
