"""The shipped data set, in our formats."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from examples.complete_journey.tables import CompleteJourney, read_complete_journey, write_import_files

DATA = Path(__file__).parent.parent.parent / "examples" / "complete_journey"


@pytest.fixture(scope="module")
def journey() -> CompleteJourney:
    return read_complete_journey(DATA)


def test_every_row_is_there_but_for_products_without_a_department(journey: CompleteJourney) -> None:
    assert journey.activity.num_rows == 75_000 - 222
    assert journey.items.num_rows == 52_291
    assert journey.outcomes.num_rows == 2_102
    assert journey.promotions.num_rows == 1_197


def test_events_can_be_told_apart(journey: CompleteJourney) -> None:
    for table in (journey.activity, journey.outcomes):
        assert pc.count_distinct(table["event_id"]).as_py() == table.num_rows
        assert all(table[name].null_count == 0 for name in ("consumer_id", "site_id", "occurred_at"))


def test_coverage_is_what_the_promotions_cover(journey: CompleteJourney) -> None:
    coverage = journey.coverage()
    assert coverage.num_rows == pc.sum(pc.list_value_length(journey.promotions["items"])).as_py()
    first = journey.promotions["items"][0].as_py()
    mine = coverage.slice(0, len(first)).to_pylist()
    assert [{"site_id": row["site_id"], "item_id": row["item_id"]} for row in mine] == first


def test_one_shift_moves_all_times(journey: CompleteJourney) -> None:
    shift = timedelta(days=3_000)
    moved = read_complete_journey(DATA, shift=shift)
    for name, column in (("activity", "occurred_at"), ("outcomes", "occurred_at"), ("promotions", "ends_at")):
        before, after = getattr(journey, name)[column], getattr(moved, name)[column]
        assert pc.min(after).as_py() - pc.min(before).as_py() == shift
        assert pc.max(after).as_py() - pc.max(before).as_py() == shift


def test_the_last_day_of_a_campaign_counts_in_full(journey: CompleteJourney) -> None:
    campaign_1 = journey.promotions.filter(pc.equal(journey.promotions["audience_id"], "campaign-1"))
    assert campaign_1["starts_at"][0].as_py() == datetime(2017, 3, 3, tzinfo=UTC)
    assert campaign_1["ends_at"][0].as_py() == datetime(2017, 4, 10, tzinfo=UTC)


def test_the_import_files_hold_the_tables(journey: CompleteJourney, tmp_path: Path) -> None:
    paths = write_import_files(journey, tmp_path / "import")
    assert {path.name for path in (tmp_path / "import").iterdir()} == {path.name for path in paths.values()}
    assert pq.read_table(paths["promotions"]).num_rows == journey.promotions.num_rows


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"transactions\.parquet is missing; give the folder"):
        read_complete_journey(tmp_path)
