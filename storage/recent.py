"""What one consumer did recently, column by column: as the database sends it and as a model reads it."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Self

import msgspec

Event = tuple[str, str | None, str, datetime | None]
"""One activity: site id, item id, kind, when it occurred."""


class Events(msgspec.Struct, frozen=True):
    """Activities, newest first, those without a time last; the columns are equally long."""

    site_ids: Sequence[str] = ()
    item_ids: Sequence[str | None] = ()
    kinds: Sequence[str] = ()
    times: Sequence[datetime | None] = ()

    @classmethod
    def of(cls, rows: Iterable[Event]) -> Self:
        """Make it from rows."""
        return cls(*zip(*rows, strict=True))

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[Event]:
        return zip(self.site_ids, self.item_ids, self.kinds, self.times, strict=True)

    def first(self, n: int) -> Self:
        """The first n of them."""
        return type(self)(self.site_ids[:n], self.item_ids[:n], self.kinds[:n], self.times[:n])

    def newest(self, site_id: str, item_id: str, kind: str) -> datetime | None:
        """When an activity of this kind with an item occurred last; None if it is not here or has no time."""
        place = -1
        while True:
            try:
                place = self.item_ids.index(item_id, place + 1)
            except ValueError:
                return None
            if self.kinds[place] == kind and self.site_ids[place] == site_id:
                return self.times[place]
