"""Which activity carried a score: exact, from the model's own arithmetic."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.history import Event, HistoryVector
from features.weights import KINDS, InteractionWeights
from models.bundle import Bundle
from models.projection import PooledScores, Signal
from models.recommender import Reading

_TINY = np.finfo(np.float64).tiny


class Carried(NamedTuple):
    """One kind of activity with one item and its share of all that spoke for or against the promotion."""

    site_id: str
    item_id: str
    kind: str
    share: float
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a promotion scored as it did.

    Attributes
    ----------
    carried : list of Carried
        What carried most comes first.
    signals : mapping of str to float
        Each signal's share of all that spoke for or against it: counted without sign they add up to 1.
    """

    carried: list[Carried]
    signals: dict[str, float]


def explain(
    bundle: Bundle,
    reading: Reading,
    *,
    pooled: PooledScores,
    promotion_index: int,
    events: Sequence[Event],
    max_carried: int,
) -> Explanation:
    """Split a promotion's score over the activity it came from, and over the signals it came by.

    The model says what each item of the history gave, cᵢ (with popularity's part they sum to the score); an
    item's part is split over the kinds of activity by their weight in its confidence. The share is cᵢ / Σ|c|;
    what spoke against the promotion, cᵢ < 0, is not told, and only the first `max_carried` are.
    """
    history = reading.history
    signals = pooled.projection.signals(bundle.model, reading, promotion_index=promotion_index, pooled=pooled)
    by_weights: dict[InteractionWeights, NDArray[np.float32]] = {}
    for signal in signals:
        earlier = by_weights.get(signal.weights)
        by_weights[signal.weights] = signal.given if earlier is None else earlier + signal.given
    given = functools.reduce(np.add, (_by_kind(one, by, history) for by, one in by_weights.items()))
    total = float(np.abs(np.add.reduce(given, axis=0)).sum())
    by_signal = _shares(signals)
    if total == 0.0:
        return Explanation([], by_signal)
    # Item by item, and by kind within an item: a stable sort leaves equal shares in the order of their ids.
    shares = (given / total).T.ravel()
    order = (-shares).argsort(kind="stable")[:max_carried]
    found = []
    for one in order[shares[order] > 0.0].tolist():
        place, kind = divmod(one, len(KINDS))
        site_id, item_id = bundle.items.pair(int(history.item_index[place]))
        occurred_at = _newest(events, site_id, item_id, KINDS[kind])
        found.append(Carried(site_id, item_id, KINDS[kind], float(shares[one]), occurred_at))
    return Explanation(found, by_signal)


def _by_kind(
    given: NDArray[np.float32], weights: InteractionWeights, history: HistoryVector
) -> NDArray[np.float64]:
    """What was given by each entry of the history, split over the kinds of activity, float64[n_kinds, n]."""
    weighted: NDArray[np.float64] = weights.by_kind[:, np.newaxis] * history.by_kind
    weighted *= given / np.maximum(np.add.reduce(weighted, axis=0), _TINY)
    return weighted


def _shares(signals: Sequence[Signal]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for signal in signals:
        totals[signal.name] = totals.get(signal.name, 0.0) + signal.total
    whole = sum(map(abs, totals.values()))
    return {name: total / whole for name, total in totals.items() if total != 0.0} if whole > 0 else {}


def _newest(events: Sequence[Event], site_id: str, item_id: str, kind: str) -> datetime | None:
    for site, item, one, occurred_at in events:  # newest first
        if item == item_id and one == kind and site == site_id:
            return occurred_at
    return None
