"""Train on a folder's train, rank its test, and stand beside the figures of others."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
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
from training.benchmark_folder import ID_COLUMNS, BenchmarkFolder, open_folder, read_kind
from training.errors import FolderRefused, InvalidProtocol
from training.fitting import MODEL_KINDS, Progress, fit
from training.memory import PeakMemory
from training.metrics import Interval, Rankings, bootstrap_intervals
from training.predictions import Predictions, write_predictions
from training.ranking import Query, Score, group_rows, rank, score_model
from training.references import Reference, count_consumers, weigh
from training.results import POPULARITY

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
    fit_s, rank_s, peak_bytes
        What it took here, loading and feature building not counted; None for what is published.
    """

    model: str
    origin: str
    figures: Mapping[str, Interval | None]
    fit_s: float | None = None
    rank_s: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """All lines of one run.

    Attributes
    ----------
    n_queries : int
        (consumer, site) pairs of test.
    n_without_history : int
        Those of consumers that train does not know: ranked by popularity.
    """

    name: str
    lines: tuple[Line, ...]
    n_consumers: int
    n_items: int
    n_sites: int
    n_train: int
    n_queries: int
    n_without_history: int
    wall_s: float
    peak_bytes: int


@dataclass(frozen=True, eq=False, slots=True)
class _Questions:
    """What is asked, sorted by site and then consumer: one entry per (consumer, site) of test."""

    consumer_ids: list[str]
    site_ids: list[str]
    rows: NDArray[np.int64]
    relevant: sparse.csr_matrix
    n_relevant: NDArray[np.int64]


