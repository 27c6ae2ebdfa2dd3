"""How the scores of the items that a promotion covers become one score.

It decides everything (docs/adr, pooling): a plain mean ranks little better than chance.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidModel

PoolingKind = Literal["sum", "sum_over_sqrt", "max", "top_mean"]


@dataclass(frozen=True, slots=True)
class Pooling:
    """How the scores of the n covered items become one score.

    Parameters
    ----------
    kind : {"sum", "sum_over_sqrt", "max", "top_mean"}
        Σ s; Σ s / √n; the best s; the sum of the `top` best s by `top`, so that a promotion that covers
        fewer has zeros for the rest.
    top : int
        For "top_mean".
    overlap : float
        Added for the consumer's own activity: overlap · Σ of their confidence r in covered items.
    """

    kind: PoolingKind = "top_mean"
    top: int = 5
    overlap: float = 0.2

    def __post_init__(self) -> None:
        if self.kind not in get_args(PoolingKind):
            raise InvalidModel(f"pooling {self.kind!r}; known: {', '.join(get_args(PoolingKind))}")
        if isinstance(self.top, bool) or not isinstance(self.top, int) or self.top < 1:
            raise InvalidModel(f"top={self.top!r}: give a whole number of 1 or more")
        if isinstance(self.overlap, bool) or not (
            isinstance(self.overlap, int | float) and 0 <= self.overlap < np.inf
        ):
            raise InvalidModel(f"overlap={self.overlap!r}: give a finite number of 0 or more")

    def to_json(self) -> dict[str, Any]:
        """The pooling as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        known = {field.name for field in fields(cls)}
        if set(values) != known:
            raise InvalidModel(f"pooling has {sorted(values)}; expected {sorted(known)}")
        return cls(**values)


class TopSums:
    """Sums of the best few values of each row of a ragged table, without a sort a row.

    Rows of about the same length (up to the next power of two) are laid side by side, so that numpy works on
    all of them at once.

    Parameters
    ----------
    indptr : int[n_rows + 1]
        Where each row's columns start.
    indices : int[n_cells]
        The columns.
    n_columns : int
        Length of the values.
    top : int
        How many to sum.
    """

    _NARROW = 32

    def __init__(
        self, indptr: NDArray[np.intp], indices: NDArray[np.intp], *, n_columns: int, top: int
    ) -> None:
        self._n_columns = n_columns
        self._top = top
        self._n_rows = len(indptr) - 1
        self._blocks: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
        sizes = np.diff(indptr)
        widths = 1 << np.ceil(np.log2(np.maximum(sizes, 1))).astype(np.intp)
        for width in np.unique(widths[sizes > 0]).tolist():
            rows = np.flatnonzero((widths == width) & (sizes > 0))
            places = indptr[rows] + np.arange(width)[:, np.newaxis]
            inside = places < indptr[rows + 1]
            # Column n_columns is the filler that never wins.
            columns = np.where(inside, indices[np.where(inside, places, 0)], n_columns).astype(np.intp)
            self._blocks.append((rows, columns))

    def sums(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sum of each row's `top` greatest values (all, if fewer), float32[n_columns] → float32[n_rows]."""
        padded = np.append(values, np.float32(-np.inf))
        result = np.zeros(self._n_rows, dtype=np.float32)
        for rows, columns in self._blocks:
            cells = padded.take(columns)
            best = self._best_of_narrow(cells) if len(cells) <= self._NARROW else self._best_of_wide(cells)
            result[rows] = np.where(np.isneginf(best), np.float32(0), best).sum(axis=0)
        return result

    def _best_of_wide(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        first = max(len(cells) - self._top, 0)
        return np.sort(np.partition(cells, first, axis=0)[first:], axis=0)[::-1]

    def _best_of_narrow(self, cells: NDArray[np.float32]) -> NDArray[np.float32]:
        # Insert each line into the best so far: five passes of min and max beat a sort of every column.
        best: list[NDArray[np.float32]] = []
        for line in cells:
            left = line
            for place, kept in enumerate(best):
                best[place], left = np.maximum(kept, left), np.minimum(kept, left)
            if len(best) < self._top:
                best.append(left)
        return np.array(best)
