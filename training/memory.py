"""How much memory a piece of work takes."""

import resource
import sys
import threading
from types import TracebackType
from typing import Self

import psutil

_EVERY_S = 0.05


class PeakMemory:
    """The most resident memory of this process while the block runs, as `bytes`.

    Sampled; exact when it is the most that the process ever had, which the kernel remembers.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._before = _high_water()
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._look()
        after = _high_water()
        if after > self._before:
            self.bytes = max(self.bytes, after)

    def _watch(self) -> None:
        while not self._done.wait(_EVERY_S):
            self._look()

    def _look(self) -> None:
        self.bytes = max(self.bytes, int(self._process.memory_info().rss))


def _high_water() -> int:
    # Linux tells kibibytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
