"""One consumer's recent activity as a vector over known items: the way of serving.

`Interactions.row` is the way of the pipeline. Both give the same numbers, bit for bit.
"""

from array import array
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice, repeat
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.ids import ItemIds
from features.weights import FIXED_POINT_ONE, KINDS, InteractionWeights
from storage.recent import Event, Events

_KIND_INDEX = {kind: index for index, kind in enumerate(KINDS)}
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
    today = utc_day(now)
    events = _that_count(events if isinstance(events, Events) else Events.of(events), weights)
    # Every decision goes through here, event by event: what can be looked up all at once is.
    sites = map(items.columns.get, events.site_ids, repeat(_NO_ITEMS))
    found: list[int] = list(map(_LOOK_UP, sites, events.item_ids, repeat(_UNKNOWN)))
    kinds: list[int] = list(map(_KIND_INDEX.get, events.kinds, repeat(_UNKNOWN)))
    worths = _worths(events, weights, today)
    if _UNKNOWN in kinds or 0 in worths:
        found = [
            item if kind != _UNKNOWN and worth else _UNKNOWN
            for item, kind, worth in zip(found, kinds, worths, strict=True)
        ]
    item_indices = sorted({*found} - {_UNKNOWN})
    n_items = len(item_indices)
    places = dict(zip(item_indices, range(n_items), strict=True))
    sums = [0] * (len(KINDS) * n_items)
    for item, kind, worth in zip(found, kinds, worths, strict=True):
        if item != _UNKNOWN:
            sums[kind * n_items + places[item]] += worth
    # Twice as fast as to make them an array at once.
    fixed = np.frombuffer(array("q", sums), dtype=np.int64).reshape(len(KINDS), n_items)
    return HistoryVector(np.array(item_indices, dtype=np.int32), from_fixed_point(fixed))


def from_fixed_point(fixed: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sums in 1/2²⁴ as float32 of the same shape; the one place where they are rounded."""
    # A power of two: to multiply by its inverse is to divide by it.
    return (fixed * (1 / FIXED_POINT_ONE)).astype(np.float32, order="C")


def _that_count(events: Events, weights: InteractionWeights) -> Events:
    """The newest events of the three kinds, at most so many; where all fit, others may be among them."""
    if len(events) <= weights.max_events_per_consumer:
        return events
    known = (event for event in events if event[2] in _KIND_INDEX and event[1] is not None)
    return Events.of(islice(known, weights.max_events_per_consumer))


def _worths(events: Events, weights: InteractionWeights, today: int) -> Sequence[int]:
    """What each event counts by its age, in 1/2²⁴; 0 outside of the window."""
    decay, window_days = weights.decay_table, weights.window_days
    last = len(decay) - 1
    if last == 0 and window_days is None:
        return decay * len(events)
    # What comes from the database is in UTC already, and asking whether it is costs a tenth of turning it.
    ages = [
        0 if moment is None else today - (moment.toordinal() if moment.tzinfo is UTC else utc_day(moment))
        for moment in events.times
    ]
    # An event from the future has age 0.
    worths = [decay[0 if age < 0 else age if age < last else last] for age in ages]
    if window_days is None:
        return worths
    return [worth if age <= window_days else 0 for worth, age in zip(worths, ages, strict=True)]


def utc_day(moment: datetime) -> int:
    """The ordinal of a moment's day in UTC; raises ValueError for one without a zone."""
    if moment.tzinfo is None:
        raise ValueError(f"the time {moment.isoformat()} has no time zone; give an aware one")
    return moment.astimezone(UTC).toordinal()
