"""How often somebody may ask: a rate with a burst, kept in memory by each worker.

The generic cell rate algorithm (ITU-T I.371, annex A): of each who asked lately one number is kept, the
moment at which all they have asked would be done at the agreed rate. The memory storage of the library
`limits` was measured first: 4 µs a request instead of 0.3, and its thread, which walks over all addresses a
hundred times a second, held up one request in a thousand by 4 ms at 10,000 addresses.
"""

BURST_S = 10.0
_FEW = 10_000
_ROUNDING_S = 1e-6


class Rates:
    """So many requests a second for each who asks; ten seconds' worth may come at once.

    Parameters
    ----------
    per_second : 0: as many as they like.
    """

    def __init__(self, per_second: float) -> None:
        self._step_s = 1 / per_second if per_second > 0 else 0.0
        self._slack_s = max(BURST_S - self._step_s, 0.0)
        self._done_at: dict[object, float] = {}
        self._sweep_at_size = _FEW

    def __len__(self) -> int:
        return len(self._done_at)

    def wait_s(self, who: object, now: float) -> float:
        """Count a request; 0 where it may pass, else in how many seconds it might, and it is not counted."""
        if not self._step_s:
            return 0.0
        done_at = max(self._done_at.get(who, now), now)
        if (early_s := done_at - now - self._slack_s) > _ROUNDING_S:
            return early_s
        self._done_at[who] = done_at + self._step_s
        if len(self._done_at) > self._sweep_at_size:
            self._sweep(now)
        return 0.0

    def _sweep(self, now: float) -> None:
        """Forget who has nothing left to wait for; so seldom that it costs next to nothing a request."""
        self._done_at = {who: at for who, at in self._done_at.items() if at > now}
        self._sweep_at_size = max(_FEW, 2 * len(self._done_at))
