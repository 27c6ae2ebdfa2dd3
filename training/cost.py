"""What a model costs: how long a decision takes, how large its bundle is."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.history import HistoryVector
from features.interactions import Interactions
from models.errors import EmptyHistory
from models.pooling import Pooling
from models.projection import Projection
from models.recommender import FittedRecommender
from training.metrics import top_ranked
from training.results import MAIN_K


@dataclass(frozen=True, slots=True)
class Cost:
    """Figures of one version.

    Attributes
    ----------
    train_seconds : float
        Fit on all of the data; without snapshot, evaluation and search.
    bundle_bytes : int
        All files of its bundle.
    decision_us : float
        See `decision_us`.
    """

    train_seconds: float
    bundle_bytes: int
    decision_us: float


def decision_us(
    model: FittedRecommender,
    pooling: Pooling,
    interactions: Interactions,
    *,
    n_promotions: int = 10_000,
    n_histories: int = 64,
    random_state: int = 0,
) -> float:
    """Median time to rank promotions for a consumer, in microseconds on one core of this machine.

    From a history to the ten best of all promotions: item scores, pooling, top. The histories are those of
    consumers that were learned from; each promotion covers one item, drawn from the site that has most, and
    as in serving no other site's items are scored. Reading the history, the rules of promotions and signing
    the answer are not in it.

    Parameters
    ----------
    interactions : Interactions
        What the model was fitted on.
    """
    generator = np.random.default_rng(random_state)
    site = max(map(model.items.site_slice, model.items.site_ids), key=lambda one: one.stop - one.start)
    items = generator.integers(site.start, site.stop, size=n_promotions)
    cells = (np.ones(n_promotions, dtype=np.float32), (np.arange(n_promotions), items))
    projection = Projection(
        sparse.csr_matrix(cells, shape=(n_promotions, len(model.items))), pooling, model=model
    )
    drawn = generator.permutation(len(interactions.consumers))[:n_histories]
    histories = [interactions.row(int(row)) for row in drawn]
    # Serving gives each worker one BLAS thread, too.
    with threadpool_limits(limits=1, user_api="blas"):
        _decide(model, projection, histories[0])
        times = [_timed(model, projection, histories[turn % len(histories)]) for turn in range(n_histories)]
    return float(np.median(times) * 1e6)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _timed(model: FittedRecommender, projection: Projection, history: HistoryVector) -> float:
    started = time.perf_counter()
    _decide(model, projection, history)
    return time.perf_counter() - started


def _decide(model: FittedRecommender, projection: Projection, history: HistoryVector) -> NDArray[np.int64]:
    try:
        reading = model.read(history)
    except EmptyHistory:
        return top_ranked(projection.pool(model.prior[projection.within]).score, MAIN_K)
    pooled = projection.shortlist(reading, model.weights, n=MAIN_K)
    if pooled is None:
        scores = reading.score(projection.within)
        pooled = projection.pool(scores, history=history, weights=model.weights)
    return top_ranked(pooled.score, MAIN_K)
