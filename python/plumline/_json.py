"""JSON as it is sent: compact, UTF-8, without NaN."""

import json
from typing import Any

from .errors import PlumInvalidArgumentError


def dumps(value: Any) -> bytes:
    """What cannot be JSON is a `TypeError` of Python's own; what is no number or no text is ours."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as error:
        raise PlumInvalidArgumentError(f"json: {error}") from error
