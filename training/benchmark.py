"""Train on a folder's train, rank its test, and stand beside the figures of others."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from features.errors import NoInteractions
from features.interactions import Interactions, build_interactions
from features.weights import InteractionWeights
from models.blend import Blend
from models.recommender import FittedRecommender
from training.auto import choose
from training.benchmark_folder import BenchmarkFolder, open_folder, read_kind
from training.errors import FolderRefused, InvalidProtocol
from training.fitting import AUTO, MODEL_KINDS, Progress, fit
from training.memory import PeakMemory
from training.metrics import Interval, Rankings, bootstrap_intervals
from training.predictions import Predictions, write_predictions
from training.questions import Questions, answer, ask, cells_of, hits_of
from training.ranking import Score, score_model
from training.references import Reference, count_consumers, weigh
from training.results import POPULARITY
from training.search import Limits
from training.split import split_first_to_second_site
from training.validation import validation_of

N_RESAMPLES: Final = 200
LEAST_DEPTH: Final = 20
OURS, REFERENCE, PUBLISHED = "ours", "reference", "published"


@dataclass(frozen=True, slots=True)
class Line:
    """One model on the folder.

    Attributes
    ----------
    origin : str
        `ours`; `reference`: another library's, run here just now; `published`: as the folder tells it.
    figures : mapping of metric to Interval or None
        Published figures come without an interval: low and high equal the mean.
    untouched : mapping of metric to Interval
        The same where only such items count as found, and as to be found, that the consumer had nothing to do
        with in train. Empty where test asks about no others.
    fit_s, rank_s, peak_bytes
        What it took here, loading and feature building not counted; None for what is published.
    """

    model: str
    origin: str
    figures: Mapping[str, Interval | None]
    untouched: Mapping[str, Interval] = field(default_factory=dict)
    fit_s: float | None = None
    rank_s: float | None = None
    peak_bytes: int | None = None

    def columns(self) -> dict[str, str]:
        """What a table tells of it, as narrow as a terminal."""
        cost = dict.fromkeys(("fit s", "rank s", "peak MB"), "")
        if self.fit_s is not None and self.rank_s is not None and self.peak_bytes is not None:
            cost = {
                "fit s": f"{self.fit_s:.1f}",
                "rank s": f"{self.rank_s:.1f}",
                "peak MB": f"{self.peak_bytes / 1e6:.0f}",
            }
        return {**self._told(self.figures), **cost}

    def columns_untouched(self) -> dict[str, str]:
        """The same of `untouched`, without what it took."""
        return self._told(self.untouched)

    def _told(self, figures: Mapping[str, Interval | None]) -> dict[str, str]:
        told = {name: _with_interval(figure, self.origin) for name, figure in figures.items()}
        return {"model": self.model, "from": self.origin, **told}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Our line beside another by the first NDCG that the folder names.

    Attributes
    ----------
    ratio : float or None
        Our mean / theirs, unless that is 0.
    difference : Interval
        Ours - theirs, from the same queries.
    """

    model: str
    ratio: float | None
    difference: Interval


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """All lines of one run.

    Attributes
    ----------
    comparisons : tuple of Comparison
        Our line beside each of the others that ran here, the best of them first. Empty where the folder names
        no NDCG.
    vs_references : float or None
        The first one's ratio: our NDCG / that of the best of all others, popularity among them.
    chosen : mapping or None
        The parameters of the blend that `auto` chose, as a bundle keeps them; None of other models.
    n_queries : int
        (consumer, site) pairs of test.
    n_without_history : int
        Those of consumers that train does not know: ranked by popularity.
    n_untouched : int
        Those with anything to be found that the consumer had nothing to do with in train.
    """

    name: str
    lines: tuple[Line, ...]
    n_consumers: int
    n_items: int
    n_sites: int
    n_train: int
    n_queries: int
    n_without_history: int
    n_untouched: int
    wall_s: float
    peak_bytes: int
    comparisons: tuple[Comparison, ...]
    vs_references: float | None
    chosen: Mapping[str, Any] | None = None

    def chosen_in_words(self) -> str:
        """Share, kind and parameters of each member, and popularity's part; "" where nothing was chosen."""
        if self.chosen is None:
            return ""
        parts = [
            f"{member['share']:.3g} × {member['kind']}({_in_words(member['parameters'])}; "
            f"{_in_words(member['weights'])})"
            for member in self.chosen["members"]
        ]
        if self.chosen["popularity"]:
            parts.append(f"{self.chosen['popularity']:.3g} × popularity")
        return " + ".join(parts)


