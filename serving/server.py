"""`tailor serve`: becomes the BentoML server of this checkout."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from serving.settings import read_serving_settings
from storage.settings import read_settings

TARGET = "serving.service:TailoredPromotions"
QUIET = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}


def run_server(
    *, host: str, port: int, workers: int = 1, environ: Mapping[str, str] = os.environ
) -> NoReturn:
    """Replace this process by the server: signals reach it with nothing in between, and nothing is left over.

    Parameters
    ----------
    workers : processes that decide.

    Raises
    ------
    InvalidValue, ValueError : a setting that does not exist or makes no sense, before anything is started.
    """
    environment = server_environment(workers=workers, environ=environ)
    command = server_command(host=host, port=port)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], command, environment)


def server_command(*, host: str, port: int) -> list[str]:
    """Return the command that serves this checkout, whatever the current directory is."""
    root = str(Path(__file__).resolve().parent.parent)
    serve = [sys.executable, "-m", "bentoml", "serve", TARGET, "--working-dir", root]
    return [*serve, "--host", host, "--port", str(port)]


def server_environment(*, workers: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the server, checked: homes made absolute, reporting of usage off."""
    read_serving_settings(environ)
    options = " ".join(
        filter(
            None, [environ.get("BENTOML_CONFIG_OPTIONS"), f"services.TailoredPromotions.workers={workers}"]
        )
    )
    return {
        **QUIET,
        **environ,
        # BentoML's workers run in another directory.
        "TAILOR_HOME": str(read_settings(environ).home),
        "BENTOML_CONFIG_OPTIONS": options,
    }