def run_benchmark(
    path: Path,
    *,
    model: str = "als",
    beside: Iterable[Reference] = (),
    predictions: Path | None = None,
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

    Raises
    ------
    FolderRefused
        The folder is not in the format.
    """
    started = time.perf_counter()
    if model not in MODEL_KINDS:
        raise InvalidProtocol(f"unknown model {model!r}; known: {', '.join(MODEL_KINDS)}")
    with (
        PeakMemory() as peak,
        nullcontext() if predictions is None else write_predictions(predictions) as sink,
    ):
        folder = open_folder(path)
        bench = _Bench(folder, progress)
        lines = [bench.ours(model, random_state=random_state, sink=sink), bench.popularity()]
        lines += [bench.reference(one) for one in beside]
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
        wall_s=time.perf_counter() - started,
        peak_bytes=peak.bytes,
    )


class _Bench:
    """The data of one folder, on which lines are measured one after the other."""

    def __init__(self, folder: BenchmarkFolder, progress: Progress) -> None:
        self.folder, self.progress = folder, progress
        progress("prepare", 0, 1)
        self.interactions = _read_interactions(folder)
        self.cells = weigh(self.interactions)
        self.masked = _masked(folder, self.interactions)
        self.questions = _ask(folder, self.interactions)
        self.crowd = count_consumers(self.cells)
        progress("prepare", 1, 1)

    def ours(self, kind: str, *, random_state: int, sink: Predictions | None) -> Line:
        def fit_ours(tell: Callable[[int, int], None]) -> Score:
            fitted = fit(kind, self.interactions, random_state=random_state, progress=tell)
            return score_model(fitted, self.interactions)

        return self._measure(kind, OURS, fit_ours, sink=sink)

    def popularity(self) -> Line:
        # What nobody is tailored by is ranked by the prior alone.
        return self._measure(POPULARITY, REFERENCE, lambda _tell: _nothing_known)

    def reference(self, reference: Reference) -> Line:
        return self._measure(reference.name, REFERENCE, lambda tell: reference.fit(self.cells, tell))

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
        values = np.stack([metric.of(rankings) for metric in self.folder.metrics], axis=1)
        intervals = bootstrap_intervals(values, groups=self.questions.consumer_ids, n_resamples=N_RESAMPLES)
        figures = {metric.name: one for metric, one in zip(self.folder.metrics, intervals, strict=True)}
        return Line(name, origin, figures, fitted - started, ranked - fitted, peak.bytes)

    def _rank(self, score: Score, stage: str, sink: Predictions | None) -> Rankings:
        asked, items = self.questions, self.interactions.items
        depth = max(self.folder.depth, LEAST_DEPTH)
        top = np.full((len(asked.rows), depth), -1, dtype=np.int32)
        hits = np.zeros(top.shape, dtype=bool)
        for site_id, mine in _sites(asked):
            query = Query(items.site_slice(site_id), asked.rows[mine])
            for block in rank(score, query, prior=self.crowd, masked=self.masked, depth=depth):
                here = slice(mine.start + block.start, mine.start + block.start + len(block.top))
                top[here], hits[here] = block.top, _hits(asked.relevant[here], block.top)
                if sink is not None:
                    sink.write(asked.consumer_ids[here], site_id, block.top, items)
                self.progress(stage, here.stop, len(top))
        return Rankings(top.astype(np.int64), hits, asked.n_relevant)


def _nothing_known(rows: NDArray[np.int64], site: slice) -> NDArray[np.float32]:
    return np.full((len(rows), site.stop - site.start), np.nan, dtype=np.float32)


def _read_interactions(folder: BenchmarkFolder) -> Interactions:
    kinds: Any = pc.unique(folder.train["kind"])
    read_as = pa.array([read_kind(kind, target_kind=folder.target_kind) for kind in kinds.to_pylist()])
    train = folder.train
    kind = read_as.take(pc.index_in(train["kind"], kinds))
    train = train.set_column(train.schema.get_field_index("kind"), "kind", kind)
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
    rows, columns, _ = _places(folder.train.filter(kept), interactions)
    shape = (len(interactions.consumers), len(interactions.items))
    known = (rows >= 0) & (columns >= 0)
    return sparse.csr_matrix(
        (np.ones(known.sum(), dtype=np.int8), (rows[known], columns[known])), shape=shape
    )


def _ask(folder: BenchmarkFolder, interactions: Interactions) -> _Questions:
    order: Any = [("site_id", "ascending"), ("consumer_id", "ascending"), ("item_id", "ascending")]
    held_out = folder.test.select(list(ID_COLUMNS)).group_by(list(ID_COLUMNS)).aggregate([]).sort_by(order)
    rows, columns, pairs = _places(held_out, interactions)
    mine = group_rows(pairs)
    starts = [group.start for group in mine]
    counts = np.array([group.stop - group.start for group in mine], dtype=np.int64)
    question = np.repeat(np.arange(len(mine)), counts)
    found = columns >= 0
    relevant = sparse.csr_matrix(
        (np.ones(found.sum(), dtype=np.int8), (question[found], columns[found])),
        shape=(len(mine), len(interactions.items)),
    )
    asked: Any = held_out.take(pa.array(starts))
    return _Questions(
        asked["consumer_id"].to_pylist(), asked["site_id"].to_pylist(), rows[starts], relevant, counts
    )


def _places(
    table: pa.Table, interactions: Interactions
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, column (-1: unknown) and a number of the (consumer, site) pair for each row of a table."""
    codes: dict[str, NDArray[np.int64]] = {}
    words: dict[str, list[str]] = {}
    for name in ID_COLUMNS:
        encoded: Any = pc.dictionary_encode(table[name].combine_chunks())
        codes[name], words[name] = encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()
    known = {consumer_id: row for row, consumer_id in enumerate(interactions.consumers)}
    rows = np.array([known.get(one, -1) for one in words["consumer_id"]], dtype=np.int64)[
        codes["consumer_id"]
    ]
    items = interactions.items
    n_words = max(len(words["item_id"]), 1)
    unique, back = np.unique(codes["site_id"] * n_words + codes["item_id"], return_inverse=True)
    found = [
        items.index(words["site_id"][pair // n_words], words["item_id"][pair % n_words])
        for pair in unique.tolist()
    ]
    columns = np.array([-1 if one is None else one for one in found], dtype=np.int64)[back]
    pairs = codes["site_id"] * max(len(words["consumer_id"]), 1) + codes["consumer_id"]
    return rows, columns, pairs


def _sites(asked: _Questions) -> Iterator[tuple[str, slice]]:
    numbers = np.unique(np.array(asked.site_ids, dtype=object), return_inverse=True)[1]
    for mine in group_rows(numbers):
        yield asked.site_ids[mine.start], mine


def _hits(relevant: sparse.csr_matrix, top: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether what was ranked is relevant, bool[n, depth]."""
    rows = np.repeat(np.arange(len(top)), top.shape[1])
    found = np.asarray(relevant[rows, np.maximum(top, 0).ravel()]).reshape(top.shape) > 0
    return np.asarray(found & (top >= 0))


def _published(folder: BenchmarkFolder) -> Iterator[Line]:
    for row in folder.published:
        name = next((str(row[key]) for key in ("model", "estimator", "name") if key in row), "unnamed")
        yield Line(name, PUBLISHED, {metric.name: _figure(row, metric.name) for metric in folder.metrics})


def _figure(row: Mapping[str, Any], metric: str) -> Interval | None:
    value = {str(name).lower(): one for name, one in row.items()}.get(metric.lower())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return Interval(float(value), float(value), float(value))
