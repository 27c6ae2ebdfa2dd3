"""One consumer's recent activity as a vector over known items: the way of serving.

`Interactions.row` is the way of the pipeline. Both give the same numbers, bit for bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.ids import ItemIds
from features.weights import FIXED_POINT_ONE, KINDS, InteractionWeights

_KIND_INDEX = {kind: index for index, kind in enumerate(KINDS)}


class Event(Protocol):
    """What an event must tell to count."""

    @property
    def site_id(self) -> str: ...
    @property
    def item_id(self) -> str | None: ...
    @property
    def kind(self) -> str: ...
    @property
    def occurred_at(self) -> datetime | None: ...


@dataclass(frozen=True, eq=False, slots=True)
class HistoryVector:
    """What one consumer did, by item and kind.

    Attributes
    ----------
    item_index : int32[n]
        Known items with activity, ascending and unique.
    by_kind : float32[n_kinds, n]
        Decayed number of events of each kind on each of these items.
    """

    item_index: NDArray[np.int32]
    by_kind: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.item_index)

    def __repr__(self) -> str:
        return f"HistoryVector({len(self)} items)"

    def confidence(self, weights: InteractionWeights) -> NDArray[np.float32]:
        """One confidence r ≥ 0 per item, float32[n]."""
        return combine_kinds(self.by_kind, weights)


def combine_kinds(by_kind: NDArray[np.float32], weights: InteractionWeights) -> NDArray[np.float32]:
    """Weigh the kinds into one confidence, float32[n_kinds, n] → float32[n], always in the same order."""
    total = np.zeros(by_kind.shape[1], dtype=np.float64)
    for kind, weight in enumerate(weights.by_kind):
        total += weight * by_kind[kind].astype(np.float64)
    return total.astype(np.float32)


def history_vector(
    events: Iterable[Event], items: ItemIds, weights: InteractionWeights, *, now: datetime
) -> HistoryVector:
    """Make the vector of one consumer from their newest events.

    Parameters
    ----------
    events : iterable of Event
        Newest first (events without a time last), as storage reads them; only the first
        `weights.max_events_per_consumer` of the three kinds of activity count.
    items : ItemIds
        The items known to the model; activity on others is left out.
    now : datetime
        An aware time; the age of an event is the number of UTC midnights since it.
    """
    decay = weights.decay_table
    today = _utc_day(now)
    sums: dict[int, list[int]] = {}
    left = weights.max_events_per_consumer
    for event in events:
        kind = _KIND_INDEX.get(event.kind)
        if kind is None or event.item_id is None:
            continue
        if left == 0:
            break
        left -= 1
        age_days = 0 if event.occurred_at is None else max(0, today - _utc_day(event.occurred_at))
        if weights.window_days is not None and age_days > weights.window_days:
            continue
        item_index = items.index(event.site_id, event.item_id)
        worth = decay[min(age_days, len(decay) - 1)]
        if item_index is not None and worth > 0:
            sums.setdefault(item_index, [0] * len(KINDS))[kind] += worth
    item_indices = sorted(sums)
    fixed = np.array([sums[index] for index in item_indices], dtype=np.int64).reshape(-1, len(KINDS))
    return HistoryVector(item_index=np.array(item_indices, dtype=np.int32), by_kind=from_fixed_point(fixed.T))


def from_fixed_point(fixed: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sums in 1/2²⁴ as float32 of the same shape; the one place where they are rounded."""
    return np.ascontiguousarray((fixed.astype(np.float64) / FIXED_POINT_ONE).astype(np.float32))


def _utc_day(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no time zone; give an aware one")
    return moment.astimezone(UTC).toordinal()
