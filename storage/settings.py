"""The settings every part of the program shares, read once at the entry point."""

import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from storage.errors import InvalidValue

SERVING_PREFIX = "TAILOR_SERVING_"
ROOT = Path(__file__).resolve().parent.parent


def default_home(root: Path = ROOT) -> Path:
    """``var/`` of the checkout this code runs from; elsewhere, as in a bento, the user's data directory.

    A bento runs inside its own folder, and what were kept there would go when the bento is deleted.
    """
    if (root / "pyproject.toml").is_file():
        return root / "var"
    return platformdirs.user_data_path("tailored-promotions")


class Settings(BaseModel):
    """Where things are kept.

    Attributes
    ----------
    home
        Directory of everything the program writes, absolute (``TAILOR_HOME``).
    database_url
        A PostgreSQL server (``DATABASE_URL``); none: the embedded one, under `home`.
    mlflow_tracking_uri
        Where MLflow keeps models (``MLFLOW_TRACKING_URI``); none: a SQLite file under `home`.
    snapshots_kept
        How many of the newest snapshots stay on disk after a training (``TAILOR_SNAPSHOTS_KEPT``).
    retention_months
        How long activity is kept (``TAILOR_RETENTION_MONTHS``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    home: Path = Field(default_factory=default_home, alias="TAILOR_HOME")
    database_url: str | None = Field(default=None, alias="DATABASE_URL", repr=False)
    mlflow_tracking_uri: str | None = Field(default=None, alias="MLFLOW_TRACKING_URI")
    snapshots_kept: int = Field(default=5, ge=1, alias="TAILOR_SNAPSHOTS_KEPT")
    retention_months: int = Field(default=25, ge=1, le=1200, alias="TAILOR_RETENTION_MONTHS")

    @field_validator("home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        # MLflow and the workers of a bento run in other directories: a relative home would be several homes.
        return home.expanduser().absolute()

    @property
    def postgres_dir(self) -> Path:
        """Data directory of the embedded PostgreSQL."""
        return self.home / "postgres"

    @property
    def snapshots_dir(self) -> Path:
        """Directory of the snapshots that trainings learn from."""
        return self.home / "snapshots"

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI, always absolute."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from an environment; an empty variable counts as not set.

    Raises
    ------
    InvalidValue
        For a ``TAILOR_*`` variable nobody reads, with its name, or a value that makes no sense.
    """
    known = {str(field.alias) for field in Settings.model_fields.values()}
    for name in environ:
        if name.startswith("TAILOR_") and not name.startswith(SERVING_PREFIX) and name not in known:
            ours = ", ".join(sorted(name for name in known if name.startswith("TAILOR_")))
            raise InvalidValue(f"unknown setting {name}; known: {ours}, {SERVING_PREFIX}*")
    try:
        return Settings.model_validate({name: environ[name] for name in known if environ.get(name)})
    except ValidationError as error:
        raise InvalidValue(f"bad setting: {error}") from error
