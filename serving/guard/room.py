"""How much may be under way at once: what is too much is turned away before everybody waits too long."""

from types import TracebackType

from serving.errors import Busy


class Room:
    """A bounded number of places; for one event loop.

    Parameters
    ----------
    what : what takes a place, in the plural.
    n_places : how many there are.
    """

    def __init__(self, what: str, n_places: int) -> None:
        self._what = what
        self._n_places = n_places
        self._taken = 0

    def __enter__(self) -> None:
        if self._taken >= self._n_places:
            raise Busy(f"{self._taken} {self._what} are under way here, as many as can be; ask again soon")
        self._taken += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken -= 1
