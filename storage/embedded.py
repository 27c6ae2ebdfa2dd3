"""The embedded PostgreSQL: shared by all processes that use one data directory, gone when the last one is.

Nothing is counted. Every process that uses the server is an *owner*: it holds a shared lock on
``postgres.owners.lock``, which the kernel releases whatever the process dies of. The last owner to leave in
good order stops the server itself. For owners that are killed there is the guardian (`storage.guardian`): a
detached process that waits for the exclusive lock and then stops the server. A guardian that was killed
is replaced at the next start. Starting and leaving are serialised by ``postgres.start.lock``.
"""

import atexit
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from storage import guardian
from storage.cluster import pg_ctl_path, start_cluster, stop_cluster
from storage.errors import DatabaseUnavailable
from storage.filelock import FileLock, exclusive, is_locked

GUARDIAN_EXIT_TIMEOUT_S = 5.0


class EmbeddedPostgres:
    """One use of the server on `data_dir`; several in one process share one hold on it.

    Examples
    --------
    >>> with EmbeddedPostgres(settings.postgres_dir) as server:  # doctest: +SKIP
    ...     psycopg.connect(server.url)
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.url = ""
        self._in_use = False

    def start(self) -> str:
        """Become an owner and make sure that the server and its guardian run; returns the URL."""
        if not self._in_use:
            self.url = _enter(self.data_dir)
            self._in_use = True
        return self.url

    def revive(self) -> str:
        """Start the server again if it died under us."""
        with _in_this_process, exclusive(guardian.lock_path(self.data_dir, "start")):
            _ensure_guardian(self.data_dir)
            self.url = start_cluster(self.data_dir)
        return self.url

    def close(self) -> None:
        """Stop using the server; the last owner waits until it is down. Harmless when repeated."""
        if self._in_use:
            self._in_use = False
            _leave(self.data_dir)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass
class _Hold:
    """This process's hold on one data directory."""

    lock: FileLock
    uses: int = 0


# Keyed by process number too: a forked child does not inherit the locks and must not believe it holds them.
_holds: dict[tuple[int, Path], _Hold] = {}
_in_this_process = threading.Lock()


def _enter(data_dir: Path) -> str:
    data_dir.parent.mkdir(parents=True, exist_ok=True)
    key = (os.getpid(), data_dir)
    with _in_this_process, exclusive(guardian.lock_path(data_dir, "start")):
        hold = _holds.get(key)
        if hold is None:
            hold = _Hold(FileLock(guardian.lock_path(data_dir, "owners")))
            hold.lock.acquire(shared=True)  # waits for a guardian that is just stopping the server
            _holds[key] = hold
            atexit.register(_leave_at_exit, data_dir)
        try:
            _ensure_guardian(data_dir)
            url = start_cluster(data_dir)
        except BaseException:
            if hold.uses == 0:
                _let_go(key, hold)
            raise
        hold.uses += 1
        return url


def _leave(data_dir: Path, *, altogether: bool = False) -> None:
    key = (os.getpid(), data_dir)
    with _in_this_process:
        hold = _holds.get(key)
        if hold is None:
            return
        hold.uses = 0 if altogether else hold.uses - 1
        if hold.uses > 0:
            return
        with exclusive(guardian.lock_path(data_dir, "start")):
            stopped = _let_go(key, hold)
        if stopped:
            _wait_for_guardian_to_go(data_dir)


def _leave_at_exit(data_dir: Path) -> None:
    _leave(data_dir, altogether=True)


def _let_go(key: tuple[int, Path], hold: _Hold) -> bool:
    """Release the hold; stop the server first if nobody else has one. Needs the start lock."""
    data_dir = key[1]
    last = hold.lock.acquire(blocking=False)
    try:
        if last:
            stop_cluster(data_dir)
    finally:
        hold.lock.release()
        del _holds[key]
    return last


def _ensure_guardian(data_dir: Path) -> None:
    """Have a guardian before there is a server to guard. Needs the start lock."""
    if is_locked(guardian.lock_path(data_dir, "guardian")):
        return
    # By path and isolated: it must run from any directory, and load nothing.
    command = [sys.executable, "-I", "-S", guardian.__file__, str(data_dir), str(pg_ctl_path())]
    answer = subprocess.run(
        command,
        check=False,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if not answer.stdout:
        raise DatabaseUnavailable(
            f"the guardian of the embedded PostgreSQL did not start ({command}); set DATABASE_URL instead"
        )


def _wait_for_guardian_to_go(data_dir: Path) -> None:
    deadline = time.monotonic() + GUARDIAN_EXIT_TIMEOUT_S
    while is_locked(guardian.lock_path(data_dir, "guardian")) and time.monotonic() < deadline:
        time.sleep(0.005)
