"""Renews the tables of docs/benchmarks.md: `python -m benchmarks.page [--figures FOLDER] [--page FILE]`.

What stands between `<!-- figures: NAME -->` and `<!-- end -->` is written anew from `NAME.json` of the
folder, as `--json` of each benchmark writes it; a benchmark without a file keeps what it has. `all` stands
for every ratio beside the aim there is for it. Nothing else of the page is touched. Not a benchmark itself.
"""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.aims import AIMS, draw_aims

_ROOT = Path(__file__).resolve().parents[1]
_PART = re.compile(r"(<!-- figures: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
_ALL = "all"
# A benchmark and its load keep two cores busy, which the next one still sees.
_BUSY = 2
_DESCRIBE = ("protocol", "site_id", "segment", "metric", "k", "n_queries")
_UNITS = {"us": "µs", "ms": "ms", "s": "s", "mb": "MB"}

Figures = Mapping[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Renew the page and its picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument("--figures", type=Path, default=_ROOT / "var" / "benchmarks", metavar="FOLDER")
    parser.add_argument("--page", type=Path, default=_ROOT / "docs" / "benchmarks.md", metavar="FILE")
    given = parser.parse_args(arguments)
    figures = read_figures(given.figures)
    if not figures:
        sys.stderr.write(f"no figures in {given.figures}; `make bench` writes them\n")
        return 1
    page = given.page.read_text(encoding="utf-8")
    given.page.write_text(renew(page, figures), encoding="utf-8")
    draw_aims(_measured(figures), given.page.with_suffix(".png"))
    return 0


def read_figures(folder: Path) -> dict[str, Figures]:
    """The figures by benchmark, as they were written."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def renew(page: str, figures: Mapping[str, Figures]) -> str:
    """The page with new tables; the same figures give the same page."""

    def part(found: re.Match[str]) -> str:
        name = found[2]
        if name != _ALL and name not in figures:
            return found[0]
        lines = _summary(figures) if name == _ALL else _one(name, figures[name])
        return found[1] + "\n".join([*lines, found[3]])

    return _PART.sub(part, page)


def _summary(figures: Mapping[str, Figures]) -> Iterator[str]:
    yield from _table(
        ["benchmark", "ratio", "measured", "aim"],
        [
            [f"`{name}`", f"`{ratio}`", _number(value), _aim(ratio, value)]
            for name, ratio, value in _measured(figures)
        ],
    )
    yield ""
    yield from sorted({_machine(one["machine"]) for one in figures.values()})


def _one(name: str, figures: Figures) -> Iterator[str]:
    rows = _first_metric(figures["rows"])
    columns = list(
        dict.fromkeys(key for row in rows for key, value in row.items() if not isinstance(value, list | dict))
    )
    alike = {column: rows[0][column] for column in columns if len(rows) > 1 and _is_alike(column, rows)}
    columns = [column for column in columns if column not in alike]
    if alike:
        yield "All: " + ", ".join(f"{_heading(column)} {_number(value)}" for column, value in alike.items())
        yield ""
    yield from _table(
        [_heading(column) for column in columns],
        [[_number(row[column]) if column in row else "" for column in columns] for row in rows],
    )
    yield ""
    ratios = "; ".join(f"`{ratio}` {_number(value)}" for ratio, value in figures["ratios"].items())
    options = ", ".join(f"{option} {_plain(value)}" for option, value in figures.get("options", {}).items())
    asked = f" ({options})" if options else ""
    machine = figures["machine"]
    when = f"{machine.get('day', 'day unknown')}.{_disturbed(machine)}"
    yield f"{ratios}. `python -m benchmarks.{name}`{asked}, {when}"


def _first_metric(rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Of rows that tell several metrics, those of the first one: the file has them all."""
    if not rows or "metric" not in rows[0]:
        return rows
    first = rows[0]["metric"], rows[0]["k"]
    return [row for row in rows if (row["metric"], row["k"]) == first]


def _is_alike(column: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column describes its row and all rows say the same in it."""
    return column in _DESCRIBE and all(row.get(column) == rows[0][column] for row in rows)


def _disturbed(machine: Mapping[str, Any]) -> str:
    """What is to be said of a machine that had more to do than the benchmark before that."""
    load = machine.get("load", 0.0)
    if load <= _BUSY * machine["cores"]:
        return ""
    return f" **Provisional**: others kept the machine busy (load {load:g} on {machine['cores']} cores)."


def _measured(figures: Mapping[str, Figures]) -> list[tuple[str, str, float]]:
    return [(name, ratio, value) for name, one in figures.items() for ratio, value in one["ratios"].items()]


def _aim(ratio: str, value: float) -> str:
    if ratio not in AIMS:
        return ""
    aim = AIMS[ratio]
    return f"{aim}: {'reached' if aim.reached(value) else '**missed**'}"


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
    return (
        f"{machine['cores']} cores ({machine.get('processor', 'unknown')}), {machine['memory_gib']} GiB,"
        f" {machine['system']}; Python {machine['python']}{', ' if versions else ''}{versions}."
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _heading(column: str) -> str:
    """`p99_ms` becomes `p99, ms`."""
    *words, last = column.split("_")
    return (
        f"{' '.join(words)}, {_UNITS[last]}".removeprefix(", ")
        if last in _UNITS
        else " ".join([*words, last])
    )


def _number(value: object) -> str:
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) else str(value)
    digits = 0 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def _plain(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    sys.exit(main())
