"""A process beside a worker that lives no longer than it: its standard input ends when the worker does."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_GRACE_S = 3.0


def start_companion(module: str, *words: str, environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Run `python -m MODULE WORD...` of this checkout, whatever the current directory is."""
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH")]))
    # Popen and not asyncio's: the pipe must stay open for exactly as long as this process lives.
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        stdin=subprocess.PIPE,
        env={**environ, "PYTHONPATH": path},
    )


def wait_for_starter() -> None:
    """Return once whoever started this companion is gone, however it ended."""
    # Past the buffer: a thread that waits in it for ever makes the interpreter's end a fatal error.
    while os.read(sys.stdin.fileno(), 4096):
        pass


def stop_companion(process: "subprocess.Popen[bytes]") -> None:
    """End its standard input, and if it does not end then, end it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
