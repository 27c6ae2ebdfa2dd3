"""Whole trainings on a real database and a real MLflow."""

import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from features.errors import SnapshotRefused
from features.snapshot import Snapshot, take_snapshot
from models.bundle import read_bundle
from models.errors import BundleRefused
from storage.champions import champion_history, current_champion
from storage.database import Database
from storage.settings import Settings
from training.compare import compare, results_of
from training.errors import InvalidProtocol, RegistryUnavailable, UnknownVersion
from training.pipeline import TrainingReport, train, train_again, train_models, train_snapshot
from training.plan import Plan
from training.promotion import promote, rollback
from training.results import find
from training.tracking import EXPERIMENT, Tracker

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def trained(filled: Database, settings: Settings) -> dict[str, TrainingReport]:
    reports = train_models(filled, settings, plans=[Plan("popularity"), Plan("als")])
    return {report.model: report for report in reports}


def runs(settings: Settings) -> list[tuple[str, str]]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=settings.tracking_uri)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return [(run.info.run_id, run.info.status) for run in client.search_runs([experiment.experiment_id])]


def left_over(settings: Settings) -> list[str]:
    places = [settings.home, settings.home / "bundles"]
    return [one.name for place in places if place.is_dir() for one in place.glob(".*")]


def test_als_beats_popularity_on_redemptions_and_comes_first(
    trained: dict[str, TrainingReport], settings: Settings
) -> None:
    als, popularity = trained["als"], trained["popularity"]
    assert als.judged_by == popularity.judged_by == "redemptions"
    assert als.popularity == popularity.ndcg_at_10
    assert als.ndcg_at_10 is not None
    assert popularity.ndcg_at_10 is not None
    assert als.ndcg_at_10 > popularity.ndcg_at_10
    rows = [row for row in compare(settings) if row.version in (als.version, popularity.version)]
    assert [row.model for row in rows] == ["als", "popularity"]
    assert rows[0].ndcg_at_10 == pytest.approx(als.ndcg_at_10)
    assert rows[0].popularity == pytest.approx(popularity.ndcg_at_10)
    assert rows[0].low is not None
    assert (rows[0].judged_by, rows[0].n_queries) == ("redemptions", als.n_queries)


def test_trained_alone_or_beside_another_a_model_gets_the_same_figures(
    trained: dict[str, TrainingReport], filled: Database, settings: Settings
) -> None:
    alone = train(filled, settings, model="popularity")
    beside = trained["popularity"]
    assert (alone.ndcg_at_10, alone.low, alone.high) == (beside.ndcg_at_10, beside.low, beside.high)


def test_plans_that_do_not_compare_are_refused(snapshot: Snapshot, settings: Settings) -> None:
    with pytest.raises(InvalidProtocol, match="train them apart"):
        train_snapshot(snapshot, settings, plans=[Plan("als"), Plan("popularity", random_state=1)])
    with pytest.raises(InvalidProtocol, match="each of another"):
        train_snapshot(snapshot, settings, plans=[Plan("als"), Plan("als")])


def test_what_is_registered_is_the_bundle_and_what_was_measured(
    trained: dict[str, TrainingReport], settings: Settings, tmp_path: Path
) -> None:
    report = trained["als"]
    place = Tracker(settings).download_bundle(report.version, tmp_path)
    bundle = read_bundle(place, expected_digest=report.digest)
    assert bundle.model.kind == "als"
    assert bundle.manifest["metrics"]["ndcg_at_10"] == report.ndcg_at_10
    assert bundle.manifest["data"]["n_consumers"] == 24
    evaluation = next((settings.home / "mlartifacts").glob(f"{report.run_id}/**/evaluation"))
    assert {path.name for path in evaluation.iterdir()} == {
        "answers.npz", "results.json", "recall_by_k.png", "ndcg_by_model.png", "ndcg_by_segment.png",
        "ndcg_by_site.png", "coverage_and_bias.png"
    }  # fmt: skip
    protocols = {row["protocol"] for row in json.loads((evaluation / "results.json").read_text())}
    assert protocols == {"redemptions", "time", "second_site"}


