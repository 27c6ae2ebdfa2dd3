"""One consumer's recent activity as a vector over known items: the way of serving.

`Interactions.row` is the way of the pipeline. Both give the same numbers, bit for bit.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from features.ids import ItemIds
from features.weights import FIXED_POINT_ONE, KINDS, InteractionWeights

_KIND_INDEX = {kind: index for index, kind in enumerate(KINDS)}


Event = tuple[str, str | None, str, datetime | None]
"""One activity: site id, item id, kind, when it occurred."""


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
    _confidence: dict[tuple[float, ...], NDArray[np.float32]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.item_index)

    def __repr__(self) -> str:
        return f"HistoryVector({len(self)} items)"

    def confidence(self, weights: InteractionWeights) -> NDArray[np.float32]:
        """One confidence r ≥ 0 per item, float32[n]; not to be written to."""
        # A decision asks several times: for the scores, for the consumer's own activity, for the reasons.
        key = (weights.page_view, weights.product_review, weights.purchase)
        if key not in self._confidence:
            self._confidence[key] = combine_kinds(self.by_kind, weights)
        return self._confidence[key]


def combine_kinds(by_kind: NDArray[np.float32], weights: InteractionWeights) -> NDArray[np.float32]:
    """Weigh the kinds into one confidence, float32[n_kinds, n] → float32[n], always in the same order."""
    # Summed row by row, whatever the length: the same bits for one history and for a whole matrix.
    total: NDArray[np.float64] = np.add.reduce(weights.by_kind[:, np.newaxis] * by_kind, axis=0)
    return total.astype(np.float32)


def history_vector(
    events: Iterable[Event], items: ItemIds, weights: InteractionWeights, *, now: datetime
) -> HistoryVector:
    """Make the vector of one consumer from their newest events.

    Parameters
    ----------
    events : iterable of (site id, item id, kind, occurred at)
        Newest first (events without a time last), as storage reads them; only the first
        `weights.max_events_per_consumer` of the three kinds of activity count.
    items : ItemIds
        The items known to the model; activity on others is left out.
    now : datetime
        An aware time; the age of an event is the number of UTC midnights since it.
    """
    # Every decision goes through here, event by event: what can be looked up once is.
    decay, last, n_kinds = weights.decay_table, len(weights.decay_table) - 1, len(KINDS)
    longest_days = math.inf if weights.window_days is None else weights.window_days
    columns, today = items.columns, _utc_day(now)
    sums: dict[int, list[int]] = {}
    left = weights.max_events_per_consumer
    for site_id, item_id, kind, occurred_at in events:
        kind_index = _KIND_INDEX.get(kind)
        if kind_index is None or item_id is None:
            continue
        if left == 0:
            break
        left -= 1
        site = columns.get(site_id)
        item_index = None if site is None else site.get(item_id)
        if item_index is None:
            continue
        age_days = 0 if occurred_at is None else today - _utc_day(occurred_at)
        if age_days > longest_days:
            continue
        if worth := decay[last if age_days > last else age_days if age_days > 0 else 0]:
            mine = sums.get(item_index)
            if mine is None:
                sums[item_index] = mine = [0] * n_kinds
            mine[kind_index] += worth
    item_indices = sorted(sums)
    fixed = np.array([worth for item in item_indices for worth in sums[item]], dtype=np.int64)
    by_kind = from_fixed_point(fixed.reshape(-1, n_kinds).T)
    return HistoryVector(np.array(item_indices, dtype=np.int32), by_kind)


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
