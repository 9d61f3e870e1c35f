"""Where the core's events arrive: `logging.getLogger("plumline")`.

What a call logs is emitted when it returns, on its own thread. What background threads log waits in a queue
until the next call returns, or until the drainer wakes: a Python thread, so that no native one ever enters
the interpreter.
"""

import logging
import os
import sys
import threading
import warnings

from . import _plumline

logger = logging.getLogger("plumline")
logger.addHandler(logging.NullHandler())


def log(level: int, message: str) -> None:
    """Emits one record."""
    logger.log(level, message)


def start() -> None:
    """Starts the drainer; it ends when the last client is closed."""
    if _is_patched_by_gevent():
        _warn_of_gevent()
        return
    drainer = threading.Thread(
        target=_drain, args=(_plumline.log_socket(),), name="plumline-logs", daemon=True
    )
    try:
        drainer.start()
    except RuntimeError:
        # No thread may start while the interpreter ends; what is logged then comes out as calls return.
        logger.debug("the log drainer could not be started")


def _drain(bell: int) -> None:
    with open(bell, "rb", buffering=0) as rings:
        while rings.read(4096):
            _plumline.drain_logs()


def _is_patched_by_gevent() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


_warned_in: int | None = None


def _warn_of_gevent() -> None:
    global _warned_in
    if _warned_in == os.getpid():
        return
    _warned_in = os.getpid()
    warnings.warn(
        "this process is patched by gevent: Plumline waits in native code, so a call blocks every greenlet; "
        "make calls from gevent's thread pool",
        RuntimeWarning,
        stacklevel=2,
    )
