"""One consumer's recent activity as a vector over known items: the way of serving.

`Interactions.row` is the way of the pipeline. Both give the same numbers, bit for bit.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.distinct import distinct
from features.ids import ItemIds
from features.weights import FIXED_POINT_ONE, KINDS, InteractionWeights
from storage.recent import TIME_BYTES, Event, Events, days_of

_1970 = date(1970, 1, 1).toordinal()
_NO_ITEMS: dict[str, int] = {}
_UNKNOWN = -1
_LOOK_UP: Any = dict.get


class Weighed(msgspec.Struct, frozen=True, eq=False):
    """A history as one weighing of the kinds sees it; not to be written to.

    Attributes
    ----------
    by_kind : float64[n_kinds, n]
        Each kind's part in the confidence.
    total : float64[n]
        Their sum, r ≥ 0.
    confidence : float32[n]
        The same, as models take it.
    """

    by_kind: NDArray[np.float64]
    total: NDArray[np.float64]
    confidence: NDArray[np.float32]


class HistoryVector(msgspec.Struct, frozen=True, eq=False):
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
    _weighed: dict[tuple[float, ...], Weighed] = {}

    def __len__(self) -> int:
        return len(self.item_index)

    def __repr__(self) -> str:
        return f"HistoryVector({len(self)} items)"

    def weighed(self, weights: InteractionWeights) -> Weighed:
        """What these weights make of it."""
        # A decision asks several times: for the scores, for the consumer's own activity, for the reasons.
        key = (weights.page_view, weights.product_review, weights.purchase)
        found = self._weighed.get(key)
        if found is None:
            found = self._weighed[key] = weigh(self.by_kind, weights)
        return found

    def confidence(self, weights: InteractionWeights) -> NDArray[np.float32]:
        """One confidence r ≥ 0 per item, float32[n]; not to be written to."""
        return self.weighed(weights).confidence


def weigh(by_kind: NDArray[np.float32], weights: InteractionWeights) -> Weighed:
    """Weigh the kinds and sum them up, float32[n_kinds, n], always in the same order."""
    # Summed row by row, whatever the length: the same bits for one history and for a whole matrix.
    parts = weights.by_kind[:, np.newaxis] * by_kind
    total: NDArray[np.float64] = np.add.reduce(parts, axis=0)
    return Weighed(parts, total, total.astype(np.float32))


def history_vector(
    events: Events | Iterable[Event], items: ItemIds, weights: InteractionWeights, *, now: datetime
) -> HistoryVector:
    """Make the vector of one consumer from their newest events.

    Parameters
    ----------
    events : Events, or iterable of (site id, item id, kind, occurred at)
        Newest first (events without a time last), as storage reads them; only the first
        `weights.max_events_per_consumer` of the three kinds of activity count.
    items : ItemIds
        The items known to the model; activity on others is left out.
    now : datetime
        An aware time; the age of an event is the number of UTC midnights since it.
    """
    events = events if isinstance(events, Events) else Events.of(events)
    events = events.first(weights.max_events_per_consumer)
    # Every decision goes through here, event by event: what can be looked up all at once is.
    sites = map(items.columns.get, events.site_ids, repeat(_NO_ITEMS))
    columns = list(map(_LOOK_UP, sites, events.item_ids, repeat(_UNKNOWN)))
    item, kind = np.array(columns, dtype=np.int64), events.kind()
    worth = worths_of(events.times, weights, now=now)
    if _UNKNOWN in columns or not worth.all():
        counts = (item != _UNKNOWN) & (worth > 0)
        item, kind, worth = item[counts], kind[counts], worth[counts]
    item_index = distinct(item)
    place = item_index.searchsorted(item)
    n_items = len(item_index)
    # Whole numbers below 2⁵³: as exact as if they were summed as integers.
    fixed = np.bincount(kind * np.int64(n_items) + place, weights=worth, minlength=len(KINDS) * n_items)
    return HistoryVector(item_index.astype(np.int32), from_fixed_point(fixed.reshape(len(KINDS), n_items)))


def from_fixed_point(fixed: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Sums in 1/2²⁴, whole numbers, as float32 of the same shape; the one place where they are rounded."""
    # A power of two: to multiply by its inverse is to divide by it.
    return (fixed * (1 / FIXED_POINT_ONE)).astype(np.float32, order="C")


def worths_of(times: bytes, weights: InteractionWeights, *, now: datetime) -> NDArray[np.int64]:
    """What each event counts by its age, in 1/2²⁴; 0 outside of the window.

    Parameters
    ----------
    times : bytes
        As PostgreSQL sends them: see `storage.recent.days_of`.
    now : datetime
        An aware time.
    """
    decay, today = weights.decay_table, _utc_day(now)
    if len(decay) == 1 and weights.window_days is None:
        return decay.repeat(len(times) // TIME_BYTES)
    age = today - days_of(times)
    # What is from the future or has no time, below 0, has the age 0.
    worth = decay.take(age, mode="clip")
    return worth if weights.window_days is None else np.where(age <= weights.window_days, worth, 0)


def _utc_day(moment: datetime) -> int:
    """Days from 1970 to a moment's day in UTC; raises ValueError for a moment without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no time zone; give an aware one")
    return moment.astimezone(UTC).toordinal() - _1970
