"""What a source adds, on a network where one can tell beforehand."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import tailor
from features.interactions import build_interactions
from features.snapshot import take_snapshot
from models.popularity import Popularity
from storage.database import Database
from storage.errors import UnknownSource
from storage.imports import import_activity, import_promotions
from storage.settings import Settings
from storage.sources import NO_TERMS, Terms, get_source, withdraw_source
from tests.training.conftest import evaluate_items
from training.errors import NothingToEvaluate
from training.fitting import fit
from training.plan import Plan
from training.results import find
from training.source_report import FITS, SourceReport, measure_source, report_source
from training.split import read_activity, split_by_time

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
CUT = datetime(2026, 1, 9, tzinfo=UTC)
N_CONSUMERS, N_ITEMS = 80, 10
PLAN = Plan("als", cut=CUT)


def purchase(number: int, site_id: str, item: int, *, day: int | None) -> dict[str, object]:
    when = None if day is None else START + timedelta(days=day, minutes=number)
    return {
        "consumer_id": f"c{number:02}",
        "site_id": site_id,
        "item_id": f"i{item:02}",
        "kind": "purchase",
        "occurred_at": when,
    }


def taste(number: int, random: np.random.Generator) -> int:
    """One of the things a consumer likes: even ones or odd ones."""
    return int(2 * random.integers(N_ITEMS) + number % 2)


def shop() -> list[dict[str, object]]:
    """Everyone buys books of their taste; every other pair of consumers does so only after the cut."""
    random = np.random.default_rng(1)
    return [
        purchase(number, "books", taste(number, random), day=day)
        for number in range(N_CONSUMERS)
        for day in range(10)
        if number % 4 < 2 or day >= 8
    ]


def telling() -> list[dict[str, object]]:
    """Another site that shows everyone's taste before the cut."""
    random = np.random.default_rng(2)
    return [
        purchase(number, "garden", taste(number, random), day=day)
        for number in range(N_CONSUMERS)
        for day in range(6)
    ]


def unrelated() -> list[dict[str, object]]:
    """People and things that nobody else knows."""
    return [
        purchase(number + 1000, "cars", (number + day) % 7, day=day)
        for number in range(40)
        for day in range(4)
    ]


def answers() -> list[dict[str, object]]:
    """What the shop will sell after the cut, told without a time: and nothing else."""
    return [{**row, "occurred_at": None} for row in shop() if row["occurred_at"] >= CUT]  # type: ignore[operator]


def load(database: Database, folder: Path, **sources: list[dict[str, object]]) -> None:
    for name, rows in sources.items():
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
        terms = Terms(vendor="Data AG", price=Decimal(100), currency="EUR") if name == "vendor" else NO_TERMS
        import_activity(
            database,
            [folder / f"{name}.parquet"],
            source=name,
            legal_basis="contract",
            terms=terms,
            now=START + timedelta(days=30),
        )


def measure(database: Database, folder: Path, plan: Plan = PLAN, source_id: str = "vendor") -> SourceReport:
    with database.connection() as connection:
        source = get_source(connection, source_id)
    return measure_source(take_snapshot(database, folder / "snapshots"), source, plan=plan)


def test_a_source_that_shows_the_taste_of_strangers_makes_rankings_better(
    database: Database, tmp_path: Path
) -> None:
    load(database, tmp_path, shop=shop(), vendor=telling())
    report = measure(database, tmp_path)
    (effect,) = report.effects
    assert (effect.protocol, effect.verdict) == ("time", "better")
    assert 0 < effect.low < effect.gain < effect.high
    assert effect.gain == pytest.approx(effect.including - effect.without)
    assert effect.n_queries == effect.n_consumers == N_CONSUMERS
    assert (report.price, report.currency) == (100, "EUR")
    assert report.price_per_point == pytest.approx(100 / (100 * effect.gain))
    assert (report.judged_from, report.model) == (CUT, "als")


def test_what_it_brings_is_counted_by_hand(database: Database, tmp_path: Path) -> None:
    both = purchase(1, "books", 1, day=0)
    load(
        database,
        tmp_path,
        shop=[both, purchase(2, "books", 2, day=9), purchase(2, "books", 3, day=9)],
        vendor=[
            both,
            {**both, "kind": "page_view"},
            purchase(1, "books", 2, day=0),
            purchase(3, "cars", 1, day=0),
        ],
    )
    report = measure(database, tmp_path)
    assert (report.events, report.learned_from, report.share_of_events) == (4, 4, 4 / 7)
    assert (report.consumers, report.consumers_only_here) == (2, 1)
    assert (report.items, report.items_only_here) == (3, 1)
    assert (report.pairs, report.pairs_only_here) == (3, 2)


def test_without_the_source_is_what_a_storage_that_never_had_it_gives(
    database: Database, tmp_path: Path
) -> None:
    load(database, tmp_path, shop=shop())
    split = split_by_time(read_activity(take_snapshot(database, tmp_path / "before").activity), CUT)
    interactions = build_interactions(split.train, as_of=CUT)
    popularity = Popularity().fit(interactions)
    alone = []
    for seed in range(PLAN.random_state, PLAN.random_state + FITS):
        model = fit("als", interactions, random_state=seed)
        results = evaluate_items([model], interactions, split, popularity=popularity)
        alone.append(find(results, protocol="time", model="als").mean)  # type: ignore[union-attr]
    load(database, tmp_path, vendor=telling())
    (effect,) = measure(database, tmp_path).effects
    assert effect.without == pytest.approx(np.mean(alone))


