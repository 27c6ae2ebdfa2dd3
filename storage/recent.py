"""What one consumer did recently, column by column: as the database sends it and as a model reads it."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from storage.events import ACTIVITY_KINDS

Event = tuple[str, str | None, str, datetime | None]
"""One activity: site id, item id, kind, when it occurred."""

# PostgreSQL tells times as microseconds since 2000, in eight bytes, the greatest first.
TIME_BYTES: Final = 8
_2000: Final = datetime(2000, 1, 1, tzinfo=UTC)
_FROM_1970_TO_2000_DAYS: Final = (_2000.date() - date(1970, 1, 1)).days
_DAY_US: Final = 86_400_000_000
_INFINITY: Final = int(np.iinfo(np.int64).max)
NO_DAY: Final = _INFINITY // _DAY_US + _FROM_1970_TO_2000_DAYS
"""The day of an event without a time: later than any."""

_FIRST_DIGIT: Final = np.int8(ord("0"))
_DIGITS: Final = {kind: str(place) for place, kind in enumerate(ACTIVITY_KINDS)}

# No id has a control character in it (`storage.fields`).
BETWEEN_EVENTS: Final = "\x1f"
_WHENS: Final = " ".join(f"WHEN '{kind}' THEN '{digit}'" for kind, digit in _DIGITS.items())
KINDS_SENT: Final = f"string_agg(CASE kind {_WHENS} END, '')"
TIMES_SENT: Final = "string_agg(timestamptz_send(coalesce(occurred_at, 'infinity')), '')"
COLUMNS: Final = ", ".join(
    [
        f"string_agg(site_id, '{BETWEEN_EVENTS}')",
        f"string_agg(coalesce(item_id, ''), '{BETWEEN_EVENTS}')",
        KINDS_SENT,
        TIMES_SENT,
    ]
)
"""What a query says to get what `Events.sent` takes: a few texts, not an object a value."""


class Events(msgspec.Struct, frozen=True):
    """Activities, newest first, those without a time last; the columns are equally long.

    Attributes
    ----------
    site_ids, item_ids
        Where and with what.
    kinds
        A digit each, its place in `ACTIVITY_KINDS`.
    times
        As PostgreSQL sends them; `days_of` and iterating tell what they mean.
    """

    site_ids: Sequence[str] = ()
    item_ids: Sequence[str] = ()
    kinds: str = ""
    times: bytes = b""

    @classmethod
    def of(cls, rows: Iterable[Event]) -> Self:
        """Make it from rows; what is not of the three kinds, or of no item, is no activity."""
        known = [(site, item, _DIGITS[kind], at) for site, item, kind, at in rows if item and kind in _DIGITS]
        if not known:
            return cls()
        site_ids, item_ids, kinds, times = zip(*known, strict=True)
        sent_us = [_INFINITY if at is None else (at - _2000) // timedelta(microseconds=1) for at in times]
        return cls(site_ids, item_ids, "".join(kinds), np.array(sent_us, dtype=">i8").tobytes())

    @classmethod
    def sent(cls, site_ids: str | None, item_ids: str, kinds: str, times: bytes) -> Self:
        """Make it from what `COLUMNS` gives."""
        if site_ids is None:
            return cls()
        return cls(tuple(site_ids.split(BETWEEN_EVENTS)), tuple(item_ids.split(BETWEEN_EVENTS)), kinds, times)

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[Event]:
        kinds = (ACTIVITY_KINDS[int(digit)] for digit in self.kinds)
        times = map(self._time, range(len(self)))
        return zip(self.site_ids, self.item_ids, kinds, times, strict=True)

    def first(self, n: int) -> Self:
        """The first n of them."""
        if len(self) <= n:
            return self
        return type(self)(self.site_ids[:n], self.item_ids[:n], self.kinds[:n], self.times[: TIME_BYTES * n])

    def kind(self) -> NDArray[np.int8]:
        """Place of each kind in `ACTIVITY_KINDS`, int8[n]."""
        return places_of(self.kinds)

    def newest(self, site_id: str, item_id: str, kind: str) -> datetime | None:
        """When an activity of this kind with an item occurred last; None if it is not here or has no time."""
        place, digit = -1, _DIGITS[kind]
        while True:
            try:
                place = self.item_ids.index(item_id, place + 1)
            except ValueError:
                return None
            if self.kinds[place] == digit and self.site_ids[place] == site_id:
                return self._time(place)

    def _time(self, place: int) -> datetime | None:
        since_2000_us = int.from_bytes(
            self.times[TIME_BYTES * place : TIME_BYTES * (place + 1)], "big", signed=True
        )
        return None if since_2000_us == _INFINITY else _2000 + timedelta(microseconds=since_2000_us)


def places_of(kinds: str) -> NDArray[np.int8]:
    """Place in `ACTIVITY_KINDS` of each digit, int8[n]."""
    return np.frombuffer(kinds.encode(), dtype=np.int8) - _FIRST_DIGIT


def days_of(times: bytes) -> NDArray[np.int64]:
    """UTC days since 1970 of times as PostgreSQL sends them, int64[n]; `NO_DAY` for infinity."""
    return np.frombuffer(times, dtype=">i8") // _DAY_US + _FROM_1970_TO_2000_DAYS
