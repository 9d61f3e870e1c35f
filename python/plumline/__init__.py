"""Find a service, call it, survive what fails, stay registered.

import plumline

with plumline.Client("plum://127.0.0.1:8080") as plum, plum.register("orders", port=8080):
    item = plum.get("orders", "/items/7").raise_for_status().json()
"""

import atexit as _atexit
import collections.abc as _abc
import os as _os

from . import _plumline
from ._config import Config
from ._plumline import (
    Change,
    Choice,
    Client,
    Endpoint,
    Explanation,
    Headers,
    Pick,
    Registration,
    Request,
    Response,
    Service,
    TraceStep,
    Verdict,
    Watch,
    __version__,
)
from .errors import (
    Kind,
    PlumCancelledError,
    PlumCircuitOpenError,
    PlumClosedError,
    PlumError,
    PlumInternalError,
    PlumInvalidArgumentError,
    PlumNoEndpointError,
    PlumNotFoundError,
    PlumOverloadedError,
    PlumPermissionDeniedError,
    PlumProtocolError,
    PlumStatusError,
    PlumTimeoutError,
    PlumUnauthenticatedError,
    PlumUnavailableError,
    PlumUnsupportedError,
)

__all__ = [
    "Change",
    "Choice",
    "Client",
    "Config",
    "Endpoint",
    "Explanation",
    "Headers",
    "Kind",
    "Pick",
    "PlumCancelledError",
    "PlumCircuitOpenError",
    "PlumClosedError",
    "PlumError",
    "PlumInternalError",
    "PlumInvalidArgumentError",
    "PlumNoEndpointError",
    "PlumNotFoundError",
    "PlumOverloadedError",
    "PlumPermissionDeniedError",
    "PlumProtocolError",
    "PlumStatusError",
    "PlumTimeoutError",
    "PlumUnauthenticatedError",
    "PlumUnavailableError",
    "PlumUnsupportedError",
    "Registration",
    "Request",
    "Response",
    "Service",
    "TraceStep",
    "Verdict",
    "Watch",
    "__version__",
]

_abc.Mapping.register(Headers)
_atexit.register(_plumline.at_exit)
if hasattr(_os, "register_at_fork"):
    _os.register_at_fork(after_in_child=_plumline.forked)
