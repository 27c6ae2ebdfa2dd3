"""What is held out is not learned from."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.cuts import choose_cut
from training.errors import InvalidProtocol, NothingToEvaluate
from training.split import (
    leave_one_out,
    read_activity,
    split_by_time,
    split_first_to_second_site,
    target_kind,
)

DAY = datetime(2026, 5, 1, tzinfo=UTC)
PAIR = ["consumer_id", "site_id", "item_id"]
NO_CONVERSIONS = pd.DataFrame({"occurred_at": pd.Series([], dtype="datetime64[us, UTC]")})


def activity(rows: list[tuple[str, str, str, str, int | None]]) -> pa.Table:
    return pa.table(
        {
            "consumer_id": [row[0] for row in rows],
            "site_id": [row[1] for row in rows],
            "item_id": [row[2] for row in rows],
            "kind": [row[3] for row in rows],
            "occurred_at": pa.array(
                [None if row[4] is None else DAY + timedelta(days=row[4]) for row in rows],
                pa.timestamp("us", tz="UTC"),
            ),
            "event_id": [f"e{number}" for number in range(len(rows))],
        }
    )


SMALL = activity(
    [
        ("ann", "books", "novel", "page_view", 0),
        ("ann", "books", "novel", "purchase", 1),
        ("ann", "garden", "spade", "purchase", 3),
        ("ann", "garden", "spade", "page_view", 2),
        ("bob", "books", "atlas", "purchase", 0),
        ("bob", "books", "novel", "purchase", 3),
        ("cat", "books", "atlas", "purchase", None),
    ]
)


def pairs(table: pa.Table | pd.DataFrame) -> set[tuple[str, ...]]:
    frame = table.to_pandas() if isinstance(table, pa.Table) else table
    return set(frame[PAIR].itertuples(index=False, name=None))


def test_a_cut_in_time_separates_before_from_after_and_events_without_a_time_are_learned_from() -> None:
    split = split_by_time(SMALL, DAY + timedelta(days=2))
    assert split.train["event_id"].to_pylist() == ["e0", "e1", "e4", "e6"]
    assert pairs(split.test) == {("ann", "garden", "spade"), ("bob", "books", "novel")}
    assert not split.mask_seen


def test_a_cut_outside_the_activity_is_refused_with_its_range() -> None:
    with pytest.raises(InvalidProtocol, match=r"reaches from 2026-05-01 .* to 2026-05-04"):
        split_by_time(SMALL, DAY + timedelta(days=30))
    with pytest.raises(InvalidProtocol, match="no time zone"):
        split_by_time(SMALL, datetime(2026, 5, 2))  # noqa: DTZ001


def test_the_newest_thing_is_left_out_with_all_that_was_done_with_it() -> None:
    split = leave_one_out(SMALL)
    assert pairs(split.test) == {("ann", "garden", "spade"), ("bob", "books", "novel")}
    assert split.train["event_id"].to_pylist() == ["e0", "e1", "e4", "e6"]
    assert split.mask_seen


def test_without_times_chance_decides_what_is_left_out_and_the_seed_decides_chance() -> None:
    timeless = activity([("ann", "books", f"b{number}", "purchase", None) for number in range(30)])
    drawn = {seed: pairs(leave_one_out(timeless, random_state=seed).test) for seed in range(5)}
    assert all(len(one) == 1 for one in drawn.values())
    assert len({frozenset(one) for one in drawn.values()}) > 1
    assert drawn[0] == pairs(leave_one_out(timeless, random_state=0).test)


def test_a_second_site_is_forgotten_whole() -> None:
    rows = [
        (f"c{number:02}", site, f"i{item}", "purchase", item)
        for number in range(40)
        for site in ("books", "garden", "toys")
        for item in range(3)
    ]
    split = split_first_to_second_site(activity(rows), share=0.25, random_state=1)
    held_out = split.test[["consumer_id", "site_id"]].drop_duplicates()
    assert len(held_out) == 10
    assert held_out["consumer_id"].is_unique
    assert len(split.test) == 30
    left = set(split.train.to_pandas()[["consumer_id", "site_id"]].itertuples(index=False, name=None))
    assert not left & set(held_out.itertuples(index=False, name=None))
    assert {consumer for consumer, _ in left} >= set(held_out["consumer_id"])


def test_consumers_of_one_site_have_no_second_one() -> None:
    split = split_first_to_second_site(SMALL, share=1.0)
    assert set(split.test["consumer_id"]) == {"ann"}


def test_the_most_telling_kind_is_the_target() -> None:
    assert target_kind(SMALL) == "purchase"
    assert target_kind(activity([("ann", "books", "novel", "page_view", 0)])) == "page_view"
    with pytest.raises(NothingToEvaluate, match="import some"):
        target_kind(SMALL.slice(0, 0))


def test_files_without_times_are_read_and_outcomes_are_left_out(tmp_path: pytest.TempPathFactory) -> None:
    path = tmp_path / "activity.parquet"
    rows = SMALL.select([*PAIR, "kind"]).to_pylist()
    pq.write_table(pa.Table.from_pylist([*rows, {**rows[0], "kind": "promotion_view"}]), path)
    table = read_activity(path)
    assert table.num_rows == len(rows)
    assert table["occurred_at"].null_count == len(rows)


def test_a_fifth_is_kept_for_questions_when_nobody_names_a_cut() -> None:
    rows = [("ann", "books", f"b{day}", "purchase", day) for day in range(100)]
    assert choose_cut(activity(rows), NO_CONVERSIONS) == DAY + timedelta(days=79)


def test_enough_conversions_decide_the_cut() -> None:
    rows = [("ann", "books", f"b{day}", "purchase", day) for day in range(100)]
    days = pd.Series([DAY + timedelta(days=day, hours=3) for day in range(50)])
    assert choose_cut(activity(rows), pd.DataFrame({"occurred_at": days})) == DAY + timedelta(days=39)


def test_no_times_or_one_day_have_no_cut() -> None:
    timeless = activity([("ann", "books", "novel", "purchase", None)])
    assert choose_cut(timeless, NO_CONVERSIONS) is None
    one_day = activity([("ann", "books", "novel", "purchase", 0)])
    assert choose_cut(one_day, NO_CONVERSIONS) is None