def _in_words(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def run_benchmark(
    path: Path,
    *,
    model: str = "als",
    beside: Iterable[Reference] = (),
    predictions: Path | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    random_state: int = 42,
    progress: Progress = lambda _stage, _done, _total: None,
) -> BenchmarkReport:
    """Measure a model on a benchmark folder, popularity beside it.

    Parameters
    ----------
    beside : iterable of Reference
        Other people's models to measure on the same data, such as `training.references.references()`.
    predictions : Path, optional
        Write the model's rankings there: Parquet or CSV.
    limits : Limits
        How long `auto` may search.

    Raises
    ------
    FolderRefused
        The folder is not in the format.
    """
    started = time.perf_counter()
    if model not in (AUTO, *MODEL_KINDS):
        raise InvalidProtocol(f"unknown model {model!r}; known: {', '.join((AUTO, *MODEL_KINDS))}")
    with (
        PeakMemory() as peak,
        nullcontext() if predictions is None else write_predictions(predictions) as sink,
    ):
        folder = open_folder(path)
        bench = _Bench(folder, limits, progress)
        lines = [bench.ours(model, random_state=random_state, sink=sink), bench.popularity()]
        lines += [bench.reference(one) for one in beside]
        comparisons = bench.comparisons()
    questions, interactions = bench.questions, bench.interactions
    return BenchmarkReport(
        name=folder.name,
        lines=(*lines, *_published(folder)),
        n_consumers=len(interactions.consumers),
        n_items=len(interactions.items),
        n_sites=len(interactions.items.site_ids),
        n_train=folder.train.num_rows,
        n_queries=len(questions.rows),
        n_without_history=int((questions.rows < 0).sum()),
        n_untouched=len(bench.untouched[0]),
        wall_s=time.perf_counter() - started,
        peak_bytes=peak.bytes,
        comparisons=comparisons,
        vs_references=comparisons[0].ratio if comparisons else None,
        chosen=bench.chosen,
    )


class _Bench:
    """The data of one folder, on which lines are measured one after the other."""

    def __init__(self, folder: BenchmarkFolder, limits: Limits, progress: Progress) -> None:
        self.folder, self.limits, self.progress = folder, limits, progress
        progress("prepare", 0, 1)
        self.interactions = _read_interactions(folder)
        self.cells = weigh(self.interactions)
        self.masked = _masked(folder, self.interactions)
        self.questions = ask(folder.test, self.interactions)
        self.untouched = self.questions.untouched(cells_of(folder.train, self.interactions))
        self.crowd = count_consumers(self.cells)
        self._ndcg: dict[tuple[str, str], NDArray[np.float64]] = {}
        self.chosen: Mapping[str, Any] | None = None
        progress("prepare", 1, 1)

    def ours(self, kind: str, *, random_state: int, sink: Predictions | None) -> Line:
        def fit_ours(tell: Callable[[int, int], None]) -> Score:
            if kind == AUTO:
                fitted: FittedRecommender = self._choose(random_state).fit(self.interactions, progress=tell)
                self.chosen = fitted.parameters()
            else:
                fitted = fit(kind, self.interactions, random_state=random_state, progress=tell)
            return score_model(fitted, self.interactions)

        return self._measure(kind, OURS, fit_ours, sink=sink)

    def _choose(self, random_state: int) -> Blend:
        folder = self.folder
        names = {metric.name for metric in folder.metrics if metric.family == "ndcg"}
        activity, held_out = read_activity_of(folder), folder.valid
        if held_out is None and self.questions.share_elsewhere(self.cells, self.interactions.items) > 0.5:
            split = split_first_to_second_site(activity, random_state=random_state)
            activity, held_out = split.train, pa.Table.from_pandas(split.test, preserve_index=False)
        validation = validation_of(
            activity,
            self.interactions.weights,
            held_out=held_out,
            masked_kinds=frozenset(
                read_kind(kind, target_kind=folder.target_kind) for kind in folder.masked_kinds
            ),
            metric=min(names, default="ndcg@10"),
            random_state=random_state,
        )
        return choose(
            validation,
            limits=self.limits,
            random_state=random_state,
            on_progress=lambda stage, done, total: self.progress(f"{AUTO}: {stage}", done, total),
        ).blend

    def popularity(self) -> Line:
        # What nobody is tailored by is ranked by the prior alone.
        return self._measure(POPULARITY, REFERENCE, lambda _tell: _nothing_known)

    def reference(self, reference: Reference) -> Line:
        return self._measure(reference.name, REFERENCE, lambda tell: reference.fit(self.cells, tell))

    def comparisons(self) -> tuple[Comparison, ...]:
        """Our line beside each of the others, the best first."""
        found = [self._compare(name) for origin, name in self._ndcg if origin != OURS]
        return tuple(sorted(found, key=lambda one: one.difference.mean))

    def _compare(self, name: str) -> Comparison:
        ours = next(values for (origin, _), values in self._ndcg.items() if origin == OURS)
        theirs = self._ndcg[REFERENCE, name]
        (difference,) = bootstrap_intervals(
            (ours - theirs)[:, np.newaxis], groups=self.questions.consumer_ids, n_resamples=N_RESAMPLES
        )
        reached = float(theirs.mean())
        return Comparison(name, float(ours.mean()) / reached if reached else None, difference)

    def _measure(
        self,
        name: str,
        origin: str,
        fit_it: Callable[[Callable[[int, int], None]], Score],
        *,
        sink: Predictions | None = None,
    ) -> Line:
        with PeakMemory() as peak:
            started = time.perf_counter()
            score = fit_it(lambda done, total: self.progress(f"{name}: fit", done, total))
            fitted = time.perf_counter()
            rankings = self._rank(score, f"{name}: rank", sink)
            ranked = time.perf_counter()
        for metric in [one for one in self.folder.metrics if one.family == "ndcg"][:1]:
            self._ndcg[origin, name] = metric.of(rankings)
        figures = self._figures(rankings, self.questions)
        untouched = self._untouched(rankings)
        return Line(name, origin, figures, untouched, fitted - started, ranked - fitted, peak.bytes)

    def _figures(self, rankings: Rankings, questions: Questions) -> dict[str, Interval]:
        values = np.stack([metric.of(rankings) for metric in self.folder.metrics], axis=1)
        intervals = bootstrap_intervals(values, groups=questions.consumer_ids, n_resamples=N_RESAMPLES)
        return {metric.name: one for metric, one in zip(self.folder.metrics, intervals, strict=True)}

    def _untouched(self, rankings: Rankings) -> dict[str, Interval]:
        places, questions = self.untouched
        if len(places) == 0 or questions.n_relevant.sum() == self.questions.n_relevant.sum():
            return {}
        top = rankings.ranked[places]
        return self._figures(Rankings(top, hits_of(questions.relevant, top), questions.n_relevant), questions)

    def _rank(self, score: Score, stage: str, sink: Predictions | None) -> Rankings:
        asked, items = self.questions, self.interactions.items

        def on_block(here: slice, site_id: str, top: NDArray[np.int64]) -> None:
            if sink is not None:
                sink.write(asked.consumer_ids[here], site_id, top, items)
            self.progress(stage, here.stop, len(asked))

        depth = max(self.folder.depth, LEAST_DEPTH)
        return answer(
            score,
            asked,
            self.interactions,
            prior=self.crowd,
            masked=self.masked,
            depth=depth,
            on_block=on_block,
        )


def _nothing_known(rows: NDArray[np.int64], site: slice) -> NDArray[np.float32]:
    return np.full((len(rows), site.stop - site.start), np.nan, dtype=np.float32)


def read_activity_of(folder: BenchmarkFolder) -> pa.Table:
    """The train part, its kinds read as ours."""
    kinds: Any = pc.unique(folder.train["kind"])
    read_as = pa.array([read_kind(kind, target_kind=folder.target_kind) for kind in kinds.to_pylist()])
    train = folder.train
    kind = read_as.take(pc.index_in(train["kind"], kinds))
    return train.set_column(train.schema.get_field_index("kind"), "kind", kind)


def _read_interactions(folder: BenchmarkFolder) -> Interactions:
    train = read_activity_of(folder)
    # Every row counts here: what is measured is the model, not what it costs to serve long histories.
    weights = replace(InteractionWeights(), max_events_per_consumer=max(500, train.num_rows))
    try:
        return build_interactions(train, weights)
    except NoInteractions as error:
        raise FolderRefused(f"{folder.path / 'train.parquet'}: {error}") from None


def _masked(folder: BenchmarkFolder, interactions: Interactions) -> sparse.csr_matrix | None:
    if not folder.masked_kinds:
        return None
    kept = pc.is_in(folder.train["kind"], pa.array(sorted(folder.masked_kinds), pa.large_string()))
    return cells_of(folder.train.filter(kept), interactions)


def _published(folder: BenchmarkFolder) -> Iterator[Line]:
    for row in folder.published:
        name = next((str(row[key]) for key in ("model", "estimator", "name") if key in row), "unnamed")
        yield Line(name, PUBLISHED, {metric.name: _figure(row, metric.name) for metric in folder.metrics})


def _figure(row: Mapping[str, Any], metric: str) -> Interval | None:
    value = {str(name).lower(): one for name, one in row.items()}.get(metric.lower())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Interval(float(value), float(value), float(value))


def _with_interval(figure: Interval | None, origin: str) -> str:
    if figure is None:
        return ""
    half = "" if origin == PUBLISHED else f"±{(figure.high - figure.low) / 2:.4f}"
    return f"{figure.mean:.4f}{half}"
