"""Writes plumline/_config.py from the core's JSON Schema: `python tools/generate_config.py`."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from plumline import _plumline

TARGET = Path(__file__).parents[1] / "plumline" / "_config.py"

HEAD = '''"""What a client can be told. Generated from the core's schema by tools/generate_config.py."""

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
'''

# Said by name in the signature of `Client`, where a callable may stand for a balancer.
NAMED_BY_CLIENT = ("registry", "balancer")

# The schema knows them as strings only.
PATHS = ("snapshot", "ca")


def generate() -> str:
    schema = json.loads(_plumline.config_schema())
    definitions = schema["$defs"]
    sections = {name: body for name, body in definitions.items() if "properties" in body}
    parts = [HEAD]
    parts += [section(name, body, definitions) for name, body in sorted(sections.items())]
    common = {key: value for key, value in schema["properties"].items() if key not in NAMED_BY_CLIENT}
    about = "The keyword arguments of `Client` beside those it names itself."
    parts.append(section("Config", {"description": about, "properties": common}, definitions))
    return formatted("\n\n".join(part.rstrip() for part in parts) + "\n")


def formatted(source: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout


def section(name: str, body: dict[str, Any], definitions: dict[str, Any]) -> str:
    lines = [f"class {name}(TypedDict, total=False):", doc(body.get("description", ""))]
    for key, value in body["properties"].items():
        lines += ["", f"    {key}: {type_of(key, value, definitions)}"]
        if value.get("description"):
            lines.append(doc(value["description"]))
    return "\n".join(lines)


def doc(text: str) -> str:
    text = " ".join(text.split())
    if len(text) < 90:
        return f'    """{text}"""'
    wrapped = textwrap.wrap(text, 100)
    return '    """' + "\n    ".join(wrapped) + '\n    """'


def type_of(key: str, value: dict[str, Any], definitions: dict[str, Any]) -> str:
    if key in PATHS:
        return "str | os.PathLike[str] | None"
    if key == "balancer":
        return f"{reference(value, definitions)} | Balancer"
    if "$ref" in value:
        return reference(value, definitions)
    if "anyOf" in value:
        return " | ".join(dict.fromkeys(type_of("", part, definitions) for part in value["anyOf"]))
    kind = value.get("type")
    if isinstance(kind, list):
        return " | ".join(dict.fromkeys(plain(one, value, definitions) for one in kind))
    return plain(kind, value, definitions)


def plain(kind: str | None, value: dict[str, Any], definitions: dict[str, Any]) -> str:
    match kind:
        case "string":
            return "str"
        case "integer":
            return "int"
        case "number":
            return "float"
        case "boolean":
            return "bool"
        case "null":
            return "None"
        case "array":
            return f"Sequence[{type_of('', value['items'], definitions)}]"
        case "object":
            return f"Mapping[str, {type_of('', value['additionalProperties'], definitions)}]"
    raise ValueError(f"no Python type for {value}")


def reference(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "allOf" in value:
        return reference(value["allOf"][0], definitions)
    name = value["$ref"].removeprefix("#/$defs/")
    target = definitions[name]
    if "properties" in target:
        return str(name)
    if name == "Duration" or "pattern" in json.dumps(target) or name == "Schema":
        return "Duration"
    words = target.get("enum") or [one["const"] for one in target["oneOf"]]
    return f"Literal[{', '.join(json.dumps(word) for word in words)}]"


if __name__ == "__main__":
    TARGET.write_text(generate())
