"""The reference names every command, option, setting and HTTP call there is."""

import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import tailor
from serving.api import create_api
from serving.runtime import Runtime
from serving.settings import PREFIX, ServingSettings
from storage.settings import Settings

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text()


WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for folder in ("storage", "features", "models", "training", "serving")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if re.search(r"^ +>>> ", path.read_text(), flags=re.MULTILINE)
]


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        for word, sub in command.commands.items():
            yield from commands(sub, f"{name} {word}")
    else:
        yield name, command


COMMANDS = dict(commands(typer.main.get_command(tailor.app), "tailor"))
SETTINGS = [
    *(str(field.alias) for field in Settings.model_fields.values()),
    *(PREFIX + name.upper() for name in ServingSettings.model_fields),
]


def row_of(command: str) -> str:
    rows = [line for line in REFERENCE.splitlines() if line.startswith(f"| `{command}")]
    return "\n".join(row for row in rows if re.match(rf"\| `{command}[ `]", row))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_in_the_reference_with_its_options(name: str) -> None:
    row = row_of(name)
    assert row, f"docs/reference.md has no row for `{name}`"
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "option" and "--help" not in parameter.opts:
            assert parameter.opts[-1] in row, f"{name} {parameter.opts[-1]}"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_with_an_example(name: str) -> None:
    assert COMMANDS[name].help
    assert f"Example: {name}" in (COMMANDS[name].epilog or "")


def test_the_reference_names_no_command_that_is_not_there() -> None:
    named = re.findall(r"^\| `(tailor [a-z]+(?: [a-z]+)?)", REFERENCE, flags=re.MULTILINE)
    assert set(named) == set(COMMANDS)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_in_the_reference(name: str) -> None:
    assert f"| `{name}` |" in REFERENCE


def test_the_reference_names_no_setting_that_is_not_there() -> None:
    named = re.findall(r"^\| `([A-Z_]+)` \|", REFERENCE, flags=re.MULTILINE)
    assert sorted(named) == sorted(SETTINGS)


def test_every_http_call_is_in_the_reference() -> None:
    paths = create_api(Runtime()).openapi_schema.to_schema()["paths"]
    calls = {
        f"{method.upper()} /v1{path}"
        for path, methods in paths.items()
        for method in methods
        if method in {"get", "post", "put", "patch", "delete"}
    }
    named = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /v1[^`]*)`", REFERENCE))
    assert calls <= named, f"not in docs/reference.md: {sorted(calls - named)}"
    assert named - calls <= {"GET /v1/openapi.json"}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_docstrings_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
