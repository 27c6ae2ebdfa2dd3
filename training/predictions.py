"""Rankings written to a file, block by block: consumer_id, site_id, rank, item_id."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.ids import ItemIds
from training.errors import InvalidProtocol

_COLUMNS: Any = {
    "consumer_id": pa.string(),
    "site_id": pa.string(),
    "rank": pa.int32(),
    "item_id": pa.string(),
}
SCHEMA = pa.schema(_COLUMNS)
ENDINGS = (".parquet", ".csv")


class Predictions(Protocol):
    """Where rankings go."""

    def write(
        self, consumer_ids: Sequence[str], site_id: str, top: NDArray[np.int64], items: ItemIds
    ) -> None:
        """Write the tops of consumers on a site: columns of items, int64[n_consumers, depth], -1: none."""
        ...


class _Writer:
    def __init__(self, sink: pq.ParquetWriter | pyarrow.csv.CSVWriter) -> None:
        self._sink = sink

    def write(
        self, consumer_ids: Sequence[str], site_id: str, top: NDArray[np.int64], items: ItemIds
    ) -> None:
        rows, places = np.nonzero(top >= 0)
        columns = [
            pa.array([consumer_ids[row] for row in rows.tolist()], pa.string()),
            pa.repeat(pa.scalar(site_id, pa.string()), len(rows)),
            pa.array((places + 1).astype(np.int32)),
            pa.array([items.pair(int(column))[1] for column in top[rows, places]], pa.string()),
        ]
        self._sink.write_table(pa.table(columns, schema=SCHEMA))


def check_output(path: Path, *, endings: Sequence[str] = ENDINGS) -> None:
    """Refuse a file that could not be written, before hours of work are spent."""
    if path.suffix.lower() not in endings:
        raise InvalidProtocol(f"{path}: give a file that ends in {' or '.join(endings)}")
    if not path.absolute().parent.is_dir():
        raise InvalidProtocol(f"{path}: there is no folder {path.absolute().parent}; make it first")


@contextmanager
def write_predictions(path: Path) -> Iterator[Predictions]:
    """Open a Parquet or CSV file, by its ending; it appears whole or not at all."""
    check_output(path)
    hidden = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    open_sink = pq.ParquetWriter if path.suffix.lower() == ".parquet" else pyarrow.csv.CSVWriter
    try:
        with open_sink(str(hidden), SCHEMA) as sink:
            yield _Writer(sink)
        hidden.replace(path)
    finally:
        hidden.unlink(missing_ok=True)
