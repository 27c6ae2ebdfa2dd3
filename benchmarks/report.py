"""What the benchmarks share: the options, the table, the ratios and the JSON. Not a benchmark itself."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

Figures = dict[str, Any]

_TOLD = ("numpy", "scipy", "implicit", "faiss-cpu", "bentoml", "litestar", "psycopg", "asyncpg", "duckdb")


class NotMeasured(RuntimeError):
    """Something that only this benchmark needs is not here; the others go on."""


def run(
    name: str,
    arguments: Sequence[str] | None,
    *,
    about: str | None,
    options: Callable[[argparse.ArgumentParser], object],
    measure: Callable[[argparse.Namespace], Figures],
    table: Callable[[Figures], Iterable[str]],
    digits: int = 2,
) -> Figures:
    """Measure, print the table and the ratios, and write the figures when asked to; returns them.

    What cannot be measured here says so on stderr and has no figures.

    Parameters
    ----------
    options
        Adds the options of this benchmark to the parser.
    measure
        Makes the figures: `ratios` by name, `rows`, and whatever else is worth keeping.
    table
        The lines to print before the ratios.
    digits
        Of the ratios, as they are printed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    options(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the ratios and rows there")
    given = parser.parse_args(arguments)
    try:
        figures = measure(given)
    except NotMeasured as reason:
        sys.stderr.write(f"benchmarks.{name} was NOT measured: {reason}\n")
        return {}
    for line in table(figures):
        sys.stdout.write(line + "\n")
    for line in _ratios(figures["ratios"], digits=digits):
        sys.stdout.write(line + "\n")
    if given.json is not None:
        told = {name: value for name, value in vars(given).items() if isinstance(value, int | float | str)}
        written = {**figures, "options": told, "machine": machine()}
        given.json.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    return figures


def at_least_one(text: str) -> int:
    """An option that counts something."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few; give 1 or more")
    return number


def machine() -> dict[str, Any]:
    """Where, when and with what it was measured, without the machine's name."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _TOLD},
        "day": datetime.now(UTC).date().isoformat(),
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def _ratios(ratios: Mapping[str, float], *, digits: int) -> Iterable[str]:
    width = max(map(len, ratios), default=0)
    return (f"{name:<{width}} {value:.{digits}f}" for name, value in ratios.items())
