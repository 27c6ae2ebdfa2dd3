"""Which activity carried a score: exact, from the model's own arithmetic."""

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.history import HistoryVector
from features.weights import KINDS, InteractionWeights
from models.bundle import Bundle
from models.projection import PooledScores, Signal
from models.recommender import Reading
from storage.recent import Events

_TINY = np.finfo(np.float64).tiny


class Carried(msgspec.Struct, frozen=True):
    """One kind of activity with one item and its share of all that spoke for or against the promotion."""

    site_id: str
    item_id: str
    kind: str
    share: float
    occurred_at: datetime | None


class Explanation(msgspec.Struct, frozen=True):
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
    events: Events,
    max_carried: int,
) -> Explanation:
    """Split a promotion's score over the activity it came from, and over the signals it came by.

    The model says what each item of the history gave, cᵢ (with popularity's part they sum to the score); an
    item's part is split over the kinds of activity by their weight in its confidence. The share is cᵢ / Σ|c|;
    what spoke against the promotion, cᵢ < 0, is not told, and only the first `max_carried` are.
    """
    history = reading.history
    signals = pooled.projection.signals(bundle.model, reading, promotion_index=promotion_index, pooled=pooled)
    by_signal = _shares(signals)
    by_kind, whole = _given(signals, history)
    if whole == 0.0:
        return Explanation([], by_signal)
    # Item by item, and by kind within an item: of equal shares the first in the order of their ids is taken.
    cells, found = by_kind.ravel(order="F"), []
    most = (-cells).argsort(kind="stable")[:max_carried]
    for cell, given in zip(most.tolist(), cells.take(most).tolist(), strict=True):
        share = given * (1 / whole)
        if share <= 0.0:
            break
        place, kind = divmod(cell, len(KINDS))
        site_id, item_id = bundle.items.pair(int(history.item_index[place]))
        occurred_at = events.newest(site_id, item_id, KINDS[kind])
        found.append(Carried(site_id, item_id, KINDS[kind], share, occurred_at))
    return Explanation(found, by_signal)


def _given(signals: Sequence[Signal], history: HistoryVector) -> tuple[NDArray[np.float64], float]:
    """What each entry gave by kind of activity, float64[n_kinds, n], and Σ|c| of all entries."""
    # Signals that weigh the kinds alike are split together.
    alike: dict[int, tuple[InteractionWeights, NDArray[np.float32]]] = {}
    for signal in signals:
        key = id(signal.weights)
        given = signal.given if key not in alike else alike[key][1] + signal.given
        alike[key] = signal.weights, given
    by_item = [(history.weighed(weights), given.astype(np.float64)) for weights, given in alike.values()]
    by_kind = [weighed.by_kind * (given / np.maximum(weighed.total, _TINY)) for weighed, given in by_item]
    whole = np.add.reduce(np.abs(reduce(np.add, [given for _, given in by_item])))
    return reduce(np.add, by_kind), float(whole)


def _shares(signals: Sequence[Signal]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for signal in signals:
        totals[signal.name] = totals.get(signal.name, 0.0) + signal.total
    whole = sum(map(abs, totals.values()))
    return {name: total / whole for name, total in totals.items() if total != 0.0} if whole > 0 else {}
