"""`auto` on data that nobody tuned it on: `python -m benchmarks.unseen [--folder FOLDER] [--json FILE]`.

The bundled data, made-up data and the train parts of benchmark folders are cut anew, each cut is written as a
benchmark folder of its own, and `auto` is measured there beside popularity and the references. `ratio` is its
NDCG@10 / that of the best line beside it; the interval is that of its difference from popularity.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.report import Figures, run
from examples.complete_journey.tables import read_complete_journey
from training.benchmark import read_activity_of, run_benchmark
from training.benchmark_folder import open_folder
from training.references import references
from training.results import POPULARITY
from training.search import Limits
from training.split import Split, leave_one_out, split_by_time, split_first_to_second_site, target_kind

DATA: Final = Path(__file__).resolve().parent.parent / "examples" / "complete_journey"
AUTUMN: Final = datetime(2017, 11, 1, tzinfo=UTC)
ENOUGH: Final = 1.15

Cuts = dict[str, Callable[[], Split]]


@dataclass(frozen=True, slots=True)
class Row:
    """`auto` on one cut.

    Attributes
    ----------
    best : str
        The best line beside it.
    low, high : float
        Of the 95 % interval of `auto` - popularity, by consumer.
    """

    cut: str
    rankings: int
    auto: float
    popularity: float
    best: str
    ratio: float | None
    low: float
    high: float
    seconds: float

    @property
    def holds(self) -> bool:
        """Better than the others by far, or not worse than popularity where that is the best of them."""
        if self.best == POPULARITY and self.high >= 0:
            return True
        return self.ratio is not None and self.ratio >= ENOUGH


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "unseen",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure_all(
            cuts_of(options.folder), only=options.only, limits=Limits(options.budget, max_decision_us=None)
        ),
        table=_table,
    )
    return 0


def measure_all(cuts: Cuts, *, only: Sequence[str], limits: Limits) -> Figures:
    """`auto` on each cut whose name has one of the texts in it, or on all."""
    rows = []
    for name, cut in cuts.items():
        if only and not any(text in name for text in only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_folder(Path(folder), name, cut())
            rows.append(measure(Path(folder), name, limits))
        sys.stderr.write(f"{_line(asdict(rows[-1]))}\n")
    return {
        "ratios": {"unseen_held": sum(row.holds for row in rows) / len(rows)} if rows else {},
        "rows": [asdict(row) for row in rows],
    }


def measure(folder: Path, name: str, limits: Limits) -> Row:
    """`auto` on one folder, beside popularity and the references."""
    report = run_benchmark(folder, model="auto", beside=references(), limits=limits)
    best = report.comparisons[0]
    crowd = next(one for one in report.comparisons if one.model == POPULARITY)
    auto = next(iter(report.lines[0].figures.values()))
    mean = 0.0 if auto is None else auto.mean
    difference = crowd.difference
    return Row(
        cut=name,
        rankings=report.n_queries,
        auto=mean,
        popularity=mean - difference.mean,
        best=best.model,
        ratio=best.ratio,
        low=difference.low,
        high=difference.high,
        seconds=report.lines[0].fit_s or 0.0,
    )


def cuts_of(folders: Sequence[Path]) -> Cuts:
    """What is cut anew, by name."""
    cuts = {**_journey_cuts(), **MADE_UP}
    for path in folders:
        activity = _with_times(read_activity_of(open_folder(path)))
        cuts |= {f"{path.name}: {name}": partial(cut, activity) for name, cut in RECUTS.items()}
    return cuts


def write_folder(folder: Path, name: str, split: Split) -> None:
    """Write a benchmark folder."""
    kind = target_kind(split.train)
    mask = "the consumer's train activity" if split.mask_seen else "nothing"
    about = {"name": name, "target_kind": kind, "metrics": ["ndcg@10"], "mask": mask}
    (folder / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
    pq.write_table(split.train, folder / "train.parquet")
    pq.write_table(pa.Table.from_pandas(split.test.assign(kind=kind)), folder / "test.parquet")


def _journey_cuts() -> Cuts:
    read = read_complete_journey(DATA)
    columns = ["consumer_id", "site_id", "item_id", "kind", "occurred_at"]
    activity = read.activity.select(columns)
    items = read.items.select(["site_id", "item_id", "category"]).to_pandas()
    by_category = activity.to_pandas().merge(items.dropna()).assign(site_id=lambda rows: rows["category"])
    categories = pa.Table.from_pandas(by_category[columns], preserve_index=False)
    return {
        "journey: departments, from November": lambda: split_by_time(activity, AUTUMN),
        "journey: categories, from November": lambda: split_by_time(categories, AUTUMN),
        "journey: another department": lambda: split_first_to_second_site(activity, share=0.5),
    }


def _with_times(activity: pa.Table) -> pa.Table:
    """The column of times, empty where there are none."""
    if "occurred_at" in activity.column_names:
        return activity
    return activity.append_column("occurred_at", pa.nulls(activity.num_rows, pa.timestamp("us", tz="UTC")))


def _some_consumers(activity: pa.Table, share: float, *, random_state: int) -> pa.Table:
    """All activity of some consumers."""
    ids = activity["consumer_id"].to_pandas()
    consumers = np.sort(ids.unique())
    drawn = np.random.default_rng(random_state).random(len(consumers)) < share
    return activity.filter(pa.array(ids.isin(consumers[drawn]).to_numpy()))


def _on_three_sites(activity: pa.Table) -> pa.Table:
    """Every other item, dealt to three sites."""
    events = activity.to_pandas()
    names, number = np.unique(events["item_id"].to_numpy(dtype=object), return_inverse=True)
    dealt = np.random.default_rng(11).integers(0, 6, len(names))[number]
    dealt_to = events.assign(site_id=np.char.add("shop ", dealt.astype(str)))
    return pa.Table.from_pandas(dealt_to[dealt < 3], preserve_index=False)


def _of_the_target_kind(activity: pa.Table) -> pa.Table:
    return activity.filter(pa.array((activity["kind"].to_pandas() == target_kind(activity)).to_numpy()))


RECUTS: Final[dict[str, Callable[[pa.Table], Split]]] = {
    "a third of the consumers": lambda activity: leave_one_out(
        _some_consumers(activity, 1 / 3, random_state=3)
    ),
    "another site of three": lambda activity: split_first_to_second_site(
        _on_three_sites(_some_consumers(activity, 1 / 2, random_state=5))
    ),
    "one kind": lambda activity: leave_one_out(
        _of_the_target_kind(_some_consumers(activity, 1 / 3, random_state=7))
    ),
}


def _made_up(
    *,
    n_consumers: int,
    n_items: int,
    n_sites: int,
    events_each: int,
    kinds: tuple[str, ...],
    tastes: int = 12,
) -> Split:
    """Consumers with two tastes each choose among items whose popularity falls as 1 / rank."""
    random = np.random.default_rng(17)
    taste = random.integers(0, tastes, n_items)
    popular = 1 / (1 + random.permutation(n_items))
    rows = []
    for consumer in range(n_consumers):
        liked = random.integers(0, tastes, 2)
        worth = popular * np.where(np.isin(taste, liked), 1.0, 0.05)
        n_events = 1 + random.poisson(events_each - 1)
        for item in random.choice(n_items, size=n_events, p=worth / worth.sum()):
            rows.append(
                (f"c{consumer}", f"site {item % n_sites}", f"i{item}", kinds[random.integers(len(kinds))])
            )
    events = pd.DataFrame(rows, columns=["consumer_id", "site_id", "item_id", "kind"])
    return leave_one_out(_with_times(pa.Table.from_pandas(events, preserve_index=False)))


MADE_UP: Final[Cuts] = {
    "made up: small": lambda: _made_up(
        n_consumers=80, n_items=60, n_sites=2, events_each=8, kinds=("page_view", "purchase")
    ),
    "made up: sparse": lambda: _made_up(
        n_consumers=4000, n_items=3000, n_sites=3, events_each=3, kinds=("purchase",)
    ),
    "made up: many sites": lambda: _made_up(
        n_consumers=3000, n_items=3000, n_sites=100, events_each=15, kinds=("page_view", "purchase")
    ),
}


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=Path, action="append", default=[], help="cut this benchmark folder's train, too"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="cuts with it in the name"
    )
    parser.add_argument("--budget", type=float, default=120.0, help="seconds that auto may search each time")


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'cut':<42} {'rankings':>8} {'auto':>7} {'popularity':>10} {'ratio':>6}  best beside it"
    yield from map(_line, figures["rows"])


def _line(row: Figures) -> str:
    return (
        f"{row['cut']:<42} {row['rankings']:>8} {row['auto']:>7.4f} {row['popularity']:>10.4f} "
        f"{row['ratio'] or float('nan'):>6.2f}  {row['best']} ({row['low']:+.4f} to {row['high']:+.4f} "
        "beyond popularity)"
    )


if __name__ == "__main__":
    sys.exit(main())
