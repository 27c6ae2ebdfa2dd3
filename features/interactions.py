"""Activity becomes one sparse consumer-item matrix a kind, over the same two id maps."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from features.errors import NoInteractions
from features.history import HistoryVector, combine_kinds, from_fixed_point
from features.ids import ConsumerIds, ItemIds
from features.weights import KINDS, InteractionWeights


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

    def confidence(self) -> sparse.csr_matrix:
        """The kinds weighed into one confidence r > 0, csr float32[n_consumers, n_items]."""
        n_items = len(self.items)
        cells = [matrix.tocoo() for matrix in (self.by_kind[kind] for kind in KINDS)]
        # One number a cell, ascending in row order: where a kind's cells lie among those of all kinds.
        numbers = [matrix.row.astype(np.int64) * n_items + matrix.col for matrix in cells]
        union = np.unique(np.concatenate(numbers))
        by_kind = np.zeros((len(KINDS), len(union)), dtype=np.float32)
        for kind, (matrix, number) in enumerate(zip(cells, numbers, strict=True)):
            by_kind[kind, np.searchsorted(union, number)] = matrix.data
        confidence = combine_kinds(by_kind, self.weights)
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
    cells, as_of = read_cells(source, weights, as_of=as_of)
    if cells.num_rows == 0:
        raise NoInteractions(
            f"no activity of the kinds {', '.join(KINDS)} is left under {weights}; import some, or loosen "
            "the limits"
        )
    return _assemble(cells, weights, as_of)


def _assemble(cells: pa.Table, weights: InteractionWeights, as_of: datetime | None) -> Interactions:
    consumer_ids, row = _encode(cells["consumer_id"])
    site_ids, site = _encode(cells["site_id"])
    item_ids, item = _encode(cells["item_id"])
    pairs, column = np.unique(site.astype(np.int64) * len(item_ids) + item, return_inverse=True)
    items = ItemIds(_group(site_ids, item_ids, pairs))
    values = from_fixed_point(cells["worth"].to_numpy())
    kinds = cells["kind"].to_numpy(zero_copy_only=False)
    shape = (len(consumer_ids), len(items))
    by_kind = {}
    for kind in KINDS:
        mine = kinds == kind
        matrix = sparse.csr_matrix((values[mine], (row[mine], column[mine])), shape=shape, dtype=np.float32)
        matrix.sort_indices()
        by_kind[kind] = matrix
    return Interactions(ConsumerIds(consumer_ids), items, by_kind, as_of, weights)


def _encode(column: Any) -> tuple[list[str], NDArray[np.int64]]:
    encoded = pc.dictionary_encode(column).unify_dictionaries().combine_chunks()
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return encoded.dictionary.take(order).to_pylist(), rank[encoded.indices.to_numpy()]


def _group(site_ids: list[str], item_ids: list[str], pairs: NDArray[np.int64]) -> dict[str, list[str]]:
    by_site: dict[str, list[str]] = {site_id: [] for site_id in site_ids}
    for pair in pairs.tolist():
        by_site[site_ids[pair // len(item_ids)]].append(item_ids[pair % len(item_ids)])
    return by_site
