"""Activity becomes one sparse consumer-item matrix a kind, over the same two id maps."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from features.errors import NoInteractions
from features.history import HistoryVector, from_fixed_point, weigh
from features.ids import ConsumerIds, ItemIds
from features.weights import KINDS, InteractionWeights

if TYPE_CHECKING:
    from features.cells import Cells


class ActivitySource(Protocol):
    """Something that holds activity as a Parquet file, such as a snapshot."""

    @property
    def activity(self) -> Path: ...
    @property
    def as_of(self) -> datetime: ...


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who did what with which item: one CSR matrix a kind over the same two id maps.

    Attributes
    ----------
    consumers : ConsumerIds
        Rows.
    items : ItemIds
        Columns: (site, item).
    by_kind : mapping of kind to csr float32[n_consumers, n_items]
        Decayed number of events, without explicit zeros, indices sorted.
    as_of : datetime or None
        The day from which ages are counted; None when no event has a time.
    weights : InteractionWeights
        How the events were counted and how the kinds become one confidence.
    """

    consumers: ConsumerIds
    items: ItemIds
    by_kind: Mapping[str, sparse.csr_matrix]
    as_of: datetime | None
    weights: InteractionWeights

    def __repr__(self) -> str:
        cells = ", ".join(f"{kind} {matrix.nnz}" for kind, matrix in self.by_kind.items())
        return f"Interactions({len(self.consumers)} consumers × {len(self.items)} items; cells: {cells})"

    def row(self, consumer_index: int) -> HistoryVector:
        """One consumer's row, as `history_vector` makes it from the events."""
        rows = [self.by_kind[kind][consumer_index] for kind in KINDS]
        item_index = np.unique(np.concatenate([row.indices for row in rows])).astype(np.int32)
        by_kind = np.zeros((len(KINDS), len(item_index)), dtype=np.float32)
        for kind, row in enumerate(rows):
            by_kind[kind, np.searchsorted(item_index, row.indices)] = row.data
        return HistoryVector(item_index=item_index, by_kind=by_kind)

    @cached_property
    def history_lengths(self) -> NDArray[np.int32]:
        """Items with any activity of each consumer, int32[n_consumers]."""
        together = sparse.csr_matrix(sum(self.by_kind[kind] for kind in KINDS))
        return np.asarray(np.diff(together.indptr), dtype=np.int32)

    def confidence(self) -> sparse.csr_matrix:
        """The kinds weighed into one confidence r > 0, csr float32[n_consumers, n_items]."""
        n_items = len(self.items)
        cells = [matrix.tocoo() for matrix in (self.by_kind[kind] for kind in KINDS)]
        # One number a cell, ascending in row order: where a kind's cells lie among those of all kinds.
        numbers = [matrix.row.astype(np.int64) * n_items + matrix.col for matrix in cells]
        # Each kind's are sorted: a stable sort only merges them, many times as fast as `np.unique` does it.
        merged = np.sort(np.concatenate(numbers), kind="stable")
        union = merged[np.diff(merged, prepend=-1) > 0]
        by_kind = np.zeros((len(KINDS), len(union)), dtype=np.float32)
        for kind, (matrix, number) in enumerate(zip(cells, numbers, strict=True)):
            by_kind[kind, np.searchsorted(union, number)] = matrix.data
        confidence = weigh(by_kind, self.weights).confidence
        kept = confidence > 0
        row, column = np.divmod(union[kept], n_items)
        return sparse.csr_matrix((confidence[kept], (row, column)), shape=(len(self.consumers), n_items))

    @cached_property
    def digest(self) -> str:
        """sha256 of everything that a model learns from, as hex."""
        digest = hashlib.sha256()
        as_of = None if self.as_of is None else self.as_of.isoformat()
        head = {"weights": self.weights.to_json(), "as_of": as_of, "items": self.items.to_json()}
        digest.update(json.dumps([head, list(self.consumers)], sort_keys=True).encode())
        for kind in KINDS:
            matrix = self.by_kind[kind]
            for part, dtype in ((matrix.indptr, "<i8"), (matrix.indices, "<i4"), (matrix.data, "<f4")):
                digest.update(np.ascontiguousarray(part, dtype=dtype).tobytes())
        return digest.hexdigest()


def build_interactions(
    source: Path | pa.Table | ActivitySource,
    weights: InteractionWeights | None = None,
    *,
    as_of: datetime | None = None,
) -> Interactions:
    """Turn activity into the matrices that models learn from. Same input, same matrices, bit for bit.

    Parameters
    ----------
    source : Path, pyarrow.Table or snapshot
        Activity with the columns consumer_id, site_id, item_id, kind and perhaps occurred_at and event_id.
        Rows of other kinds and rows without an item are left out.
    weights : InteractionWeights, optional
        How events count; the defaults when not given.
    as_of : datetime, optional
        From when ages are counted: an aware time. Default: the snapshot's, else the newest event's.

    Raises
    ------
    NoInteractions
        When no row is left.
    """
    # Ibis takes more than a second to import, and a server that only reads histories never builds a matrix.
    from features.cells import read_cells

    weights = weights or InteractionWeights()
    if not isinstance(source, Path | pa.Table):
        as_of = as_of or source.as_of
        source = source.activity
    read = read_cells(source, weights, as_of=as_of)
    if read.cells.num_rows == 0:
        raise NoInteractions(
            f"no activity of the kinds {', '.join(KINDS)} is left under {weights}; import some, or loosen "
            "the limits"
        )
    return _assemble(read, weights)


def _assemble(read: "Cells", weights: InteractionWeights) -> Interactions:
    row, consumer_ids = _keep_used(read.cells["consumer"], read.consumers)
    column, pairs = _keep_used(read.cells["item"], read.items)
    consumers = ConsumerIds(_texts(consumer_ids["consumer_id"]))
    items = ItemIds(_by_site(pairs))
    values = from_fixed_point(read.cells["worth"].to_numpy())
    kinds = read.cells["kind"].to_numpy()
    by_kind = {}
    for number, kind in enumerate(KINDS):
        mine = kinds == number
        cells = (values[mine], (row[mine], column[mine]))
        matrix = sparse.csr_matrix(cells, shape=(len(consumers), len(items)), dtype=np.float32)
        matrix.sort_indices()
        by_kind[kind] = matrix
    return Interactions(consumers, items, by_kind, read.as_of, weights)


def _keep_used(numbers: Any, ids: pa.Table) -> tuple[NDArray[np.int32], pa.Table]:
    """Number only what is used, in the same order: the numbers anew, and the ids that they stand for."""
    old = numbers.to_numpy()
    used = np.zeros(ids.num_rows, dtype=np.bool_)
    used[old] = True
    anew = np.cumsum(used, dtype=np.int32) - np.int32(1)
    return anew[old], ids.filter(pa.array(used))


def _by_site(pairs: pa.Table) -> dict[str, list[str]]:
    # Sorted by site: each site's items are one run.
    values, counts = pc.value_counts(pairs["site_id"]).flatten()
    item_ids = _texts(pairs["item_id"])
    runs = pairwise(accumulate(counts.to_numpy().tolist(), initial=0))
    return {site_id: item_ids[start:end] for site_id, (start, end) in zip(_texts(values), runs, strict=True)}


def _texts(column: Any) -> list[str]:
    texts: list[str] = column.to_pylist()
    return texts