def test_nothing_but_its_snapshot_names_the_consumers_that_a_training_learned_from(
    filled: Database, settings: Settings
) -> None:
    with filled.connection() as connection:
        connection.execute("UPDATE activity SET identifier = 'somebody-' || identifier")
        connection.execute("UPDATE identifier SET identifier = 'somebody-' || identifier")
        connection.execute("UPDATE identifier SET consumer_id = 'somebody-' || consumer_id")
    train(filled, settings, model="als")
    files = [path for path in settings.home.rglob("*") if path.is_file()]
    naming = [path for path in files if b"somebody-" in path.read_bytes()]
    assert naming
    assert [path for path in naming if not path.is_relative_to(settings.snapshots_dir)] == []


def test_every_figure_of_a_version_can_be_read_back(
    trained: dict[str, TrainingReport], settings: Settings
) -> None:
    report = trained["als"]
    found = find(results_of(settings, report.version), protocol="redemptions", model="als")
    assert found is not None
    assert (found.mean, found.low, found.high) == (report.ndcg_at_10, report.low, report.high)


def test_the_same_data_and_seed_give_the_same_arrays(
    snapshot: Snapshot, settings: Settings, tmp_path: Path
) -> None:
    told = []
    for number in range(2):
        (report,) = train_snapshot(snapshot, settings, plans=[Plan("als", random_state=7)])
        place = Tracker(settings).download_bundle(report.version, tmp_path / str(number))
        told.append(read_bundle(place).manifest["files"])
    assert told[0] == told[1]


def test_a_training_is_repeated_from_the_snapshot_that_its_version_names(
    trained: dict[str, TrainingReport], settings: Settings
) -> None:
    first = trained["als"]
    (row,) = [row for row in compare(settings) if row.version == first.version]
    (again,) = train_again(settings, row.data, plans=[Plan("als")])
    told = [Tracker(settings).version(one.version).tags for one in (first, again)]
    assert told[0]["snapshot_digest"] == told[1]["snapshot_digest"]
    assert (again.ndcg_at_10, again.low, again.high) == (first.ndcg_at_10, first.low, first.high)
    with pytest.raises(SnapshotRefused, match=f"0 snapshots in .* 'abc'; there are: .*{row.data}"):
        train_again(settings, "abc", plans=[Plan("als")])


def test_promote_places_the_bundle_moves_the_alias_and_writes_the_log(
    trained: dict[str, TrainingReport], filled: Database, settings: Settings
) -> None:
    report = trained["als"]
    change = promote(filled, settings, report.version, actor="test")
    assert change.changed
    assert Path(change.location) == settings.home / "bundles" / report.digest
    assert read_bundle(Path(change.location), expected_digest=report.digest).model.kind == "als"
    assert Tracker(settings).champion_version() == report.version
    with filled.connection() as connection:
        champion = current_champion(connection)
    assert champion is not None
    assert (champion.version, champion.digest) == (report.version, report.digest)
    assert not promote(filled, settings, report.version, actor="test").changed
    assert not left_over(settings)


def test_rollback_goes_one_step_back_and_the_log_keeps_everything(
    trained: dict[str, TrainingReport], filled: Database, settings: Settings
) -> None:
    first, second = trained["popularity"].version, trained["als"].version
    promote(filled, settings, first)
    promote(filled, settings, second)
    assert rollback(filled, settings).version == first
    assert Tracker(settings).champion_version() == first
    with filled.connection() as connection:
        log = [(entry.action, entry.champion.version) for entry in champion_history(connection)]
    assert log == [("promote", first), ("promote", second), ("rollback", first)]
    with pytest.raises(UnknownVersion, match="tailor promote"):
        rollback(filled, settings)


def test_an_unknown_version_is_refused_with_the_known_ones(
    trained: dict[str, TrainingReport], filled: Database, settings: Settings
) -> None:
    with pytest.raises(
        UnknownVersion, match=rf"unknown version '999'; known versions: .*{trained['als'].version}"
    ):
        promote(filled, settings, "999")


