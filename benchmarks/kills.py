"""SIGKILL for everything that belongs to a process of ours, or to the embedded database of a home."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil


def kill_family(process: "subprocess.Popen[bytes]") -> bool:
    """Kill the group that this process leads and all it started; false when it had ended by itself."""
    if process.poll() is not None:
        return False
    family = _family(process.pid)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    killed = process.wait() == -signal.SIGKILL  # first: whoever else waits for it takes its exit code away
    _kill(family)
    return killed


def kill_database(home: Path) -> bool:
    """Kill the embedded database under `home` with its children; false when there is none now."""
    try:
        pid = int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    family = _family(pid)
    _kill(family)
    return bool(family)


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(family: list[psutil.Process]) -> None:
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=20)
