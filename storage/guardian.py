"""Stops the embedded PostgreSQL when the last process that uses it has died.

Run as a script by path, detached, with the standard library only: ``guardian.py DATA_DIR PG_CTL``.
Every owner of the server holds a shared lock on ``DATA_DIR.owners.lock``, which the kernel releases at
its death. The guardian waits for the exclusive lock on that file; once it has it, nobody is left.
"""

import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

STOP_TIMEOUT_S = 30


def main(data_dir: Path, pg_ctl: Path) -> None:
    """Become the guardian of `data_dir`, unless there is one; says so on stdout, then waits."""
    if os.fork():
        os._exit(0)  # the starter need not wait for us, and we are nobody's zombie
    os.chdir("/")
    guardian = open_lock(data_dir, "guardian")
    if not lock_patiently(guardian):
        os.write(1, b"another\n")
        return
    owners = open_lock(data_dir, "owners")
    os.write(1, b"watching\n")
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)
    fcntl.lockf(owners, fcntl.LOCK_EX)
    stop_server(data_dir, pg_ctl)
    # In this order: whoever starts the server next waits for `owners`, then looks whether a guardian lives.
    os.close(guardian)
    os.close(owners)


def lock_path(data_dir: Path, name: str) -> Path:
    """The lock files lie beside the data directory, which PostgreSQL wants for itself."""
    return data_dir.with_name(f"{data_dir.name}.{name}.lock")


def open_lock(data_dir: Path, name: str) -> int:
    """A handle on a lock file, not yet locked."""
    return os.open(lock_path(data_dir, name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def lock_patiently(handle: int) -> bool:
    """Take a lock that others may hold for an instant, to see whether a guardian lives."""
    for _ in range(50):
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def stop_server(data_dir: Path, pg_ctl: Path) -> None:
    """Stop the server of `data_dir` if it runs: politely, then at once (PostgreSQL recovers from its log)."""
    if not is_listening(data_dir):
        return
    for mode in ("fast", "immediate"):
        command = [str(pg_ctl), "-D", str(data_dir), "-m", mode, "-w", "-t", str(STOP_TIMEOUT_S), "stop"]
        # A session of its own: a second Ctrl-C must not stop the stopping.
        stopped = subprocess.run(
            command,
            check=False,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **run_as_owner(data_dir),
        )
        if stopped.returncode == 0:
            return


def run_as_owner(data_dir: Path) -> dict[str, Any]:
    """Arguments for `subprocess.run`: PostgreSQL refuses root, so root becomes the owner of the data."""
    if os.geteuid() != 0:
        return {}
    owner = data_dir.stat()
    return {"user": owner.st_uid, "group": owner.st_gid}


def is_listening(data_dir: Path) -> bool:
    """Whether a server answers at the socket that ``postmaster.pid`` names.

    The process number in that file is no proof: after a crash it may belong to anybody.
    """
    try:
        lines = (data_dir / "postmaster.pid").read_text().splitlines()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{lines[4]}/.s.PGSQL.{lines[3]}")
    except (OSError, IndexError):
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
