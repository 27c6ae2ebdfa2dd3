"""A version that ranks worse than the champion is not promoted, also when it was trained on another day."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.als import Als
from models.bundle import read_bundle
from models.warm import ALS_ITERATIONS
from storage.champions import champion_history, current_champion
from storage.database import Database
from storage.imports import import_activity
from storage.settings import Settings
from tests.training.conftest import START, small_activity
from training.answers import ANSWERS_FILE, read_answers
from training.errors import AnswersRefused, WorseThanChampion
from training.pipeline import train, train_models
from training.plan import Plan
from training.promotion import promote, rollback
from training.results import EVALUATION_FOLDER
from training.tracking import Tracker


def champion_of(database: Database) -> str:
    with database.connection() as connection:
        champion = current_champion(connection)
    assert champion is not None
    return champion.version


def add_a_day(database: Database, directory: Path) -> None:
    """A stranger comes by: another snapshot, and a later one."""
    visit = small_activity().slice(0, 1).to_pylist()[0]
    file = directory / "later.parquet"
    visit |= {"consumer_id": "stranger", "occurred_at": START + timedelta(days=10)}
    pq.write_table(small_activity().from_pylist([visit]), file)
    import_activity(database, [file], source="test", legal_basis="contract", now=START + timedelta(days=30))


def test_of_two_versions_of_one_snapshot_the_worse_is_refused_and_forced_only_in_the_open(
    filled: Database, settings: Settings
) -> None:
    popularity, als = train_models(filled, settings, plans=[Plan("popularity"), Plan("als")])
    assert promote(filled, settings, popularity.version).compared == "not compared: there is no champion yet"
    better = promote(filled, settings, als.version)
    assert better.compared.startswith("better: NDCG@10 higher by .")
    again = promote(filled, settings, als.version)
    assert (again.changed, again.compared) == (False, "not compared: it is the champion already")
    with pytest.raises(
        WorseThanChampion, match=rf"lower by \.\d+ \(\.\d+ to .*promote {popularity.version} --f"
    ):
        promote(filled, settings, popularity.version)
    assert champion_of(filled) == als.version == Tracker(settings).champion_version()
    forced = promote(filled, settings, popularity.version, actor="tailor promote", force=True)
    assert forced.compared.startswith("worse, forced: NDCG@10 lower by .")
    with filled.connection() as connection:
        actor = champion_history(connection)[-1].actor
    assert actor == f"tailor promote --force: {forced.compared.removeprefix('worse, forced: ')}"
    assert rollback(filled, settings).version == als.version


def test_the_champion_of_another_day_answers_the_questions_of_today(
    filled: Database, settings: Settings, tmp_path: Path
) -> None:
    champion = train(filled, settings, model="als")
    promote(filled, settings, champion.version)
    add_a_day(filled, tmp_path)
    other = Plan("als", parameters=Als(factors=3, iterations=2))
    popularity, als = train_models(filled, settings, plans=[Plan("popularity"), other])
    with pytest.raises(WorseThanChampion):
        promote(filled, settings, popularity.version)
    assert promote(filled, settings, als.version).compared.startswith(("better", "no difference seen"))
    # And back: the earlier one was asked then what the new champion was asked.
    assert "not compared" not in promote(filled, settings, champion.version, force=True).compared


def test_the_same_recipe_trained_again_passes_without_being_fitted_twice(
    filled: Database, settings: Settings, tmp_path: Path
) -> None:
    promote(filled, settings, train(filled, settings, model="als").version)
    add_a_day(filled, tmp_path)
    stages: list[str] = []
    (again,) = train_models(
        filled, settings, plans=[Plan("als")], progress=lambda stage, _done, _total: stages.append(stage)
    )
    assert "evaluate the champion" not in stages
    assert promote(filled, settings, again.version).compared == (
        "no difference seen: NDCG@10 higher by .000 (.000 to .000)"
    )


def test_versions_trained_one_after_the_other_on_the_same_data_are_compared(
    filled: Database, settings: Settings
) -> None:
    als = train(filled, settings, model="als")
    popularity = train(filled, settings, model="popularity")
    promote(filled, settings, als.version)
    with pytest.raises(WorseThanChampion):
        promote(filled, settings, popularity.version)


def test_the_champions_recipe_is_trained_again_from_its_factors(
    filled: Database, settings: Settings, tmp_path: Path
) -> None:
    recipe = Plan("als", parameters=Als(factors=5, iterations=7))
    promote(filled, settings, train_models(filled, settings, plans=[recipe])[0].version)
    add_a_day(filled, tmp_path)
    stages: dict[str, int] = {}

    def progress(stage: str, done: int, _total: int | None) -> None:
        stages[stage] = done

    (again,) = train_models(filled, settings, plans=[Plan("champion")], progress=progress)
    assert again.model == "als"
    assert stages["fit als"] == ALS_ITERATIONS
    bundle = read_bundle(Tracker(settings).download_bundle(again.version, tmp_path / "bundle"))
    assert bundle.model.parameters() == asdict(Als(factors=5, iterations=7))
    assert promote(filled, settings, again.version).compared.startswith("no difference seen")


def test_versions_asked_about_other_data_are_not_compared(
    filled: Database, settings: Settings, tmp_path: Path
) -> None:
    first = train(filled, settings, model="als")
    add_a_day(filled, tmp_path)
    second = train(filled, settings, model="popularity")
    promote(filled, settings, first.version)
    assert promote(filled, settings, second.version).compared == "not compared: judged on other data"


def test_what_cannot_be_read_stops_at_the_gate_unless_it_is_forced(
    filled: Database, settings: Settings
) -> None:
    popularity, als = train_models(filled, settings, plans=[Plan("popularity"), Plan("als")])
    promote(filled, settings, popularity.version)
    (file,) = (settings.home / "mlartifacts").glob(f"{als.run_id}/**/{EVALUATION_FOLDER}/{ANSWERS_FILE}")
    assert set(read_answers(file)) == {"redemptions", "time", "second_site"}
    file.write_bytes(b"rubbish")
    with pytest.raises(AnswersRefused, match="train again"):
        promote(filled, settings, als.version)
    assert "cannot be read" in promote(filled, settings, als.version, force=True).compared
    assert champion_of(filled) == als.version
