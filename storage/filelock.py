"""A lock on a file that the kernel releases when its holder dies, however it dies.

POSIX record locks (``fcntl.lockf``) are used rather than ``flock``, because a forked child does not
inherit them. Their price: a process must not open the same lock twice, for closing one handle lets go of
both.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileLock:
    """Shared or exclusive hold of one process on one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, *, shared: bool = False, blocking: bool = True) -> bool:
        """Take the lock, or turn a shared hold into an exclusive one; False when that would mean waiting.

        A failed attempt to turn a shared hold into an exclusive one keeps the shared hold.
        """
        held_before = self._handle is not None
        if self._handle is None:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.lockf(self._handle, mode if blocking else mode | fcntl.LOCK_NB)
        except BlockingIOError:
            if not held_before:
                self.release()
            return False
        except BaseException:
            if not held_before:
                self.release()
            raise
        return True

    def release(self) -> None:
        """Let go; harmless when nothing is held."""
        if self._handle is not None:
            handle, self._handle = self._handle, None
            os.close(handle)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Wait for the lock on `path` and hold it for the length of a block."""
    lock = FileLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether some other process holds the lock on `path`."""
    lock = FileLock(path)
    taken = not lock.acquire(blocking=False)
    lock.release()
    return taken
