"""The processes around the service: started, followed, and gone when it is gone."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from serving.server import server_environment
from storage.champions import champion_history
from storage.database import Database

# Registers the bundles named on standard input, one a line, and moves the alias to each.
REGISTER = """
import sys, mlflow
from pathlib import Path
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
client.create_registered_model("tailored-promotions")
for line in sys.stdin:
    made = client.create_model_version("tailored-promotions", source=Path(line.strip()).as_uri())
    client.set_registered_model_alias("tailored-promotions", "champion", made.version)
"""


@contextmanager
def mlflow_user(home):
    """Somebody who works in MLflow; call it with a champion to register it and move the alias to it."""
    home.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", REGISTER, f"sqlite:///{home / 'mlflow.db'}"],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        cwd=home,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:

        def move_alias(champion):
            process.stdin.write(champion.location + "\n")
            process.stdin.flush()

        yield move_alias
        process.stdin.close()
    assert process.returncode == 0


def has_ended(process):
    # Where process 1 does not look after orphans they stay as zombies.
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def watcher_of(service):
    for process in psutil.Process(service.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # ended, or a zombie, between the two looks
            if "serving.champion" in process.cmdline():
                return process
    return None


@pytest.fixture(scope="module")
def watched(server_url, template, world, tmp_path_factory):
    """A service with its champion watcher."""
    directory = tmp_path_factory.mktemp("watched")
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        settings = {"TAILOR_SERVING_WATCH_CHAMPION": "true", "TAILOR_SERVING_CHAMPION_POLL_S": "0.2"}
        with world.serving(url, directory, keys=keys, **settings) as service:
            service.until(service.is_ready)
            yield service


def test_an_alias_moved_in_mlflow_moves_the_champion(watched, world, tmp_path):
    with mlflow_user(watched.home) as move_alias:
        move_alias(world.make_bundle(tmp_path))
        watched.until(lambda: watched.champion() == "1")
        assert watched.decide("anybody")["model"]["version"] == "1"
        move_alias(world.make_bundle(tmp_path, random_state=1))
        watched.until(lambda: watched.champion() == "2")
    with Database(watched.database_url) as database, database.connection() as connection:
        told = [(e.champion.version, e.action, e.actor) for e in champion_history(connection)]
    assert told == [("1", "promote", "mlflow"), ("2", "promote", "mlflow")]


def test_a_watcher_that_dies_is_replaced(watched):
    first = watched.until(lambda: watcher_of(watched))
    first.kill()
    watched.until(lambda: (now := watcher_of(watched)) is not None and now.pid != first.pid)


def test_a_watcher_ends_with_a_worker_that_is_killed(watched):
    watcher = watched.until(lambda: watcher_of(watched))
    worker = watcher.parent()
    worker.kill()
    watched.until(lambda: has_ended(watcher))
    # BentoML starts another worker, and the worker another watcher.
    watched.until(watched.is_ready)
    watched.until(lambda: watcher_of(watched))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_behind(server_url, template, world, tmp_path, how):
    with world.fresh_database(server_url, template) as url:
        watching = {"TAILOR_SERVING_WATCH_CHAMPION": "true"}
        with world.serving(url, tmp_path, keys=None, **watching) as service:
            service.until(lambda: watcher_of(service))
            left = world.stop(service, with_signal=how)
            assert not left, [process.cmdline() for process in left]


def test_workers_do_not_outlive_a_server_that_is_killed(server_url, template, world, tmp_path):
    with world.fresh_database(server_url, template) as url:
        watching = {"TAILOR_SERVING_WATCH_CHAMPION": "true"}
        with world.serving(url, tmp_path, keys=None, **watching) as service:
            service.until(lambda: watcher_of(service))
            family = psutil.Process(service.process.pid).children(recursive=True)
            service.process.kill()
            service.process.wait()
            _, left = psutil.wait_procs(family, timeout=20)
            assert all(has_ended(process) for process in left), [process.cmdline() for process in left]


def test_the_server_is_told_absolute_homes_and_how_many_workers():
    environ = server_environment(workers=3, environ={"TAILOR_HOME": "var", "PATH": "/bin"})
    assert Path(environ["TAILOR_HOME"]).is_absolute()
    assert environ["BENTOML_CONFIG_OPTIONS"] == "services.TailoredPromotions.workers=3"
    assert environ["BENTOML_DO_NOT_TRACK"] == "True"


def test_a_setting_nobody_reads_is_refused_before_anything_starts():
    with pytest.raises(ValueError, match="TAILOR_SERVING_WORKERS"):
        server_environment(workers=1, environ={"TAILOR_SERVING_WORKERS": "3"})


def test_the_built_bento_serves(server_url, template, world, tmp_path):
    environ = {**os.environ, "BENTOML_HOME": str(tmp_path / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", ".", "--output", "tag"],
        env=environ, cwd=world.root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    tag = built.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    assert tag.startswith("tailored_promotions:")
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        world.promote(url, world.make_bundle(tmp_path / "home" / "bundles"))
        with world.serving(url, tmp_path, keys=keys, target=tag, where=tmp_path) as service:
            service.until(service.is_ready)
            assert service.decide("anybody")["promotion"]["promotion_id"] == "pan-deal"
