"""What the examples and the documentation are run against: a real controller of this tree."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

import plumline.testing

from .faces import ROOT


@pytest.fixture(scope="session", autouse=True)
def _command_of_this_tree() -> None:
    os.environ.setdefault("PLUMLINE_COMMAND", str(ROOT / "target/debug/plumline"))


@pytest.fixture
def registry() -> Iterator[str]:
    with plumline.testing.controller() as running:
        yield running.address
