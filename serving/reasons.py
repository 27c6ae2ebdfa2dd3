"""Which activity carried a score: exact, from the model's own arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from features.history import Event, HistoryVector
from features.weights import KINDS
from models.bundle import Bundle
from models.projection import PooledScores


@dataclass(frozen=True, slots=True)
class Carried:
    """One kind of activity with one item and its share of all that spoke for or against the promotion."""

    site_id: str
    item_id: str
    kind: str
    share: float
    occurred_at: datetime | None


def explain(
    bundle: Bundle,
    history: HistoryVector,
    *,
    pooled: PooledScores,
    promotion_index: int,
    events: Sequence[Event],
) -> list[Carried]:
    """Split a promotion's score over the activity it came from; what carried most comes first.

    The model says what each item of the history gave, cᵢ (with the items' prior they sum to the score); an
    item's part is split over the kinds of activity by their weight in its confidence. The share is cᵢ / Σ|c|;
    what spoke against the promotion, cᵢ < 0, is not told.
    """
    given = pooled.projection.explain(
        bundle.model, history, promotion_index=promotion_index, item_scores=pooled.item_scores
    )
    contributions = given.astype(np.float64)
    total = float(np.abs(contributions).sum())
    if total == 0.0:
        return []
    weighted = bundle.weights.by_kind[:, None] * history.by_kind
    parts = weighted / np.maximum(weighted.sum(axis=0), np.finfo(np.float64).tiny)
    shares = contributions * parts / total
    newest = _newest(events)
    kinds, places = np.nonzero(shares > 0.0)
    found = []
    for kind, place in zip(kinds.tolist(), places.tolist(), strict=True):
        site_id, item_id = bundle.items.pair(int(history.item_index[place]))
        found.append(
            Carried(
                site_id,
                item_id,
                KINDS[kind],
                float(shares[kind, place]),
                newest.get((site_id, item_id, KINDS[kind])),
            )
        )
    return sorted(found, key=lambda one: (-one.share, one.site_id, one.item_id, one.kind))


def _newest(events: Sequence[Event]) -> dict[tuple[str, str | None, str], datetime | None]:
    newest: dict[tuple[str, str | None, str], datetime | None] = {}
    for event in events:  # newest first
        newest.setdefault((event.site_id, event.item_id, event.kind), event.occurred_at)
    return newest
