"""How much one event counts: by its kind, by its age, and which events count at all."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from features.errors import InvalidWeights
from storage.events import ACTIVITY_KINDS

KINDS = ACTIVITY_KINDS
"""The kinds of activity, in the order of every array that has one row a kind."""

FIXED_POINT_ONE = 1 << 24
"""What one fresh event counts in the integers that are summed."""

_LONGEST_DECAY_DAYS = 40_000
_HALF_LIVES_TO_NOTHING = 26
_GREATEST = 10**9


@dataclass(frozen=True, slots=True)
class InteractionWeights:
    """From events to one confidence r ≥ 0 per (consumer, item).

    r = Σ over kinds of weight(kind) · Σ over events of 2^(−age_days / half_life_days)

    An age is counted in UTC calendar days from the event's day to the day of `as_of`; an event from the
    future has age 0 and an event without a time does not decay. The decay is rounded to 1/2²⁴ and summed in
    integers, so that neither the order of the rows nor the engine changes a bit.

    Parameters
    ----------
    page_view, product_review, purchase : float
        What one fresh event of the kind counts; 0 leaves the kind out of the confidence.
    half_life_days : float or None
        Days after which an event counts half. None: no decay.
    window_days : int or None
        Events older than this many days are left out. None: all ages.
    min_item_consumers : int
        An item seen by fewer consumers is unknown to the model.
    min_consumer_items : int
        A consumer with fewer items is not learned from (and is served all the same).
    max_events_per_consumer : int
        Only a consumer's newest events count, ordered by time (newest first, events without a time last),
        then site id and event id.
    """

    page_view: float = 0.25
    product_review: float = 0.5
    purchase: float = 1.0
    half_life_days: float | None = None
    window_days: int | None = None
    min_item_consumers: int = 1
    min_consumer_items: int = 1
    max_events_per_consumer: int = 500

    def __post_init__(self) -> None:
        for kind in KINDS:
            if not 0 <= getattr(self, kind) <= _GREATEST:
                raise InvalidWeights(f"{kind}={getattr(self, kind)!r}: give a weight from 0 to {_GREATEST:g}")
        if not any(getattr(self, kind) > 0 for kind in KINDS):
            raise InvalidWeights(f"every kind has weight 0; give one of {', '.join(KINDS)} a weight above 0")
        if self.half_life_days is not None and not 0 < self.half_life_days <= _GREATEST:
            raise InvalidWeights(f"half_life_days={self.half_life_days!r}: give days above 0, or None")
        if self.window_days is not None and not 0 <= self.window_days <= _GREATEST:
            raise InvalidWeights(f"window_days={self.window_days!r}: give 0 days or more, or None")
        for name in ("min_item_consumers", "min_consumer_items", "max_events_per_consumer"):
            if not 1 <= getattr(self, name) <= _GREATEST:
                raise InvalidWeights(f"{name}={getattr(self, name)!r}: give 1 or more")

    @property
    def by_kind(self) -> NDArray[np.float64]:
        """Weight of each kind, float64[n_kinds] in the order of `KINDS`."""
        return _by_kind(self.page_view, self.product_review, self.purchase)

    @property
    def decay_table(self) -> NDArray[np.int64]:
        """What an event of each age in days counts, in 1/2²⁴, int64[n_days]; older ones as the last entry."""
        return _decay_table(self.half_life_days)

    def to_json(self) -> dict[str, Any]:
        """The weights as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; a name or a type it does not know is refused."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(values) - known):
            raise InvalidWeights(f"unknown weights {unknown}; known: {', '.join(sorted(known))}")
        for name, value in values.items():
            optional = name in ("half_life_days", "window_days")
            whole = name.startswith(("min_", "max_", "window_"))
            kinds = int if whole else (int, float)
            if isinstance(value, bool) or not (isinstance(value, kinds) or (optional and value is None)):
                raise InvalidWeights(f"{name}={value!r}: give a {'whole ' if whole else ''}number")
        return cls(**values)


@lru_cache(maxsize=64)
def _by_kind(*weights: float) -> NDArray[np.float64]:
    by_kind = np.array(weights, dtype=np.float64)
    by_kind.flags.writeable = False
    return by_kind


@lru_cache(maxsize=64)
def _decay_table(half_life_days: float | None) -> NDArray[np.int64]:
    n_days = 1
    if half_life_days is not None:
        n_days = min(math.ceil(_HALF_LIVES_TO_NOTHING * half_life_days) + 1, _LONGEST_DECAY_DAYS)
    worth = FIXED_POINT_ONE * np.exp2(-np.arange(n_days, dtype=np.float64) / (half_life_days or 1.0))
    decay: NDArray[np.int64] = np.rint(worth).astype(np.int64)
    decay.flags.writeable = False
    return decay
