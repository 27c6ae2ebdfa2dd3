"""Checks whole columns of activity at once, which is many times faster than row by row.

What is plain is taken here; every row with anything unusual in it is left to `storage.events.parse_event`,
which alone decides what is wrong. So a row may be left over without need, but none is read otherwise than it
would be by itself; a test compares the two.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute

from storage.errors import InvalidValue
from storage.events import (
    ACTIVITY_KINDS,
    CROSS_SITE,
    DERIVED_MARK,
    LOGIN,
    NETWORK,
    SAME_SITE,
    consent_field,
    currency_field,
    parse_kind,
)
from storage.fields import CLOCK_SKEW, EARLIEST, LARGEST_NUMBER, LONGEST_ID

TO_BE_DERIVED = "-"
#: The stubs know neither arrays with plain values as arguments nor chunked arrays everywhere.
pc: Any = pyarrow.compute
Column = Any

IDS = ("event_id", "consumer_id", "namespace", "identifier", "site_id", "item_id", "promotion_id")
NUMBERS = ("rating", "quantity", "value")
TIME = pa.timestamp("us", tz="UTC")
_ISO_TIME = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)?$"


@dataclass(frozen=True, slots=True)
class PlainRows:
    """Rows that were taken, by column, ready for staging; and which rows of the batch were not."""

    table: pa.Table
    odd: list[int]


def read_columns(
    batch: pa.RecordBatch,
    *,
    numbers: Sequence[int],
    source: str,
    default_consent: Collection[str] | None,
    now: datetime,
) -> PlainRows | None:
    """The plain rows of a batch; None when a column is of a type that only `parse_event` understands.

    Parameters
    ----------
    batch
        Some or all of the columns of an activity file.
    numbers
        Where the rows stood in the file: the table's `row_number`.
    """
    columns = _Columns(batch)
    try:
        fields = _read(columns, source=source, default_consent=default_consent, now=now)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, UnicodeDecodeError):
        return None
    fields["row_number"] = pa.array(numbers, pa.int64())
    # Python writes quotes and backslashes in its own way: rows with these get their digest one by one.
    for name in ("identifier", "site_id", "item_id", "promotion_id", "source_id"):
        if fields["event_id"].null_count:
            plain = pc.invert(pc.match_substring_regex(fields[name], r"['\\\\]"))
            columns.require(pc.or_kleene(fields["event_id"].is_valid(), pc.fill_null(plain, True)))
    good = columns.good
    odd = pc.indices_nonzero(pc.invert(good)).to_pylist()
    table = pa.table(fields)
    table = table.filter(good) if odd else table
    return PlainRows(_with_digests(table), odd)


class _Columns:
    """The columns of a batch, and which rows are plain as far as was looked."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch
        self.good: Column = pa.repeat(True, len(batch))

    def __getitem__(self, name: str) -> Column:
        if name not in self.batch.schema.names:
            return pa.nulls(len(self.batch), pa.string())
        column: Column = self.batch.column(name)
        return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column

    def require(self, condition: Column) -> None:
        """Rows where this is false or unknown are odd."""
        self.good = pc.and_kleene(self.good, pc.fill_null(condition, False))


def _read(
    columns: _Columns, *, source: str, default_consent: Collection[str] | None, now: datetime
) -> dict[str, Column]:
    ids = {name: _identifier(columns, name) for name in IDS}
    namespace, identifier = _identity(columns, ids)
    kind = _mapped(columns, _text(columns["kind"]), parse_kind, pa.string())
    columns.require(kind.is_valid())
    is_activity = pc.is_in(kind, pa.array(ACTIVITY_KINDS))
    columns.require(pc.if_else(is_activity, ids["item_id"].is_valid(), ids["promotion_id"].is_valid()))
    columns.require(ids["site_id"].is_valid())
    columns.require(pc.fill_null(pc.not_equal(ids["event_id"], TO_BE_DERIVED), True))
    same_site, cross_site = _consent(columns, default_consent)
    return {
        "namespace": namespace,
        "identifier": identifier,
        "site_id": ids["site_id"],
        "event_id": ids["event_id"],
        "kind": kind,
        "source_id": pa.repeat(source, len(kind)),
        "same_site": same_site,
        "cross_site": cross_site,
        "item_id": ids["item_id"],
        "promotion_id": ids["promotion_id"],
        "occurred_at": _time(columns, now=now),
        **{name: _number(columns, name) for name in NUMBERS},
        "currency": _mapped(
            columns, _text(columns["currency"]), lambda text: currency_field({"currency": text}), pa.string()
        ),
    }


