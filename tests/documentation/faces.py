"""How a program in each language is built and run, as its readers would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEBUG = ROOT / "target/debug"
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT}/include"]
LINKED = [f"-L{DEBUG}", "-lplumline", f"-Wl,-rpath,{DEBUG}"]


@dataclass(frozen=True)
class Face:
    """A language, and what its programs are made of."""

    name: str
    fence: str
    """What a block of it is marked with."""
    suffix: str

    def example(self, name: str, folder: Path) -> list[str]:
        """The command that runs one of the examples, built in a folder of its own."""
        if self.name == "rust":
            return [str(DEBUG / name)]
        stem = name.capitalize() if self.name == "java" else name
        return self.command(ROOT / "examples" / self.name / f"{stem}{self.suffix}", folder)

    def command(self, source: Path, folder: Path) -> list[str]:
        """The command that runs this source, built into the folder."""
        program = str(folder / source.stem)
        if self.name == "python":
            return [sys.executable, "-X", "dev", "-W", "error", str(source)]
        if self.name == "c":
            build(["cc", "-std=c99", *STRICT, "-o", program, str(source), *LINKED])
            return [program]
        if self.name == "cpp":
            build(["c++", "-std=c++17", *STRICT, "-o", program, str(source), *LINKED])
            return [program]
        build(["javac", "-Xlint:all", "-Werror", "-cp", jar(), "-d", str(folder), str(source)])
        return ["java", "-Xcheck:jni", "-cp", os.pathsep.join([str(folder), jar()]), source.stem]

    def block(self, text: str, folder: Path) -> list[str]:
        """The command that runs a block of the documentation."""
        stem = "block"
        if self.name == "java":
            found = re.search(r"^(?:public )?(?:final )?class (\w+)", text, flags=re.M)
            assert found, "a Java block shows a whole class"
            stem = found[1]
        source = folder / f"{stem}{self.suffix}"
        source.write_text(text)
        return self.command(source, folder)


FACES = [
    Face("rust", "rust", ".rs"),
    Face("python", "python", ".py"),
    Face("java", "java", ".java"),
    Face("c", "c", ".c"),
    Face("cpp", "cpp", ".cpp"),
]


def jar() -> str:
    """The jar of this tree, and what a program that uses it has beside it."""
    (found,) = ROOT.glob("java/target/plumline-*[0-9].jar")
    return os.pathsep.join([str(found), *map(str, ROOT.glob("java/target/lib/*.jar"))])


def build(command: list[str]) -> None:
    built = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stdout + built.stderr


def environment() -> dict[str, str]:
    """Without settings from outside, but for where the command of this tree is."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PLUMLINE_") or name == "PLUMLINE_COMMAND"
    }


def run(command: list[str], *arguments: str) -> list[str]:
    """Runs a program to its good end, with nothing to complain about: what it said."""
    ran = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=60, env=environment()
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout + ran.stderr
    return ran.stdout.splitlines()


@contextmanager
def running(command: list[str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A program while it runs."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, *arguments], stdin=pipe, stdout=pipe, text=True, env=environment()
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def line(child: subprocess.Popen[str]) -> str:
    """The next line it says."""
    assert child.stdout is not None
    return child.stdout.readline().rstrip()
