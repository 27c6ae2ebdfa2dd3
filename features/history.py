"""One consumer's recent activity as a vector over known items: the way of serving.

`Interactions.row` is the way of the pipeline. Both give the same numbers, bit for bit.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.ids import ItemIds
from features.weights import FIXED_POINT_ONE, KINDS, InteractionWeights

_EVERY_KIND = range(len(KINDS))
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
    # Summed row by row, whatever the length: the same bits for one history and for a whole matrix.
    return np.add.reduce(weights.by_kind[:, np.newaxis] * by_kind, axis=0).astype(np.float32)


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
    # Every decision goes through here, event by event: what can be looked up once is.
    decay, last = weights.decay_table, len(weights.decay_table) - 1
    longest_days = math.inf if weights.window_days is None else weights.window_days
    index, today = items.index, _utc_day(now)
    sums: dict[int, list[int]] = {}
    left = weights.max_events_per_consumer
    for event in events:
        kind = _KIND_INDEX.get(event.kind)
        item_id = event.item_id
        if kind is None or item_id is None:
            continue
        if left == 0:
            break
        left -= 1
        item_index = index(event.site_id, item_id)
        if item_index is None:
            continue
        moment = event.occurred_at
        age_days = 0 if moment is None else today - _utc_day(moment)
        if age_days > longest_days:
            continue
        worth = decay[last if age_days > last else age_days if age_days > 0 else 0]
        if worth == 0:
            continue
        if item_index in sums:
            sums[item_index][kind] += worth
        else:
            sums[item_index] = [worth if one == kind else 0 for one in _EVERY_KIND]
    item_indices = sorted(sums)
    fixed = np.array([sums[index] for index in item_indices], dtype=np.int64).reshape(-1, len(KINDS))
    return HistoryVector(item_index=np.array(item_indices, dtype=np.int32), by_kind=from_fixed_point(fixed.T))


def from_fixed_point(fixed: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sums in 1/2²⁴ as float32 of the same shape; the one place where they are rounded."""
    return np.ascontiguousarray((fixed.astype(np.float64) / FIXED_POINT_ONE).astype(np.float32))


def _utc_day(moment: datetime) -> int:
    # What comes from the database is in UTC already, and asking whether it is costs a tenth of turning it.
    if moment.tzinfo is UTC:
        return moment.toordinal()
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no time zone; give an aware one")
    return moment.astimezone(UTC).toordinal()
