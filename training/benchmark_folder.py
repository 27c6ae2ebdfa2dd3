"""A benchmark folder: what to learn from, what to rank, and what others say they reach.

`dataset.json`, `train.parquet`, `test.parquet`, perhaps `valid.parquet`, by which a model is chosen. The
format is told in docs/benchmarks.md.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.weights import KINDS
from storage.events import ALIASES
from training.benchmark_metrics import Metric, parse_metric
from training.errors import FolderRefused, InvalidProtocol
from training.questions import ID_COLUMNS

COLUMNS: Final = (*ID_COLUMNS, "kind")

_MASKS: Final = {
    r"purchase|order|bought": ("purchase",),
    r"view|page": ("page_view",),
    r"review|cart|looked": ("product_review",),
    r"activit|interaction|histor|event|row|item|anything|everything|all|seen": None,
}
_NO_MASK: Final = r"\s*(nothing|none|no)?\.?\s*"


@dataclass(frozen=True, eq=False, slots=True)
class BenchmarkFolder:
    """A folder that was read and found to be in the format.

    Attributes
    ----------
    target_kind : str
        The kind of test rows that are to be found, as the folder calls it.
    masked_kinds : frozenset of str
        Items of a consumer's train rows of these kinds are no candidates for this consumer.
    published : list of dict
        Figures of others, as they stand in `dataset.json`: `published`, then `baselines`.
    train, test : pyarrow.Table
        Columns consumer_id, site_id, item_id, kind, and occurred_at if the file has it.
    valid : pyarrow.Table or None
        Held out like test, for choosing a model.
    """

    path: Path
    name: str
    target_kind: str
    metrics: tuple[Metric, ...]
    masked_kinds: frozenset[str]
    published: tuple[Mapping[str, Any], ...]
    train: pa.Table
    test: pa.Table
    valid: pa.Table | None

    def __repr__(self) -> str:
        return f"BenchmarkFolder({self.name}: {self.train.num_rows} rows, {self.test.num_rows} held out)"

    @property
    def depth(self) -> int:
        """How many places of each ranking the metrics look at."""
        return max(metric.k for metric in self.metrics)


def open_folder(path: Path) -> BenchmarkFolder:
    """Read a folder and check all of it.

    Raises
    ------
    FolderRefused
        Which file is not as it must be, and what in it.
    """
    if not path.is_dir():
        raise FolderRefused(
            f"{path} is no folder; give one with dataset.json, train.parquet and test.parquet"
        )
    about = _Described(path / "dataset.json")
    target_kind = about.text("target_kind")
    metrics = tuple(about.metric(name) for name in about.list("metrics", str))
    if not metrics:
        raise FolderRefused(f"{about.file}: 'metrics' is empty; name one or more, such as ndcg@10")
    about.candidates()
    train, test = _read_table(path / "train.parquet"), _read_table(path / "test.parquet")
    held_out = _of_kind(test, target_kind)
    if held_out.num_rows == 0:
        kinds = ", ".join(map(repr, pc.unique(test["kind"]).to_pylist())) or "none: it is empty"
        raise FolderRefused(
            f"{path / 'test.parquet'}: no row is of the target_kind {target_kind!r} that dataset.json names; "
            f"its kinds: {kinds}"
        )
    if train.num_rows == 0:
        raise FolderRefused(f"{path / 'train.parquet'}: no rows; there is nothing to learn from")
    train_kinds: Any = pc.unique(train["kind"]).to_pylist()
    return BenchmarkFolder(
        path=path,
        name=about.text("name", default=path.resolve().name),
        target_kind=target_kind,
        metrics=metrics,
        masked_kinds=about.masked_kinds(train_kinds, target_kind),
        published=(*about.list("published", dict, default=()), *about.list("baselines", dict, default=())),
        train=train,
        test=held_out,
        valid=_valid(path / "valid.parquet", target_kind),
    )


def _of_kind(table: pa.Table, kind: str) -> pa.Table:
    return table.filter(pc.equal(table["kind"], pa.scalar(kind, pa.large_string())))


def _valid(path: Path, target_kind: str) -> pa.Table | None:
    held_out = _of_kind(_read_table(path), target_kind) if path.exists() else None
    return held_out if held_out is not None and held_out.num_rows else None


def read_kind(kind: str, *, target_kind: str) -> str:
    """One of the three kinds of activity for a kind of any name.

    The three and their aliases keep their meaning; of the others, the target counts as a purchase (what is
    wanted) and the rest as a page view (the weakest evidence).
    """
    known = ALIASES.get(re.sub(r"[\s-]+", "_", kind.strip().lower()))
    if known in KINDS:
        return known
    return "purchase" if kind == target_kind else "page_view"


class _Described:
    """`dataset.json`, asked field by field."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FolderRefused(f"{file} is missing; it names target_kind, metrics and mask") from None
        except OSError as error:
            raise FolderRefused(f"{file} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise FolderRefused(f"{file} is not JSON in UTF-8: {error}") from None
        if not isinstance(values, dict):
            raise FolderRefused(f"{file} holds a {type(values).__name__}; give an object")
        self.values: dict[str, Any] = values

    def text(self, field: str, *, default: str | None = None) -> str:
        value = self._get(field, default)
        if not isinstance(value, str) or not value:
            raise FolderRefused(f"{self.file}: {field!r} is {value!r}; give a text that is not empty")
        return value

    def list(self, field: str, of: type, *, default: Sequence[Any] | None = None) -> Sequence[Any]:
        values = self._get(field, default)
        if not isinstance(values, list | tuple):
            raise FolderRefused(f"{self.file}: {field!r} is {values!r}; give a list")
        for value in values:
            if not isinstance(value, of):
                what = "an object with a model and its figures" if of is dict else "a text"
                raise FolderRefused(f"{self.file}: {field!r} holds {value!r}; give {what}")
        return values

    def metric(self, name: str) -> Metric:
        try:
            return parse_metric(name)
        except InvalidProtocol as error:
            raise FolderRefused(f"{self.file}: {error}") from None

    def candidates(self) -> None:
        said = self.text("candidates", default="all items")
        if not re.match(r"\s*all\b", said, re.IGNORECASE):
            raise FolderRefused(
                f"{self.file}: 'candidates' is {said!r}; known: 'all items', "
                "'all items of the test row's site' (rankings are of all items, never of a sample)"
            )

    def masked_kinds(self, train_kinds: Sequence[str], target_kind: str) -> frozenset[str]:
        mask = self._get("mask", "nothing")
        if not isinstance(mask, str):
            raise FolderRefused(f"{self.file}: 'mask' is {mask!r}; give a text")
        if re.fullmatch(_NO_MASK, mask, re.IGNORECASE):
            return frozenset()
        words = mask.lower()
        masked = {kind for kind in train_kinds if kind.lower() in words}
        wanted = [kinds for pattern, kinds in _MASKS.items() if kinds and re.search(pattern, words)]
        for kind in train_kinds:
            if any(read_kind(kind, target_kind=target_kind) in kinds for kinds in wanted):
                masked.add(kind)
        if not masked and not wanted and re.search(list(_MASKS)[-1], words):
            return frozenset(train_kinds)
        if not masked and not wanted:
            raise FolderRefused(
                f"{self.file}: 'mask' is {mask!r}; known: 'nothing', \"the consumer's train purchases\" (or "
                f'another kind: {", ".join(sorted(train_kinds))}), "the consumer\'s train activity"'
            )
        return frozenset(masked)

    def _get(self, field: str, default: Any) -> Any:
        if self.values.get(field) is None and default is None:
            raise FolderRefused(
                f"{self.file} has no {field!r}; it has: {', '.join(self.values) or 'nothing'}"
            )
        value = self.values.get(field)
        return default if value is None else value


def _read_table(file: Path) -> pa.Table:
    if not file.is_file():
        raise FolderRefused(f"{file} is missing")
    try:
        schema = pq.read_schema(file)
        for name in COLUMNS:
            _check_text(file, schema, name)
        timed = "occurred_at" in schema.names and not pa.types.is_null(schema.field("occurred_at").type)
        if timed and not _is_time(schema.field("occurred_at").type):
            found = schema.field("occurred_at").type
            raise FolderRefused(f"{file}: column 'occurred_at' is {found}; give timestamps, or leave it out")
        table = pq.read_table(file, columns=[*COLUMNS, *(["occurred_at"] if timed else [])])
        for name in COLUMNS:
            column = table[name].cast(pa.large_string())
            column.validate(full=True)
            if column.null_count:
                row = pc.index(pc.is_null(column), True).as_py()
                raise FolderRefused(f"{file}: column {name!r} is empty in row {row + 1}; fill it in")
            table = table.set_column(table.schema.get_field_index(name), name, column)
    except (pa.ArrowException, OSError) as error:
        raise FolderRefused(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    return table


def _check_text(file: Path, schema: pa.Schema, name: str) -> None:
    if schema.names.count(name) != 1:
        there = "twice" if name in schema.names else "not there"
        raise FolderRefused(f"{file}: column {name!r} is {there}; it has: {', '.join(schema.names)}")
    found = schema.field(name).type
    bare = found.value_type if pa.types.is_dictionary(found) else found
    if not (pa.types.is_string(bare) or pa.types.is_large_string(bare) or pa.types.is_string_view(bare)):
        raise FolderRefused(f"{file}: column {name!r} is {found}; give text (ids are never numbers)")


def _is_time(found: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(found) or pa.types.is_date(found))
