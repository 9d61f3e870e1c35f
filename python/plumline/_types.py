"""What arguments may be, under names that signatures can use."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias

Timeout: TypeAlias = float | timedelta
Scalar: TypeAlias = str | int | float | bool | None
Params: TypeAlias = Mapping[str, Scalar | Sequence[Scalar]] | Iterable[tuple[str, Scalar | Sequence[Scalar]]]
HeaderFields: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]
Content: TypeAlias = bytes | bytearray | memoryview | str
