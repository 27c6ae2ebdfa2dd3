"""The door to MLflow: runs, registered versions, the alias `champion`. Nothing else imports mlflow.

Importing it takes seconds, so that happens at the first use and not with this module. Artifacts are plain
files; MLflow's own model flavours (and their pickles and `code_paths`) are not used.
"""

import functools
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import fasteners

from storage.settings import Settings
from training.errors import RegistryUnavailable, UnknownVersion

REGISTERED_MODEL = "tailored-promotions"
EXPERIMENT = "tailored-promotions"
CHAMPION = "champion"
BUNDLE_FOLDER = "bundle"

_TRIES = 5

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered model.

    Attributes
    ----------
    version : str
        Its number in the registry.
    run_id : str
        The training it came from.
    tags : mapping
        What was said of it when it was registered: kind, digest...
    metrics : mapping
        Of its run.
    """

    version: str
    run_id: str
    created_at: datetime
    is_champion: bool
    tags: Mapping[str, str]
    metrics: Mapping[str, float]


def _be_quiet() -> None:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # Seven tries with growing pauses take minutes until a server that is away is given up.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    # It tells of every table it makes.
    for chatty in ("mlflow.store.db.utils", "mlflow.store.model_registry", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _told(
    call: Callable[Concatenate["Tracker", Given], Returned],
) -> Callable[Concatenate["Tracker", Given], Returned]:
    """One call to MLflow: alone on a SQLite file, tried again while that is locked, errors as ours."""

    @functools.wraps(call)
    def told(self: "Tracker", /, *args: Given.args, **kwargs: Given.kwargs) -> Returned:
        _be_quiet()
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        for attempt in range(1, _TRIES + 1):
            try:
                with self._alone():
                    return call(self, *args, **kwargs)
            except (MlflowException, SQLAlchemyError, OSError) as error:
                # Somebody else who has the file open, such as MLflow's own page, may hold it for a moment.
                if "database is locked" in str(error) and attempt < _TRIES:
                    time.sleep(0.2 * attempt)
                    continue
                reason = str(error).strip().splitlines()[0]
                raise RegistryUnavailable(f"MLflow at {self.uri} refused: {reason}") from error
        raise RegistryUnavailable(f"MLflow at {self.uri} stayed locked")

    return told


class Tracker:
    """MLflow, as far as training needs it.

    Parameters
    ----------
    settings : Settings
        Where the tracking server or file is, and the home folder for artifacts when it is a file of ours.
    """

    def __init__(self, settings: Settings) -> None:
        self.uri = settings.tracking_uri
        self._home = settings.home
        self._is_sqlite = self.uri.startswith("sqlite:")
        self._artifacts = (settings.home / "mlartifacts").as_uri() if self._is_sqlite else None

    def __repr__(self) -> str:
        return f"Tracker({self.uri!r})"

    @functools.cached_property
    def _client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def _alone(self) -> AbstractContextManager[Any]:
        # SQLite refuses a second writer, and MLflow's first start makes the tables: one at a time.
        if not self._is_sqlite:
            return nullcontext()
        self._home.mkdir(parents=True, exist_ok=True)
        lock: AbstractContextManager[Any] = fasteners.InterProcessLock(self._home / "mlflow.lock")
        return lock

    @contextmanager
    def run(self, name: str, *, tags: Mapping[str, str]) -> Iterator["Run"]:
        """A run for the length of a block: then FINISHED, KILLED (interrupted) or FAILED (an error)."""
        run = Run(self, self._start_run(name, dict(tags)))
        status = "FAILED"
        try:
            yield run
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            status = "KILLED"
            raise
        finally:
            self._end_run(run.run_id, status)

    @_told
    def _start_run(self, name: str, tags: dict[str, str]) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        experiment_id = (
            self._client.create_experiment(EXPERIMENT, artifact_location=self._artifacts)
            if experiment is None
            else experiment.experiment_id
        )
        return str(self._client.create_run(experiment_id, run_name=name, tags=tags).info.run_id)

    @_told
    def _end_run(self, run_id: str, status: str) -> None:
        self._client.set_terminated(run_id, status=status)

    @_told
    def _log(self, run_id: str, *, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric, Param

        now_ms = int(time.time() * 1000)
        pairs = [Metric(key, value, now_ms, 0) for key, value in metrics.items()]
        # One call takes at most 100 parameters and 1,000 metrics.
        self._client.log_batch(run_id, params=[Param(key, str(value)) for key, value in parameters.items()])
        for start in range(0, len(pairs), 1000):
            self._client.log_batch(run_id, metrics=pairs[start : start + 1000])

    @_told
    def _log_folder(self, run_id: str, folder: Path, name: str | None) -> None:
        self._client.log_artifacts(run_id, str(folder), artifact_path=name)

    @_told
    def _register(self, run_id: str, tags: dict[str, str]) -> str:
        if not self._client.search_registered_models(f"name = '{REGISTERED_MODEL}'"):
            self._client.create_registered_model(
                REGISTERED_MODEL, description=f"The alias `{CHAMPION}` says which version serves."
            )
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{BUNDLE_FOLDER}"
        made = self._client.create_model_version(REGISTERED_MODEL, source=source, run_id=run_id, tags=tags)
        return str(made.version)

    @_told
    def versions(self) -> list[ModelVersion]:
        """All registered versions, oldest first."""
        found = self._client.search_model_versions(f"name = '{REGISTERED_MODEL}'", max_results=1000)
        champion = self._champion()
        versions = []
        for one in found:
            metrics = self._client.get_run(one.run_id).data.metrics if one.run_id else {}
            created_at = datetime.fromtimestamp(one.creation_timestamp / 1000, tz=UTC)
            is_champion = str(one.version) == champion
            versions.append(
                ModelVersion(str(one.version), one.run_id, created_at, is_champion, dict(one.tags), metrics)
            )
        return sorted(versions, key=lambda version: int(version.version))

    @_told
    def champion_version(self) -> str | None:
        """The version that the alias names; None while there is none."""
        return self._champion()

    def _champion(self) -> str | None:
        for model in self._client.search_registered_models(f"name = '{REGISTERED_MODEL}'"):
            aliased = model.aliases.get(CHAMPION)
            return None if aliased is None else str(aliased)
        return None

    @_told
    def set_champion(self, version: str) -> None:
        """Let the alias name this version."""
        self._client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version)

    def version(self, version: str) -> ModelVersion:
        """One registered version.

        Raises
        ------
        UnknownVersion
            With the versions there are.
        """
        versions = self.versions()
        for one in versions:
            if one.version == version:
                return one
        known = ", ".join(one.version for one in versions)
        raise UnknownVersion(
            f"unknown version {version!r}; known versions: {known}"
            if known
            else f"unknown version {version!r}: no model is registered yet; run: tailor train"
        )

    @_told
    def download(self, run_id: str, name: str, directory: Path) -> Path:
        """Put the file or folder that a run kept under `name` below `directory` and return its path."""
        directory.mkdir(parents=True, exist_ok=True)
        return Path(self._client.download_artifacts(run_id, name, str(directory)))

    @_told
    def download_bundle(self, version: str, directory: Path) -> Path:
        """Put the bundle of a version below `directory` and return its own folder."""
        from mlflow.artifacts import download_artifacts

        source = self._client.get_model_version_download_uri(REGISTERED_MODEL, version)
        directory.mkdir(parents=True, exist_ok=True)
        return Path(download_artifacts(artifact_uri=source, dst_path=str(directory), tracking_uri=self.uri))


class Run:
    """A run that is going on."""

    def __init__(self, tracker: Tracker, run_id: str) -> None:
        self.run_id = run_id
        self._tracker = tracker

    def __repr__(self) -> str:
        return f"Run({self.run_id})"

    def log(
        self, *, parameters: Mapping[str, Any] | None = None, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Note parameters and metrics."""
        self._tracker._log(self.run_id, parameters=parameters or {}, metrics=metrics or {})

    def log_trial(self, name: str, *, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Note one try of this run as a nested run."""
        with self._tracker.run(name, tags={"mlflow.parentRunId": self.run_id}) as nested:
            nested.log(parameters=parameters, metrics=metrics)

    def log_folder(self, folder: Path, name: str | None = None) -> None:
        """Keep the files of a folder as artifacts, under `name`."""
        self._tracker._log_folder(self.run_id, folder, name)

    def register(self, bundle: Path, *, tags: Mapping[str, str]) -> str:
        """Keep a bundle and register it as a new version; return its number."""
        self.log_folder(bundle, BUNDLE_FOLDER)
        return self._tracker._register(self.run_id, dict(tags))
