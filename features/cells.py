"""The one feature expression: activity rows → (consumer, site, item, kind) cells. Only it knows Ibis.

What is counted is said once, in `interaction_cells`; on which engine, in `read_cells`.
"""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis import _

from features.weights import KINDS, InteractionWeights

_COLUMNS = ("consumer_id", "site_id", "item_id", "kind")
_TIE_BREAKERS = ("event_id", "namespace", "identifier")


def read_cells(
    source: Path | pa.Table, weights: InteractionWeights, *, as_of: datetime | None
) -> tuple[pa.Table, datetime | None]:
    """Compute the cells of a Parquet file or table on DuckDB.

    Returns
    -------
    cells : pyarrow.Table
        As `interaction_cells` describes.
    as_of : datetime or None
        What was given, else the time of the newest event of all; None when no event has a time.
    """
    connection = ibis.duckdb.connect()
    try:
        # Dates of times with a zone are taken in the session's zone, and ages are counted in UTC days.
        connection.raw_sql("SET TimeZone = 'UTC'")
        activity = _open_activity(connection, source)
        if as_of is None:
            as_of = _aware(connection.to_pyarrow(activity.occurred_at.max()).as_py())
        day = date(1970, 1, 1) if as_of is None else as_of.astimezone(UTC).date()
        return connection.to_pyarrow(interaction_cells(activity, weights, as_of=day)), as_of
    finally:
        connection.disconnect()


def _open_activity(connection: Any, source: Path | pa.Table) -> Any:
    table = ibis.memtable(source) if isinstance(source, pa.Table) else connection.read_parquet(source)
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        where = "the table" if isinstance(source, pa.Table) else source
        raise ValueError(f"{where} has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    columns = {name: table[name].cast("string") for name in _COLUMNS}
    timed = "occurred_at" in table.columns
    columns["occurred_at"] = table.occurred_at if timed else ibis.null("timestamp('UTC')")
    for name in _TIE_BREAKERS:
        columns[name] = table[name].cast("string") if name in table.columns else ibis.literal("")
    return table.select(**columns)


def interaction_cells(activity: Any, weights: InteractionWeights, *, as_of: date) -> Any:
    """Ibis expression of columns consumer_id, site_id, item_id, kind, worth (int64, in 1/2²⁴, above 0).

    The cap comes before the window, the consumers' minimum before the items': serving reads the newest events
    first and knows only the items that were kept.
    """
    decay = weights.decay_table
    worths = ibis.memtable(
        pa.table({"age_days": pa.array(range(len(decay)), pa.int64()), "worth": pa.array(decay, pa.int64())})
    )
    counted = _newest_rows(activity, weights.max_events_per_consumer)
    age_days = ibis.literal(as_of).delta(counted.occurred_at.date(), unit="day").cast("int64")
    aged = counted.mutate(age_days=ibis.coalesce(ibis.greatest(age_days, 0), 0))
    if weights.window_days is not None:
        aged = aged.filter(_.age_days <= weights.window_days)
    aged = aged.mutate(age_days=ibis.least(aged.age_days, len(decay) - 1))
    cells = (
        aged.join(worths, "age_days")
        .group_by("consumer_id", "site_id", "item_id", "kind")
        .agg(worth=_.worth.sum())
        .filter(_.worth > 0)
    )
    return _drop_rare(cells, weights)


def _aware(moment: datetime | None) -> datetime | None:
    # A file's times without a zone are UTC by contract.
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _newest_rows(activity: Any, limit: int) -> Any:
    known = activity.filter(_.kind.isin(KINDS), _.item_id.notnull())
    # Rows that tie on every one of these count alike, so the result does not depend on which is taken.
    newest_first = ibis.desc(known.occurred_at, nulls_first=False)
    order = [newest_first, known.site_id, *(known[name] for name in _TIE_BREAKERS), known.kind, known.item_id]
    place = ibis.row_number().over(group_by=known.consumer_id, order_by=order)
    return known.mutate(place=place).filter(_.place < limit).drop("place")


def _drop_rare(cells: Any, weights: InteractionWeights) -> Any:
    if weights.min_consumer_items > 1:
        seen = cells.select("consumer_id", "site_id", "item_id").distinct().group_by("consumer_id")
        enough = seen.agg(n_items=_.count()).filter(_.n_items >= weights.min_consumer_items)
        cells = cells.semi_join(enough, "consumer_id")
    if weights.min_item_consumers > 1:
        seen = cells.select("consumer_id", "site_id", "item_id").distinct().group_by("site_id", "item_id")
        enough = seen.agg(n_consumers=_.count()).filter(_.n_consumers >= weights.min_item_consumers)
        cells = cells.semi_join(enough, ["site_id", "item_id"])
    return cells