def test_a_changed_bundle_is_refused_and_nothing_moves(
    trained: dict[str, TrainingReport], filled: Database, settings: Settings
) -> None:
    report = trained["als"]
    promote(filled, settings, trained["popularity"].version)
    kept = next((settings.home / "mlartifacts").glob(f"{report.run_id}/**/bundle/model.safetensors"))
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    with pytest.raises(BundleRefused, match=r"model\.safetensors was changed"):
        promote(filled, settings, report.version)
    assert Tracker(settings).champion_version() == trained["popularity"].version
    assert not left_over(settings)


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt(), "KILLED"), (OSError("disk full"), "FAILED")]
)
def test_a_training_that_is_stopped_leaves_a_run_that_says_so_and_nothing_else(
    snapshot: Snapshot, settings: Settings, error: BaseException, status: str
) -> None:
    before = {version.version for version in Tracker(settings).versions()}
    earlier = dict(runs(settings)) if (settings.home / "mlflow.db").exists() and before else {}

    def stop(stage: str, _done: int, _total: int | None) -> None:
        if stage == "register als":
            raise error

    with pytest.raises(type(error)):
        train_snapshot(snapshot, settings, plans=[Plan("als")], progress=stop)
    assert {version.version for version in Tracker(settings).versions()} == before
    assert [one for run_id, one in runs(settings) if run_id not in earlier] == [status]
    assert not left_over(settings)


def test_data_too_thin_to_judge_still_give_a_model(
    filled: Database, settings: Settings, tmp_path: Path
) -> None:
    with filled.connection() as connection:
        connection.execute("DELETE FROM activity WHERE identifier <> 'c00' OR kind <> 'purchase'")
        connection.execute("DELETE FROM activity WHERE event_id <> (SELECT min(event_id) FROM activity)")
    (report,) = train_snapshot(take_snapshot(filled, tmp_path / "thin"), settings, plans=[Plan("popularity")])
    assert (report.judged_by, report.ndcg_at_10, report.n_queries) == (None, None, 0)
    assert compare(settings)[-1].version == report.version


def test_a_cut_outside_the_data_is_refused(snapshot: Snapshot, settings: Settings) -> None:
    with pytest.raises(InvalidProtocol, match=r"leaves .* events before and 0 after"):
        train_snapshot(snapshot, settings, plans=[Plan("als", cut=snapshot.as_of + timedelta(days=9))])


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidProtocol, match="unknown model 'magic'; known: auto, champion, als"):
        Plan("magic")


def test_an_mlflow_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    nowhere = Settings(home=tmp_path, mlflow_tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db")
    with pytest.raises(RegistryUnavailable, match=r"MLflow at sqlite:///.* refused") as told:
        Tracker(nowhere).versions()
    assert "\n" not in str(told.value)


TRAINING = """
import sys
from pathlib import Path
from features.snapshot import open_snapshot
from storage.settings import Settings
from training.pipeline import train_snapshot
from training.plan import Plan

train_snapshot(
    open_snapshot(Path(sys.argv[1])),
    Settings(home=Path(sys.argv[2])),
    plans=[Plan(sys.argv[3])],
    progress=lambda *stage: print(*stage, flush=True),
)
"""


def start_training(snapshot: Snapshot, home: Path, model: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(snapshot.path), str(home), model],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_two_trainings_at_once_both_succeed(snapshot: Snapshot, tmp_path: Path) -> None:
    home = tmp_path / "a fresh home"
    both = [start_training(snapshot, home, model) for model in ("als", "popularity")]
    for process in both:
        process.communicate(timeout=240)
    assert [process.returncode for process in both] == [0, 0]
    rows = compare(Settings(home=home))
    assert {row.version for row in rows} == {"1", "2"}
    assert {row.model for row in rows} == {"als", "popularity"}


def test_ctrl_c_while_training_leaves_nothing_half_written(snapshot: Snapshot, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    process = start_training(snapshot, settings.home, "als")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("evaluate")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert [status for _, status in runs(settings)] == ["KILLED"]
    assert not Tracker(settings).versions()
    assert not left_over(settings)
