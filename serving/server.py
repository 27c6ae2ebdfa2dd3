"""`tailor serve`: runs the BentoML server as a process of its own, and passes on what stops it."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from serving.settings import read_serving_settings
from storage.settings import read_settings

TARGET = "serving.service:TailoredPromotions"
QUIET = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1"}


def run_server(*, host: str, port: int, workers: int = 1, environ: Mapping[str, str] = os.environ) -> int:
    """Serve until stopped, and return the exit code.

    Parameters
    ----------
    workers : processes that decide.

    Raises
    ------
    InvalidValue, ValueError : a setting that does not exist or makes no sense, before anything is started.
    """
    environment = server_environment(workers=workers, environ=environ)
    # A session of its own: the server gets each signal once, from us, whether the terminal sends it to the
    # whole group or somebody sends it to this process alone.
    process = subprocess.Popen(server_command(host=host, port=port), env=environment, start_new_session=True)

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    caught = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    before = {number: signal.signal(number, pass_on) for number in caught}
    try:
        return max(process.wait(), 0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def server_command(*, host: str, port: int) -> Sequence[str]:
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
