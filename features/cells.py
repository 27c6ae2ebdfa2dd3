"""The one feature expression: activity rows → (consumer, item, kind) cells of numbers. Only it knows Ibis.

The engine numbers the ids, in their order, before it counts: groups of integers cost a fraction of groups of
texts, and no text is sent to Python more than once. Only consumers above the cap are ranked by time.
What is counted is said once, in `interaction_cells`; on which engine, in `read_cells`.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis import _

from features.weights import KINDS, InteractionWeights

_COLUMNS = ("consumer_id", "site_id", "item_id", "kind")
_TIE_BREAKERS = ("event_id", "namespace", "identifier")
_MICROSECONDS_OF_A_DAY = 86_400_000_000
_EPOCH = date(1970, 1, 1)
# Times without a zone are UTC by contract; cells have no order; whoever calls shows progress, not the engine.
_SETTINGS = {"TimeZone": "'UTC'", "preserve_insertion_order": "false"}


@dataclass(frozen=True, slots=True)
class Cells:
    """What was counted, and what the numbers stand for.

    Attributes
    ----------
    cells : pyarrow.Table
        Columns consumer, item (int32), kind (int8, place in `KINDS`), worth (int64, in 1/2²⁴, above 0).
    consumers : pyarrow.Table
        Column consumer_id, ascending; all that were read, whether a cell is left of them or not.
    items : pyarrow.Table
        Columns site_id, item_id, ascending; likewise.
    as_of : datetime or None
        What was given, else the time of the newest event of all; None when no event has a time.
    """

    cells: pa.Table
    consumers: pa.Table
    items: pa.Table
    as_of: datetime | None


def read_cells(source: Path | pa.Table, weights: InteractionWeights, *, as_of: datetime | None) -> Cells:
    """Compute the cells of a Parquet file or table on DuckDB."""
    connection = ibis.duckdb.connect()
    try:
        for setting, value in _SETTINGS.items():
            connection.raw_sql(f"SET {setting} = {value}")
        activity = _open_activity(connection, source)
        if as_of is None:
            as_of = _aware(connection.to_pyarrow(activity.occurred_at.max()).as_py())
        day = _EPOCH if as_of is None else as_of.astimezone(UTC).date()
        # Events of every kind are numbered and counted: too many do no harm, and looking at kinds takes time.
        consumers = connection.create_table("consumers", number_consumers(activity), temp=True)
        items = connection.create_table("items", number_items(activity), temp=True)
        busiest = connection.to_pyarrow(consumers.n_events.max()).as_py() or 0
        known = activity.filter(_.kind.isin(KINDS), _.item_id.notnull())
        limit = weights.max_events_per_consumer
        rows = number_rows(known, consumers, items, limit=limit if busiest > limit else None)
        cells = interaction_cells(rows, weights, as_of=day)
        return Cells(
            cells=connection.to_pyarrow(cells),
            consumers=connection.to_pyarrow(consumers.order_by("consumer").select("consumer_id")),
            items=connection.to_pyarrow(items.order_by("item").select("site_id", "item_id")),
            as_of=as_of,
        )
    finally:
        connection.disconnect()


def number_consumers(activity: Any) -> Any:
    """Ibis expression of columns consumer_id, n_events and consumer, the consumer's place among all."""
    counted = activity.group_by("consumer_id").agg(n_events=_.count())
    return counted.mutate(consumer=ibis.row_number().over(order_by=counted.consumer_id).cast("int32"))


def number_items(activity: Any) -> Any:
    """Ibis expression of columns site_id, item_id and item, the item's place among those of all sites."""
    pairs = activity.select("site_id", "item_id").distinct()
    place = ibis.row_number().over(order_by=[pairs.site_id, pairs.item_id])
    return pairs.mutate(item=place.cast("int32"))


def number_rows(known: Any, consumers: Any, items: Any, *, limit: int | None) -> Any:
    """Ibis expression of activity in numbers, columns consumer, item, kind and day.

    `limit`: only so many of a consumer's rows, the newest. None: no consumer has more than are wanted.
    """
    if limit is not None:
        calm = known.join(consumers.filter(_.n_events <= limit), "consumer_id")
        busy = known.join(consumers.filter(_.n_events > limit), "consumer_id")
        wanted = ("consumer", "site_id", "item_id", "kind", "day")
        rows = calm.select(*wanted).union(_newest_rows(busy, limit).select(*wanted))
    else:
        rows = known.join(consumers, "consumer_id")
    numbered = rows.join(items, ["site_id", "item_id"])
    return numbered.select("consumer", "item", "day", kind=_kind_number())


