"""Which activity carried a score: exact, from the model's own arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from features.history import Event, HistoryVector
from features.weights import KINDS
from models.bundle import Bundle
from models.projection import PooledScores, Signal


@dataclass(frozen=True, slots=True)
class Carried:
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
    history: HistoryVector,
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
    signals = pooled.projection.signals(
        bundle.model, history, promotion_index=promotion_index, item_scores=pooled.item_scores
    )
    given = np.zeros(history.by_kind.shape)
    for signal in signals:
        if signal.given.any():
            given += _by_kind(signal, history)
    total = float(np.abs(given.sum(axis=0)).sum())
    by_signal = _shares(signals)
    if total == 0.0:
        return Explanation([], by_signal)
    # Item by item, and by kind within an item: a stable sort leaves equal shares in the order of their ids.
    shares = (given / total).T.ravel()
    order = np.argsort(-shares, kind="stable")[:max_carried]
    newest = _newest(events) if order.size else {}
    found = []
    for one in order[shares[order] > 0.0].tolist():
        place, kind = divmod(one, len(KINDS))
        site_id, item_id = bundle.items.pair(int(history.item_index[place]))
        occurred_at = newest.get((site_id, item_id, KINDS[kind]))
        found.append(Carried(site_id, item_id, KINDS[kind], float(shares[one]), occurred_at))
    return Explanation(found, by_signal)


def _by_kind(signal: Signal, history: HistoryVector) -> NDArray[np.float64]:
    """What each kind of activity with each item gave by way of a signal, float64[n_kinds, n]."""
    weighted = signal.weights.by_kind[:, None] * history.by_kind
    parts = weighted / np.maximum(weighted.sum(axis=0), np.finfo(np.float64).tiny)
    return np.asarray(signal.given.astype(np.float64) * parts)


def _shares(signals: Sequence[Signal]) -> dict[str, float]:
    totals: dict[str, float] = {}
    for signal in signals:
        totals[signal.name] = totals.get(signal.name, 0.0) + signal.total
    whole = sum(map(abs, totals.values()))
    return {name: total / whole for name, total in totals.items() if total != 0.0} if whole > 0 else {}


def _newest(events: Sequence[Event]) -> dict[tuple[str, str | None, str], datetime | None]:
    newest: dict[tuple[str, str | None, str], datetime | None] = {}
    for event in events:  # newest first
        newest.setdefault((event.site_id, event.item_id, event.kind), event.occurred_at)
    return newest
