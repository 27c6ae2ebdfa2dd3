"""Keeps the champion watcher running beside a worker, and lets it end with it."""

import asyncio
import logging
from collections.abc import Mapping

from serving.champion import UNTIL_STDIN_ENDS
from serving.companion import start_companion, stop_companion

logger = logging.getLogger(__name__)

_LOOK_S = 0.5
_AGAIN_S = 5.0


async def keep_watcher(environ: Mapping[str, str]) -> None:
    """Run `python -m serving.champion` until cancelled; start it again when it ends."""
    while True:
        process = start_companion("serving.champion", UNTIL_STDIN_ENDS, environ=environ)
        try:
            while process.poll() is None:
                await asyncio.sleep(_LOOK_S)
            logger.warning("the champion watcher ended (%s); again in %g s", process.returncode, _AGAIN_S)
            await asyncio.sleep(_AGAIN_S)
        finally:
            stop_companion(process)