def test_a_source_about_others_shows_no_difference_and_has_no_price_a_point(
    database: Database, tmp_path: Path
) -> None:
    load(database, tmp_path, shop=shop(), vendor=unrelated())
    report = measure(database, tmp_path)
    assert report.effects[0].verdict == "no difference seen"
    assert report.price_per_point is None


@pytest.mark.parametrize("cut", [CUT, None])
def test_a_source_is_not_credited_for_telling_the_answers(
    database: Database, tmp_path: Path, cut: datetime | None
) -> None:
    timed = shop() if cut else [{**row, "occurred_at": None} for row in shop()]
    load(database, tmp_path, shop=timed, vendor=[*answers(), *unrelated()])
    report = measure(database, tmp_path, Plan("als", cut=cut))
    assert report.effects[0].gain <= 0.01


def test_its_own_later_events_are_not_asked_about(database: Database, tmp_path: Path) -> None:
    later = [purchase(number, "garden", 3, day=9) for number in range(N_CONSUMERS)]
    load(database, tmp_path, shop=shop(), vendor=[*telling(), *later])
    report = measure(database, tmp_path)
    assert report.effects[0].n_queries == N_CONSUMERS
    assert report.learned_from == report.events - len(later)


def test_few_consumers_are_too_few_to_tell(database: Database, tmp_path: Path) -> None:
    few = {f"c{number:02}" for number in range(8)}
    load(
        database,
        tmp_path,
        shop=[row for row in shop() if row["consumer_id"] in few],
        vendor=[row for row in telling() if row["consumer_id"] in few],
    )
    report = measure(database, tmp_path)
    assert report.effects[0].verdict == "too few consumers"
    assert report.price_per_point is None


def test_where_promotions_were_taken_up_they_come_first_but_not_the_sources_own(
    database: Database, tmp_path: Path
) -> None:
    covers = {
        taste: [{"site_id": "books", "item_id": f"i{item:02}"} for item in range(which, 2 * N_ITEMS, 2)]
        for which, taste in enumerate(("even", "odd"))
    }
    promotions = [
        {"promotion_id": taste, "title": taste, "sites": ["books"], "items": items}
        for taste, items in covers.items()
    ]
    pq.write_table(pa.Table.from_pylist(promotions), tmp_path / "promotions.parquet")
    import_promotions(database, [tmp_path / "promotions.parquet"], source="campaigns")

    def taken_up(day: int) -> list[dict[str, object]]:
        return [
            {
                "consumer_id": f"c{number:02}",
                "site_id": "books",
                "item_id": None,
                "kind": "promotion_conversion",
                "promotion_id": ("even", "odd")[number % 2],
                "occurred_at": START + timedelta(days=day, minutes=number),
            }
            for number in range(N_CONSUMERS)
        ]

    load(database, tmp_path, shop=shop(), outcomes=taken_up(9), vendor=telling())
    load(database, tmp_path, more=taken_up(8))
    with database.connection() as connection:
        connection.execute("UPDATE activity SET source_id = 'vendor' WHERE source_id = 'more'")
    report = measure(database, tmp_path)
    assert [effect.protocol for effect in report.effects] == ["redemptions", "time"]
    assert report.effects[0].n_queries == N_CONSUMERS
    assert report.effects[0].verdict == "better"


def test_what_cannot_be_measured_is_told_in_one_sentence(database: Database, tmp_path: Path) -> None:
    load(database, tmp_path, vendor=telling())
    with pytest.raises(NothingToEvaluate, match=r"all 480 events .* nothing is left to compare with"):
        measure(database, tmp_path)
    load(database, tmp_path, shop=shop(), late=[purchase(1, "garden", 1, day=9)])
    with pytest.raises(NothingToEvaluate, match="tells nothing from before 2026-01-09"):
        measure(database, tmp_path, source_id="late")
    with database.connection() as connection:
        connection.execute("UPDATE activity SET cross_site = false WHERE source_id = 'late'")
    with pytest.raises(
        NothingToEvaluate, match="of the 1 events of source 'late' models may learn from none"
    ):
        measure(database, tmp_path, source_id="late")


def test_a_source_that_may_not_be_used_and_one_that_is_not_there_are_refused(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    load(database, tmp_path, shop=shop(), vendor=telling())
    with database.connection() as connection:
        withdraw_source(connection, "vendor", reason="over")
        connection.execute("UPDATE source SET expires_on = '2020-01-31' WHERE source_id = 'shop'")
    with pytest.raises(NothingToEvaluate, match="'vendor' was withdrawn on"):
        report_source(database, settings, "vendor", plan=PLAN)
    with pytest.raises(NothingToEvaluate, match="'shop' expired on 2020-01-31"):
        report_source(database, settings, "shop", plan=PLAN)
    with pytest.raises(UnknownSource, match="unknown source 'nobody'; known sources: shop, vendor"):
        report_source(database, settings, "nobody", plan=PLAN)


def test_the_command_prints_a_table_or_json(
    database: Database, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(database, tmp_path, shop=shop(), vendor=telling())
    monkeypatch.setenv("TAILOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
    monkeypatch.setenv("TAILOR_SNAPSHOTS_KEPT", "1")
    command = ["source", "report", "vendor", "--cut", "2026-01-09"]
    told = json.loads(CliRunner().invoke(tailor.app, [*command, "--json"], catch_exceptions=False).stdout)
    assert told["effects"][0]["verdict"] == "better"
    table = CliRunner().invoke(tailor.app, command, catch_exceptions=False).stdout
    assert "better" in table
    assert len(list((tmp_path / "home" / "snapshots").iterdir())) == 1
