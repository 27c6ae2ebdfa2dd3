"""The picture of docs/scale.md. Not a benchmark itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from benchmarks.scale_core import ITEMS, LENGTH, MANY_SITES, ONE_SITE
from benchmarks.scale_network import CONSUMERS, WORKERS

Rows = Sequence[dict[str, Any]]

_COLOURS = ("tab:blue", "tab:orange")
_DPI = 110


@dataclass(frozen=True, slots=True)
class _Panel:
    """What is drawn by what grows: `value` over `divisor`, on some axes."""

    title: str
    grows: str
    axes: Sequence[str]
    value: str = "us"
    divisor: float = 1000.0


_PANELS = (
    _Panel("core of a decision, ms", "live promotions", (ONE_SITE, MANY_SITES)),
    _Panel(
        "processor seconds to lay promotions out", "live promotions", (ONE_SITE, MANY_SITES), "laid_out_s", 1
    ),
    _Panel("core of a decision, ms", ITEMS, (ITEMS,)),
    _Panel("core of a decision, ms", LENGTH, (LENGTH,)),
    _Panel("reading one consumer, ms", CONSUMERS, (CONSUMERS,)),
    _Panel("decisions a second over HTTP", WORKERS, (WORKERS,), "per_second", 1),
)


def draw_scale(rows: Rows, file: Path) -> None:
    """One panel for each thing that grows: lines are medians, a dash is what 99 of 100 stay below."""
    figure = Figure(figsize=(12.6, 6.6), layout="constrained")
    for axes, panel in zip(figure.subplots(2, 3).ravel(), _PANELS, strict=True):
        for axis, colour in zip(panel.axes, _COLOURS, strict=False):
            _line(axes, panel, [row for row in rows if row["axis"] == axis], label=axis, colour=colour)
        axes.set_title(panel.title, fontsize="medium")
        axes.set(xlabel=panel.grows, ylim=(0, None))
        if len(panel.axes) > 1:
            axes.legend(fontsize="small")
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=_DPI, metadata={"Software": None})


def _line(axes: Any, panel: _Panel, rows: Rows, *, label: str, colour: str) -> None:
    if not rows:
        return
    sizes = [row["n"] for row in rows]
    axes.plot(
        sizes, [row[panel.value] / panel.divisor for row in rows], marker="o", color=colour, label=label
    )
    if panel.value == "us":
        slow = [row["p99_us"] / panel.divisor for row in rows]
        axes.scatter(sizes, slow, s=90, color=colour, marker="_", linewidth=2)
    if label == WORKERS:
        axes.set_xticks(sizes)
    else:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:,.0f}"))