def _newest_rows(busy: Any, limit: int) -> Any:
    # Rows that tie on every one of these count alike, so the result does not depend on which is taken.
    ties = [busy[name] for name in _TIE_BREAKERS if name in busy.columns]
    order = [ibis.desc(busy.occurred_at, nulls_first=False), busy.site_id, *ties, busy.kind, busy.item_id]
    place = ibis.row_number().over(group_by=busy.consumer, order_by=order)
    return busy.mutate(place=place).filter(_.place < limit)


def interaction_cells(counted: Any, weights: InteractionWeights, *, as_of: date) -> Any:
    """Ibis expression of the columns of `Cells.cells`, from activity in numbers.

    The cap comes before the window, the consumers' minimum before the items': serving reads the newest events
    first and knows only the items that were kept.
    """
    decay = weights.decay_table
    worths = ibis.memtable(
        pa.table({"age_days": pa.array(range(len(decay)), pa.int32()), "worth": pa.array(decay, pa.int64())})
    )
    age_days = (as_of - _EPOCH).days - counted.day
    aged = counted.mutate(age_days=ibis.coalesce(ibis.greatest(age_days, 0), 0))
    if weights.window_days is not None:
        aged = aged.filter(_.age_days <= weights.window_days)
    cells = (
        aged.mutate(age_days=ibis.least(aged.age_days, len(decay) - 1).cast("int32"))
        .join(worths, "age_days")
        .group_by("consumer", "item", "kind")
        .agg(worth=_.worth.sum().cast("int64"))
        .filter(_.worth > 0)
    )
    return _drop_rare(cells, weights)


def _open_activity(connection: Any, source: Path | pa.Table) -> Any:
    if isinstance(source, pa.Table):
        table = ibis.memtable(source)
    else:
        table = connection.read_parquet(source / "*.parquet" if source.is_dir() else source)
    if missing := [name for name in _COLUMNS if name not in table.columns]:
        where = "the table" if isinstance(source, pa.Table) else source
        raise ValueError(f"{where} has no column {', '.join(missing)}; it has {', '.join(table.columns)}")
    columns = {name: table[name].cast("string") for name in _COLUMNS}
    timed = "occurred_at" in table.columns
    columns["occurred_at"] = table.occurred_at if timed else ibis.null("timestamp('UTC')")
    columns["day"] = _utc_day(table.occurred_at) if timed else ibis.null("int64")
    for name in _TIE_BREAKERS:
        if name in table.columns:
            columns[name] = table[name].cast("string")
    return table.select(**columns)


@ibis.udf.scalar.builtin  # type: ignore[untyped-decorator]
def epoch_us(moment) -> int:  # type: ignore[no-untyped-def, empty-body]
    """DuckDB's own: microseconds since 1970, in UTC. Without a type it takes every kind of time."""


def _utc_day(moment: Any) -> Any:
    # The date of a time with a zone goes through a calendar in DuckDB, which takes longer than all the rest.
    return (epoch_us(moment) // _MICROSECONDS_OF_A_DAY).cast("int64")


def _kind_number() -> Any:
    return _.kind.cases(*((kind, number) for number, kind in enumerate(KINDS))).cast("int8")


def _aware(moment: datetime | None) -> datetime | None:
    # A file's times without a zone are UTC by contract.
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _drop_rare(cells: Any, weights: InteractionWeights) -> Any:
    if weights.min_consumer_items > 1:
        seen = cells.group_by("consumer").agg(n_items=_.item.nunique())
        cells = cells.semi_join(seen.filter(_.n_items >= weights.min_consumer_items), "consumer")
    if weights.min_item_consumers > 1:
        seen = cells.group_by("item").agg(n_consumers=_.consumer.nunique())
        cells = cells.semi_join(seen.filter(_.n_consumers >= weights.min_item_consumers), "item")
    return cells
