"""The champion watcher: copies what the alias `champion` in MLflow names to the champion log in the database.

`python -m serving.champion` is a process of its own because mlflow takes seconds and 200 MB to import. It is
started by the service, ends when its standard input ends (so it cannot outlive a parent that was killed),
and of all the watchers of one database only the one that holds the lock imports mlflow.
"""

import logging
import os
import signal
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from models.bundle import place_bundle
from models.errors import BundleRefused
from serving.companion import wait_for_starter
from serving.settings import read_serving_settings
from storage.champions import Champion, current_champion, record_champion
from storage.database import Connection, Database, open_database
from storage.errors import StorageError
from storage.schema import check_schema
from storage.settings import Settings, read_settings

logger = logging.getLogger(__name__)

REGISTERED_MODEL = "tailored-promotions"
ALIAS = "champion"
UNTIL_STDIN_ENDS = "--until-stdin-ends"

# Whoever promotes moves the alias and writes the log itself, in that order; the watcher steps in only if the
# two still differ after so many looks.
LOOKS_BEFORE_ACTING = 3
_LOCK = 0x7461696C6F7243  # "tailorC"
_GRACE_S = 0.5


class Registry(Protocol):
    """Where models are registered."""

    def champion_version(self) -> str | None:
        """Return the version that the alias names; None while there is none."""
        ...

    def download(self, version: str, directory: Path) -> Path:
        """Put the bundle of a version below `directory` and return its own folder."""
        ...


class MlflowRegistry:
    """MLflow's model registry."""

    def __init__(self, tracking_uri: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow  # seconds and 200 MB: only here, and only in this process

        mlflow.set_tracking_uri(tracking_uri)
        self._mlflow = mlflow
        self._client = mlflow.MlflowClient()

    def champion_version(self) -> str | None:
        """Return the version that the alias names; None while there is none, or no answer."""
        try:
            return str(self._client.get_model_version_by_alias(REGISTERED_MODEL, ALIAS).version)
        except self._mlflow.exceptions.MlflowException as error:
            logger.debug("no champion in MLflow: %s", error)
            return None

    def download(self, version: str, directory: Path) -> Path:
        """Put the artifacts of a version below `directory`; the bundle is where its manifest is."""
        uri = f"models:/{REGISTERED_MODEL}/{version}"
        try:
            root = Path(self._mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(directory)))
        except self._mlflow.exceptions.MlflowException as error:
            raise BundleRefused(f"MLflow does not hand out {uri}: {error}") from error
        manifests = sorted(root.rglob("manifest.json"))
        if len(manifests) != 1:
            raise BundleRefused(f"{uri} holds {len(manifests)} bundles instead of one")
        return manifests[0].parent


@dataclass
class Watcher:
    """Copies alias moves to the champion log while it is the only one to do so."""

    database: Database
    open_registry: Callable[[], Registry | None]
    bundles: Path
    poll_s: float
    stop: threading.Event

    def run(self) -> None:
        """Watch until told to stop; what goes wrong is logged and tried again."""
        told = ""
        while not self.stop.is_set():
            try:
                check_schema(self.database)
                with self.database.connection() as connection:
                    if _take_lock(connection):
                        self._follow(connection)
                told = ""
            except StorageError as error:
                if str(error) != told:
                    logger.warning("the champion cannot be followed now: %s", error)
                told = str(error)
            self.stop.wait(self.poll_s)

    def _follow(self, connection: Connection) -> None:
        registry: Registry | None = None
        refused: str | None = None
        wanted: tuple[str, str | None] | None = None
        looks = 0
        while not self.stop.wait(self.poll_s):
            live = current_champion(connection)
            connection.commit()
            registry = registry or self.open_registry()
            version = None if registry is None else registry.champion_version()
            if registry is None or version is None or version == refused:
                continue
            served = None if live is None else live.version
            difference = None if served == version else (version, served)
            looks = looks + 1 if difference is not None and difference == wanted else 1
            wanted = difference
            if difference is None or looks < LOOKS_BEFORE_ACTING:
                continue
            try:
                self._copy(version, registry=registry, connection=connection)
            except BundleRefused as error:
                refused = version
                logger.warning("version %s is not taken over: %s", version, error)

    def _copy(self, version: str, *, registry: Registry, connection: Connection) -> None:
        self.bundles.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=self.bundles) as incoming:
            place = registry.download(version, Path(incoming))
            bundle, final = place_bundle(place, self.bundles)
        entry = Champion(
            version=version, model_kind=bundle.model.kind, digest=bundle.digest, location=str(final)
        )
        if record_champion(connection, entry, action="promote", actor="mlflow"):
            logger.info("the alias moved in MLflow: version %s (%s) serves", version, entry.model_kind)
        connection.commit()


def registry_of(settings: Settings) -> Registry | None:
    """Open the registry, or return None while there is nothing in it.

    MLflow would create a missing SQLite file, and race with a training that does the same; and until
    there is a registered alias its 200 MB are better saved.
    """
    place = settings.tracking_uri.removeprefix("sqlite:///")
    if place != settings.tracking_uri and not _has_aliases(Path(urlsplit(place).path)):
        return None
    return MlflowRegistry(settings.tracking_uri)


def _has_aliases(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return bool(connection.execute("SELECT 1 FROM registered_model_aliases LIMIT 1").fetchone())
    except sqlite3.Error:
        return False


def _take_lock(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
    connection.commit()
    return bool(row and row[0])


def _end_with_parent(stop: threading.Event) -> None:
    wait_for_starter()
    stop.set()
    # An import or a download in progress is not waited for: what it wrote has a temporary name.
    threading.Event().wait(_GRACE_S)
    os._exit(0)


def main(arguments: list[str]) -> int:
    """Watch until interrupted, or until standard input ends when told so."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    if UNTIL_STDIN_ENDS in arguments:
        # Ctrl-C reaches the whole group; the parent stops first and then lets us go.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
        if hasattr(os, "nice"):
            os.nice(10)
    settings = read_settings()
    with open_database(settings, max_size=1) as database:
        Watcher(
            database=database,
            open_registry=lambda: registry_of(settings),
            bundles=settings.home / "bundles",
            poll_s=read_serving_settings().champion_poll_s,
            stop=stop,
        ).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
