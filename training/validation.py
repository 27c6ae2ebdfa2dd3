"""A cut of the training data on which models are compared before one is chosen. Test data never comes here.

By time where events have times: what happened last is asked about. Without times some target events of each
consumer are hidden that go together, and only these: what they viewed before they bought it stays, as it does
in life. Where it would make the item no candidate, it is hidden, too.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from features.ids import ConsumerIds, ItemIds
from features.interactions import Interactions, build_interactions
from features.weights import InteractionWeights
from models.blend import crowd_of
from training.benchmark_metrics import Metric, parse_metric
from training.errors import NothingToEvaluate
from training.hiding import hide_together
from training.questions import ID_COLUMNS, Questions, ask, cells_of
from training.split import target_kind

MOST_QUESTIONS: Final = 4_000
_MOST_SCORES: Final = 80_000_000
_SHARE_TO_LEARN_FROM: Final = 0.8
_PAIR: Final = list(ID_COLUMNS)


@dataclass(frozen=True, eq=False)
class Validation:
    """What to learn from, and what is asked.

    Attributes
    ----------
    interactions : Interactions
        Made of what comes before the cut.
    questions : Questions
        A sample of them, where there are many.
    masked : csr[n_consumers, n_items] or None
        A consumer's cells here are no candidates.
    metric : Metric
        What is to be as great as possible.
    """

    interactions: Interactions
    questions: Questions
    masked: sparse.csr_matrix | None
    metric: Metric

    @cached_property
    def crowd(self) -> NDArray[np.float32]:
        """How popular each item is, see `models.blend.crowd_of`."""
        return crowd_of(self.interactions)

    def __repr__(self) -> str:
        return f"Validation({self.interactions!r}, {self.questions!r}, {self.metric.name})"


def validation_of(
    activity: pa.Table,
    weights: InteractionWeights,
    *,
    held_out: pa.Table | None = None,
    masked_kinds: frozenset[str] = frozenset(),
    metric: str = "ndcg@10",
    random_state: int = 0,
) -> Validation:
    """Cut activity in two, or learn from all of it when something is held out already.

    Parameters
    ----------
    activity : pyarrow.Table
        Columns consumer_id, site_id, item_id, kind and perhaps occurred_at.
    held_out : pyarrow.Table, optional
        What is to be found, chosen by somebody else.
    masked_kinds : frozenset of str
        What a consumer did in these ways is no candidate.

    Raises
    ------
    NothingToEvaluate
        When nothing is left to ask.
    """
    generator = np.random.default_rng(random_state)
    as_of = None
    if held_out is None:
        activity, held_out, as_of = _cut(activity, masked_kinds, generator)
    interactions = build_interactions(activity, weights, as_of=as_of)
    questions = ask(held_out, interactions)
    answerable = np.flatnonzero((questions.rows >= 0) & (np.diff(questions.relevant.indptr) > 0))
    if len(answerable) == 0:
        raise NothingToEvaluate(
            f"nothing to compare models by: of {len(questions)} held-out answers none is known from the rest"
        )
    most = max(500, min(MOST_QUESTIONS, _MOST_SCORES // len(interactions.items)))
    sample = np.sort(generator.permutation(answerable)[:most])
    masked = None
    if masked_kinds:
        masked = cells_of(activity.filter(pa.array(_is_of(activity, masked_kinds))), interactions)
    return Validation(interactions, questions.select(sample), masked, parse_metric(metric))


def small(validation: Validation, *, n_items: int, n_consumers: int) -> Validation:
    """The same on the items with the most activity and on fewer consumers: for a first, cheap look.

    Questions about other items and consumers are left out. The same validation, when it is as small already.
    """
    whole = validation.interactions
    if len(whole.items) <= n_items and len(whole.consumers) <= n_consumers:
        return validation
    activity = np.sum([np.diff(matrix.tocsc().indptr) for matrix in whole.by_kind.values()], axis=0)
    columns = np.sort(np.argsort(-activity, kind="stable")[:n_items])
    asked = np.zeros(len(whole.consumers), dtype=bool)
    asked[validation.questions.rows] = True
    others = np.flatnonzero(~asked)
    n_others = max(0, n_consumers - int(asked.sum()))
    drawn = np.random.default_rng(0).permutation(others)[:n_others]
    rows = np.sort(np.concatenate([np.flatnonzero(asked), drawn]))
    interactions = _part(whole, rows, columns)
    row_of = np.full(len(whole.consumers), -1)
    row_of[rows] = np.arange(len(rows))
    questions = validation.questions
    relevant = questions.relevant[:, columns]
    kept = np.flatnonzero(np.diff(relevant.indptr) > 0)
    if len(kept) < 200:
        return validation
    n_relevant = np.diff(relevant.indptr).astype(np.int64)
    chosen = replace(questions, relevant=relevant, n_relevant=n_relevant, rows=row_of[questions.rows])
    masked = None if validation.masked is None else validation.masked[rows][:, columns]
    return Validation(interactions, chosen.select(kept), masked, validation.metric)


def _part(whole: Interactions, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Interactions:
    pairs = [whole.items.pair(int(column)) for column in columns]
    return replace(
        whole,
        consumers=ConsumerIds([whole.consumers[int(row)] for row in rows]),
        items=ItemIds.from_pairs(pairs),
        by_kind={kind: sparse.csr_matrix(matrix[rows][:, columns]) for kind, matrix in whole.by_kind.items()},
    )


def _cut(
    activity: pa.Table, masked_kinds: frozenset[str], generator: np.random.Generator
) -> tuple[pa.Table, pa.Table, datetime | None]:
    """Activity to learn from, what is held out of it, and the moment of the cut if there is one."""
    kind = target_kind(activity)
    target = _is_of(activity, {kind})
    cut = _moment(activity.filter(pa.array(target)))
    if cut is None:
        hidden = hide_together(activity, target, generator)
        asked = activity.filter(pa.array(hidden))
        if masked_kinds - {kind}:
            hidden |= _of_the_pairs(activity, hidden) & _is_of(activity, masked_kinds)
        return activity.filter(pa.array(~hidden)), asked, None
    times: Any = activity["occurred_at"]
    later = (times.to_pandas() >= pd.Timestamp(cut)).to_numpy()
    asked = activity.filter(pa.array(later & target))
    return activity.filter(pa.array(~later)), asked, cut


def _is_of(activity: pa.Table, kinds: Collection[str]) -> NDArray[np.bool_]:
    return np.asarray(pc.is_in(activity["kind"], pa.array(sorted(kinds), activity["kind"].type)).to_numpy())


def _of_the_pairs(activity: pa.Table, some: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows are of a consumer and an item that some rows are of."""
    pair = activity.select(_PAIR).to_pandas().groupby(_PAIR, sort=False).ngroup().to_numpy()
    return np.isin(pair, pair[some])


def _moment(targets: pa.Table) -> datetime | None:
    if "occurred_at" not in targets.column_names or targets["occurred_at"].null_count == targets.num_rows:
        return None
    times = targets["occurred_at"].drop_null().to_pandas()
    if times.dt.tz is None:
        times = times.dt.tz_localize(UTC)
    at = times.quantile(_SHARE_TO_LEARN_FROM)
    cut: datetime = at.to_pydatetime()
    return cut if times.min() < cut <= times.max() else None
