"""The parameters of unfitted models: checked when they are given, and read back from a bundle."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from models.errors import InvalidModel


def require_numbers(
    made_with: Any,
    *,
    whole: Mapping[str, int] | None = None,
    positive: tuple[str, ...] = (),
    up_to: Mapping[str, float] | None = None,
) -> None:
    """Refuse parameters that make no sense, by their names.

    Parameters
    ----------
    whole : mapping of name to int
        Whole numbers and the least that they may be.
    positive : tuple of str
        Numbers above 0.
    up_to : mapping of name to float
        Numbers from 0 to this.
    """
    for name, least in (whole or {}).items():
        value = getattr(made_with, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidModel(f"{name}={value!r}: give a whole number of {least} or more")
    for name in positive:
        value = getattr(made_with, name)
        if not _is_number(value) or not 0 < value < 1e12:
            raise InvalidModel(f"{name}={value!r}: give a number above 0 and below 1e12")
    for name, most in (up_to or {}).items():
        value = getattr(made_with, name)
        if not _is_number(value) or not 0 <= value <= most:
            raise InvalidModel(f"{name}={value!r}: give a number from 0 to {most:g}")


def read_parameters(made_by: type, parameters: Mapping[str, Any]) -> Any:
    """The unfitted model that a bundle tells of; more or fewer parameters than it has are refused."""
    known = {field.name for field in fields(made_by)}
    if set(parameters) != known:
        raise InvalidModel(f"parameters {sorted(parameters)}; expected {sorted(known)}")
    return made_by(**parameters)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
