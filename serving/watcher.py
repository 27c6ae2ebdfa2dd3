"""Keeps the champion watcher running beside a worker, and lets it end with it."""

import asyncio
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from serving.champion import UNTIL_STDIN_ENDS

logger = logging.getLogger(__name__)

_LOOK_S = 0.5
_AGAIN_S = 5.0
_GRACE_S = 3.0


async def keep_watcher(environ: Mapping[str, str]) -> None:
    """Run `python -m serving.champion` until cancelled; start it again when it ends."""
    while True:
        process = _start(environ)
        try:
            while process.poll() is None:
                await asyncio.sleep(_LOOK_S)
            logger.warning("the champion watcher ended (%s); again in %g s", process.returncode, _AGAIN_S)
            await asyncio.sleep(_AGAIN_S)
        finally:
            _stop(process)


def _start(environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, environ.get("PYTHONPATH")]))
    # Popen and not asyncio's: the pipe must stay open for exactly as long as this process lives.
    return subprocess.Popen(
        [sys.executable, "-m", "serving.champion", UNTIL_STDIN_ENDS],
        stdin=subprocess.PIPE,
        env={**environ, "PYTHONPATH": path},
    )


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
