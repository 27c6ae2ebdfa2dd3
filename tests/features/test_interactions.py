"""Activity becomes matrices, and one consumer's events become the same row."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import NoInteractions
from features.history import history_vector
from features.interactions import Interactions, build_interactions
from features.weights import KINDS, InteractionWeights
from storage.recent import Event

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TIME = pa.timestamp("us", tz="UTC")


class Row(NamedTuple):
    consumer_id: str
    site_id: str
    item_id: str | None
    kind: str
    occurred_at: datetime | None = None
    event_id: str = ""

    @property
    def event(self) -> Event:
        return self.site_id, self.item_id, self.kind, self.occurred_at


def table(*rows: Row) -> pa.Table:
    types = [pa.string()] * 4 + [TIME, pa.string()]
    columns = [pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), types, strict=True)]
    return pa.table(columns, names=Row._fields)


def days_ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def dense(interactions: Interactions, kind: str) -> list[list[float]]:
    return interactions.by_kind[kind].toarray().tolist()


def newest_first(rows: list[Row]) -> list[Row]:
    oldest = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(rows, key=lambda row: (row.site_id, row.event_id))
    return sorted(ordered, key=lambda row: row.occurred_at or oldest, reverse=True)


SHOP = (
    Row("ada", "books", "1", "purchase", days_ago(0)),
    Row("ada", "books", "1", "purchase", days_ago(10)),
    Row("ada", "music", "1", "page_view", days_ago(20)),
    Row("bob", "books", "2", "product_review", None),
    Row("bob", "books", "1", "purchase", NOW + timedelta(hours=5)),
    Row("bob", "books", "1", "promotion_click", days_ago(1)),
    Row("eve", "books", None, "page_view", days_ago(1)),
)


def test_each_kind_has_its_own_matrix_over_the_same_maps() -> None:
    made = build_interactions(table(*SHOP), InteractionWeights(half_life_days=10), as_of=NOW)
    assert list(made.consumers) == ["ada", "bob"]
    assert made.items.to_json() == {"books": ["1", "2"], "music": ["1"]}
    assert dense(made, "purchase") == [[1.5, 0, 0], [1, 0, 0]]
    assert dense(made, "product_review") == [[0, 0, 0], [0, 1, 0]]
    assert dense(made, "page_view") == [[0, 0, 0.25], [0, 0, 0]]


def test_the_kinds_are_weighed_into_one_confidence() -> None:
    weights = InteractionWeights(page_view=1, product_review=2, purchase=4, half_life_days=10)
    made = build_interactions(table(*SHOP), weights, as_of=NOW)
    assert made.confidence().toarray().tolist() == [[6, 0, 0.25], [4, 2, 0]]


def test_a_kind_of_weight_nothing_gives_no_confidence() -> None:
    made = build_interactions(table(*SHOP), InteractionWeights(page_view=0), as_of=NOW)
    assert made.confidence().nnz == 3
    assert made.by_kind["page_view"].nnz == 1


def test_events_without_a_time_do_not_decay_whenever_it_is() -> None:
    rows = table(Row("ada", "books", "1", "purchase"))
    made = build_interactions(rows, InteractionWeights(half_life_days=1, window_days=1), as_of=NOW)
    assert made.by_kind["purchase"].toarray() == 1


def test_a_file_without_times_or_event_ids_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(table(*SHOP).select(["consumer_id", "site_id", "item_id", "kind"]), path)
    made = build_interactions(path, InteractionWeights(half_life_days=1))
    assert made.as_of is None
    assert dense(made, "purchase") == [[2, 0, 0], [1, 0, 0]]


def test_ages_are_counted_from_the_newest_event_by_default() -> None:
    made = build_interactions(table(*SHOP))
    assert made.as_of == NOW + timedelta(hours=5)


def test_an_age_is_the_number_of_utc_midnights_since() -> None:
    rows = table(
        Row("ada", "books", "1", "purchase", datetime(2026, 3, 10, 0, tzinfo=UTC)),
        Row("ada", "books", "2", "purchase", datetime(2026, 3, 9, 23, 59, 59, 999_999, tzinfo=UTC)),
    )
    made = build_interactions(rows, InteractionWeights(half_life_days=1), as_of=NOW)
    assert dense(made, "purchase") == [[1, 0.5]]


def test_the_window_leaves_older_events_out() -> None:
    made = build_interactions(table(*SHOP), InteractionWeights(window_days=10), as_of=NOW)
    assert made.items.to_json() == {"books": ["1", "2"]}


def test_only_a_consumers_newest_events_count() -> None:
    made = build_interactions(table(*SHOP), InteractionWeights(max_events_per_consumer=1), as_of=NOW)
    assert dense(made, "purchase") == [[1], [1]]
    assert made.by_kind["product_review"].nnz == made.by_kind["page_view"].nnz == 0


def test_the_cap_bounds_only_those_above_it_and_rows_without_an_item_do_not_use_it_up() -> None:
    rows = (
        *(Row("busy", "s", str(day), "purchase", days_ago(day)) for day in range(5)),
        *(Row("busy", "s", None, "page_view", NOW) for _ in range(5)),
        *(Row("calm", "s", str(day), "purchase", days_ago(day)) for day in (3, 4)),
    )
    made = build_interactions(table(*rows), InteractionWeights(max_events_per_consumer=3), as_of=NOW)
    assert made.items.to_json() == {"s": ["0", "1", "2", "3", "4"]}
    assert dense(made, "purchase") == [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]


@pytest.mark.parametrize(
    "kind", [pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("s", tz="UTC")], ids=str
)
def test_times_of_every_precision_count_and_those_without_a_zone_are_utc(kind: pa.DataType) -> None:
    rows = table(Row("ada", "books", "1", "purchase", datetime(2026, 3, 9, 23, 59, 59, tzinfo=UTC)))
    times = rows["occurred_at"].cast(pa.timestamp("us")).cast(kind)
    made = build_interactions(
        rows.set_column(4, "occurred_at", times), InteractionWeights(half_life_days=1), as_of=NOW
    )
    assert dense(made, "purchase") == [[0.5]]


def test_rare_items_and_consumers_are_left_out_consumers_first() -> None:
    rows = (
        Row("ada", "s", "1", "purchase"),
        Row("ada", "s", "2", "purchase"),
        Row("bob", "s", "1", "page_view"),
        Row("bob", "s", "3", "page_view"),
        Row("eve", "s", "3", "page_view"),
    )
    weights = InteractionWeights(min_consumer_items=2, min_item_consumers=2)
    made = build_interactions(table(*rows), weights)
    assert list(made.consumers) == ["ada", "bob"]
    assert made.items.to_json() == {"s": ["1"]}


def test_nothing_left_to_learn_from_is_an_error() -> None:
    with pytest.raises(NoInteractions, match="no activity of the kinds page_view"):
        build_interactions(table(Row("ada", "books", "1", "promotion_view")))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="has no column kind"):
        build_interactions(table(*SHOP).drop_columns("kind"))


activity = st.lists(
    st.builds(
        Row,
        consumer_id=st.sampled_from(["ada", "bob", "zoë"]),
        site_id=st.sampled_from(["a", "B", "é"]),
        item_id=st.sampled_from(["1", "2", "10", "ü"]),
        kind=st.sampled_from([*KINDS, "promotion_view"]),
        occurred_at=st.none()
        | st.integers(-60 * 86_400, 2 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds)),
    ),
    min_size=1,
    max_size=80,
).map(lambda rows: [row._replace(event_id=f"{place}") for place, row in enumerate(rows)])

weightings = st.builds(
    InteractionWeights,
    page_view=st.sampled_from([0.3, 1.0]),
    half_life_days=st.none() | st.sampled_from([0.5, 7.0, 33.3]),
    window_days=st.none() | st.integers(0, 60),
    max_events_per_consumer=st.integers(1, 30),
    min_item_consumers=st.integers(1, 2),
)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(activity, weightings)
def test_a_consumers_events_make_the_pipelines_row_bit_for_bit(
    rows: list[Row], weights: InteractionWeights
) -> None:
    try:
        made = build_interactions(table(*rows), weights, as_of=NOW)
    except NoInteractions:
        return
    shuffled = build_interactions(table(*reversed(rows)), weights, as_of=NOW)
    assert made.digest == shuffled.digest
    confidence = made.confidence()
    for consumer_index, consumer_id in enumerate(made.consumers):
        events = newest_first([row for row in rows if row.consumer_id == consumer_id])
        served = history_vector([row.event for row in events], made.items, weights, now=NOW)
        row = made.row(consumer_index)
        assert served.item_index.tobytes() == row.item_index.tobytes()
        assert served.by_kind.tobytes() == row.by_kind.tobytes()
        kept = served.confidence(weights)
        assert confidence[consumer_index].data.tobytes() == kept[kept > 0].tobytes()


def test_the_digest_tells_different_interactions_apart() -> None:
    made = build_interactions(table(*SHOP), as_of=NOW)
    assert made.digest != build_interactions(table(*SHOP[:-3]), as_of=NOW).digest
    assert made.digest != build_interactions(table(*SHOP), InteractionWeights(page_view=2), as_of=NOW).digest
    assert made.digest != build_interactions(table(*SHOP), as_of=days_ago(1)).digest


def test_a_history_of_unknown_items_is_empty() -> None:
    made = build_interactions(table(*SHOP), as_of=NOW)
    history = history_vector([("toys", "9", "purchase", NOW)], made.items, made.weights, now=NOW)
    assert len(history) == 0
    assert history.by_kind.shape == (len(KINDS), 0)
    assert history.item_index.dtype == np.int32


def test_a_time_without_a_zone_is_refused() -> None:
    made = build_interactions(table(*SHOP), as_of=NOW)
    with pytest.raises(ValueError, match="has no time zone"):
        history_vector([], made.items, made.weights, now=datetime(2026, 1, 1))  # noqa: DTZ001