def _text(column: Column) -> Column:
    """Strings with nothing for the empty one."""
    if pa.types.is_null(column.type):
        return column.cast(pa.string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise pa.ArrowTypeError(f"{column.type} is no text")
    column = column.cast(pa.string())
    return pc.if_else(pc.equal(column, ""), None, column)


def _identifier(columns: _Columns, name: str) -> Column:
    column = columns[name]
    if pa.types.is_integer(column.type):
        return column.cast(pa.string())
    column = _text(column)
    plain = pc.and_kleene(pc.string_is_ascii(column), pc.ascii_is_printable(column))
    plain = pc.and_kleene(plain, pc.less_equal(pc.binary_length(column), LONGEST_ID))
    columns.require(pc.fill_null(pc.and_not_kleene(plain, pc.ascii_is_space(column)), True))
    return column


def _identity(columns: _Columns, ids: Mapping[str, Column]) -> tuple[Column, Column]:
    consumer, identifier, namespace = ids["consumer_id"], ids["identifier"], ids["namespace"]
    by_consumer = consumer.is_valid()
    columns.require(pc.xor(by_consumer, identifier.is_valid()))
    columns.require(pc.fill_null(pc.invert(pc.starts_with(consumer, DERIVED_MARK)), True))
    columns.require(pc.or_kleene(by_consumer, pc.or_kleene(namespace.is_null(), pc.equal(namespace, LOGIN))))
    of_site = pc.binary_join_element_wise("site:", ids["site_id"], "")
    return (
        pc.if_else(by_consumer, NETWORK, pc.coalesce(namespace, of_site)),
        pc.coalesce(consumer, identifier),
    )


def _mapped(columns: _Columns, column: Column, parse: Callable[[str], Any], type_: pa.DataType) -> Column:
    """Each distinct value read once; rows whose value is refused are odd."""
    encoded: Column = column.dictionary_encode()
    values, refused = [], []
    for value in encoded.dictionary.to_pylist():
        try:
            values.append(parse(value))
            refused.append(False)
        except InvalidValue:
            values.append(None)
            refused.append(True)
    if any(refused):
        columns.require(pc.fill_null(pc.invert(pa.array(refused).take(encoded.indices)), True))
    return pa.array(values, type_).take(encoded.indices)


def _consent(columns: _Columns, default: Collection[str] | None) -> tuple[Column, Column]:
    column = columns["consent"]
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        stated = column.is_valid()
        column = pc.binary_join(column.cast(pa.list_(pa.string())), ",")
        columns.require(pc.invert(pc.and_kleene(stated, column.is_null())))
        column = pc.if_else(pc.equal(column, ""), "nothing", column)
    column = _text(column)
    stated = column.is_valid()
    purposes = []
    for purpose in (SAME_SITE, CROSS_SITE):
        given = _mapped(columns, column, partial(_allows, purpose), pa.bool_())
        purposes.append(pc.if_else(stated, given, default is not None and purpose in default))
    columns.require(pc.or_kleene(*purposes))
    return purposes[0], purposes[1]


def _allows(purpose: str, stated: str) -> bool:
    return purpose in consent_field({"consent": stated}, None)


def _time(columns: _Columns, *, now: datetime) -> Column:
    column = columns["occurred_at"]
    if (
        pa.types.is_null(column.type)
        or pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
    ):
        column = _text(column)
        plain = pc.match_substring_regex(column, _ISO_TIME)
        columns.require(pc.fill_null(plain, True))
        column = pc.if_else(plain, column, None)
        column = pc.replace_substring_regex(column, r"(Z|\+00:00)$", "").cast(pa.timestamp("us"))
    elif not pa.types.is_timestamp(column.type):
        raise pa.ArrowTypeError(f"{column.type} is no time")
    if column.type.tz is None:
        column = column.cast(pa.timestamp("us")).cast(pa.int64()).cast(pa.timestamp("us")).cast(TIME)
    column = column.cast(TIME)
    earliest, latest = pa.scalar(EARLIEST, TIME), pa.scalar(now + CLOCK_SKEW, TIME)
    fits = pc.and_kleene(pc.greater_equal(column, earliest), pc.less_equal(column, latest))
    columns.require(pc.fill_null(fits, True))
    return column


def _number(columns: _Columns, name: str) -> Column:
    column = columns[name]
    if (
        pa.types.is_null(column.type)
        or pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
    ):
        column = _text(column).cast(pa.float64())
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        column = column.cast(pa.float64(), safe=False)
        column = pc.if_else(pc.is_nan(column), None, column)
    else:
        raise pa.ArrowTypeError(f"{column.type} is no number")
    columns.require(pc.fill_null(pc.less_equal(pc.abs(column), LARGEST_NUMBER), True))
    return column


def _with_digests(table: pa.Table) -> pa.Table:
    """With `content_digest` and a stand-in for the id where there is none: see `storage.activity_import`."""
    missing = pc.is_null(table["event_id"])
    if not pc.any(missing).as_py():
        return table
    contents = _contents(table).filter(missing).to_pylist()
    digests = iter(["\\x" + hashlib.sha256(content.encode()).hexdigest() for content in contents])
    column = [next(digests) if one else None for one in missing.to_pylist()]
    at = table.column_names.index("event_id")
    table = table.set_column(at, "event_id", pc.fill_null(table["event_id"], TO_BE_DERIVED))
    return table.append_column("content_digest", pa.array(column, pa.string()))


def _contents(table: pa.Table) -> Column:
    """What `storage.activity_import.content_digest` makes of each row: Python's `repr` of a tuple."""
    names = ("namespace", "identifier", "site_id", "event_id", "kind", "source_id")
    more = ("item_id", "promotion_id")
    table = table.set_column(
        table.column_names.index("event_id"), "event_id", pa.repeat(TO_BE_DERIVED, len(table))
    )
    parts = [
        *(_quoted(table[name]) for name in names),
        *(pc.if_else(table[name], "True", "False") for name in (SAME_SITE, CROSS_SITE)),
        *(_quoted(table[name]) for name in more),
        "None",
        *(_shown(table[name], repr) for name in NUMBERS),
        _quoted(table["currency"]),
        "None",
        _quoted(_iso(table["occurred_at"])),
    ]
    body = pc.binary_join_element_wise(*parts, ", ")
    return pc.binary_join_element_wise("(", body, ")", "")


def _quoted(column: Column) -> Column:
    return pc.fill_null(pc.binary_join_element_wise("'", column, "'", ""), "None")


def _iso(times: Column) -> Column:
    """What `datetime.isoformat` makes of them: a fraction only where there is one."""
    texts: Column = times.cast(TIME).cast(pa.timestamp("us")).cast(pa.string())
    texts = pc.replace_substring(texts, " ", "T")
    texts = pc.replace_substring_regex(texts, r"\.000000$", "")
    return pc.binary_join_element_wise(texts, "+00:00", "")


def _shown(column: Column, show: Callable[[Any], str]) -> Column:
    """Text of each distinct value, made once."""
    if column.null_count == len(column):
        return pa.repeat("None", len(column))
    encoded: Column = column.combine_chunks().dictionary_encode()
    texts = pa.array([show(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return pc.fill_null(texts.take(encoded.indices), "None")
