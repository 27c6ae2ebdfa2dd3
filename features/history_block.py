"""Many consumers' recent activity as vectors over known items, made together: the way of a whole block.

`features.history.history_vector` makes one of them. Both give the same numbers, bit for bit.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.history import HistoryVector, from_fixed_point, weigh, worths_of
from features.ids import ItemIds
from features.weights import KINDS, InteractionWeights
from storage.everyone import EventBlock


class HistoryBlock(msgspec.Struct, frozen=True, eq=False):
    """What several consumers did, by item and kind: one history after the other.

    Attributes
    ----------
    indptr : int64[n_rows + 1]
        Where each history begins.
    item_index : int32[n]
        Known items with activity, ascending and unique within a history.
    by_kind : float32[n_kinds, n]
        Decayed number of events of each kind on each of these items.
    """

    indptr: NDArray[np.int64]
    item_index: NDArray[np.int32]
    by_kind: NDArray[np.float32]

    @classmethod
    def of(cls, histories: Sequence[HistoryVector]) -> Self:
        """Put one or more histories one after the other."""
        return cls(
            np.cumsum([0, *map(len, histories)], dtype=np.int64),
            np.concatenate([one.item_index for one in histories]),
            np.concatenate([one.by_kind for one in histories], axis=1),
        )

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __repr__(self) -> str:
        return f"HistoryBlock({len(self)} histories, {len(self.item_index)} items)"

    def __getitem__(self, row: int) -> HistoryVector:
        cells = slice(*self.indptr[row : row + 2].tolist())
        return HistoryVector(self.item_index[cells], self.by_kind[:, cells])

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Items of each history, int64[n_rows]."""
        return np.diff(self.indptr)

    def rows(self) -> NDArray[np.intp]:
        """The history that each cell belongs to, intp[n], ascending."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def confidence(self, weights: InteractionWeights) -> NDArray[np.float32]:
        """One confidence r ≥ 0 per cell, float32[n]."""
        return weigh(self.by_kind, weights).confidence

    def take(self, rows: NDArray[np.bool_]) -> "HistoryBlock":
        """Some of the histories, bool[n_rows]; itself if it is all of them."""
        if rows.all():
            return self
        return self.cells(rows.repeat(self.sizes), rows)

    def cells(self, kept: NDArray[np.bool_], rows: NDArray[np.bool_] | None = None) -> "HistoryBlock":
        """Some of the cells, bool[n], of all histories or of some, bool[n_rows]."""
        sizes = np.bincount(self.rows()[kept], minlength=len(self))
        indptr = np.concatenate([[0], np.cumsum(sizes if rows is None else sizes[rows])])
        return HistoryBlock(indptr.astype(np.int64), self.item_index[kept], self.by_kind[:, kept])


def history_block(
    events: EventBlock, items: ItemIds, weights: InteractionWeights, *, now: datetime
) -> HistoryBlock:
    """Make the vectors of several consumers from their newest events.

    Parameters
    ----------
    events : EventBlock
        As storage reads them: at most `weights.max_events_per_consumer` of each consumer.
    items : ItemIds
        The items known to the model; activity on others is left out.
    now : datetime
        An aware time; the age of an event is the number of UTC midnights since it.
    """
    columns, nothing = items.columns, dict[str, int]()
    column = [columns.get(site, nothing).get(item, -1) for site, item in events.items]
    found = np.array(column, dtype=np.int64).take(events.item)
    worth = worths_of(events.times, weights, now=now)
    row = np.repeat(np.arange(len(events.indptr) - 1), np.diff(events.indptr))
    counts = (found >= 0) & (worth > 0)
    if not counts.all():
        found, worth, row, kind = found[counts], worth[counts], row[counts], events.kind[counts]
    else:
        kind = events.kind
    # One number a cell, in the order of the rows and of the items within them.
    number = row * np.int64(max(len(items), 1)) + found
    cells, place = np.unique(number, return_inverse=True)
    # Whole numbers below 2⁵³: as exact as if they were summed as integers.
    sums = np.bincount(kind * np.int64(len(cells)) + place, weights=worth, minlength=len(KINDS) * len(cells))
    cell_row, item_index = np.divmod(cells, max(len(items), 1))
    sizes = np.bincount(cell_row, minlength=len(events.indptr) - 1)
    return HistoryBlock(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        item_index.astype(np.int32),
        from_fixed_point(sums.reshape(len(KINDS), len(cells))),
    )
