"""What type checkers are told is what is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import ROOT

PACKAGE = ROOT / "python"


@pytest.mark.parametrize(
    "command",
    [
        ["mypy", "--strict", "plumline"],
        ["mypy.stubtest", "plumline"],
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
    ],
    ids=" ".join,
)
def test_type_checkers_and_linters_pass(command: list[str]) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", *command], cwd=PACKAGE, capture_output=True, text=True, timeout=120
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_user_code_is_type_checked(tmp_path) -> None:  # type: ignore[no-untyped-def]
    program = tmp_path / "program.py"
    program.write_text(
        """
from datetime import timedelta
import plumline

with plumline.Client("memory://", timeout=timedelta(seconds=1), retry={"attempts": 2}) as plum:
    reveal_type(plum.get("orders", "/", params={"a": [1, 2]}, timeout=0.5).json())
    reveal_type([change.endpoints for change in plum.watch("orders")])
    plum.get("orders", "/", timeuot=1)
    plumline.Client("memory://", retry={"attemps": 2})
"""
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(program)],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert 'Revealed type is "Any"' in checked.stdout
    assert "tuple[plumline._plumline.Endpoint, ...]" in checked.stdout
    assert 'Unexpected keyword argument "timeuot" for "get"' in checked.stdout
    assert 'Extra key "attemps"' in checked.stdout
    assert checked.stdout.count(": error:") == 2, checked.stdout
