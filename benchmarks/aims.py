"""What the ratios must reach, and a picture of how far they are from it. Not a benchmark itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from matplotlib.figure import Figure

_DPI = 110


@dataclass(frozen=True, slots=True)
class Aim:
    """What a ratio must be at least, or at most."""

    value: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.value:g}"

    def reached(self, measured: float) -> bool:
        """Whether it is."""
        return measured <= self.value if self.at_most else measured >= self.value

    def times(self, measured: float) -> float:
        """How many times as good as it must be; 1 is just enough."""
        if measured == 0:
            return 1.0 if self.at_most else 0.0
        return self.value / measured if self.at_most else measured / self.value


AIMS = MappingProxyType(
    {
        "decision_vs_noop": Aim(2.0),
        "decision_vs_mounted_noop": Aim(0.28),
        "decision256_vs_noop": Aim(1.5),
        "p99_ms_at_half_rate": Aim(10, at_most=True),
        "core_vs_blas": Aim(2.0, at_most=True),
        "same_top": Aim(1.0),
        "many_p99_ms": Aim(5, at_most=True),
        "many_recall": Aim(0.99),
        "ingest_vs_insert": Aim(0.25),
        "single_event_vs_mounted_noop": Aim(0.2),
        "fresh": Aim(1.0),
        "swap_p99_vs_steady": Aim(2, at_most=True),
        "swap_failed": Aim(0, at_most=True),
        "memory_1m_vs_10k": Aim(1.05, at_most=True),
        "memory_two_workers_vs_one": Aim(1.5, at_most=True),
        "batch_vs_implicit": Aim(1.0),
    }
)


def draw_aims(measured: Sequence[tuple[str, str, float]], file: Path) -> None:
    """Each ratio that has an aim: how many times as good as it must be.

    Parameters
    ----------
    measured : (benchmark, ratio, value) each.
    """
    values: Mapping[str, float] = {ratio: value for _, ratio, value in measured if ratio in AIMS}
    names = [name for name in AIMS if name in values]
    times = [AIMS[name].times(values[name]) for name in names]
    colours = ["tab:green" if AIMS[name].reached(values[name]) else "tab:red" for name in names]
    figure = Figure(figsize=(8.4, 0.9 + 0.32 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(range(len(names)), times, height=0.6, color=colours)
    for place, name in enumerate(names):
        axes.text(0.02, place, f" {values[name]:.3g} (aim {AIMS[name]})", va="center", fontsize="small")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xlabel="times as good as it must be", xlim=(0, 3))
    # The same figures make the same file.
    figure.savefig(file, dpi=_DPI, metadata={"Software": None})
