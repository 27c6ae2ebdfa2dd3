"""How long the parts of one decision take; used for those that are sampled."""

from time import perf_counter

from serving.metrics import ServingMetrics
from serving.token import TimedSigner, TokenSigner


class Stopwatch:
    """Runs from when the consumer's activity was read; `signer` signs like the one given."""

    def __init__(self, signer: TokenSigner) -> None:
        self.signer = TimedSigner(signer)
        self._started = self._ranked = perf_counter()

    def ranked(self) -> None:
        """Promotions are in their order; reasons, texts and tokens are to come."""
        self._ranked = perf_counter()

    def tell(self, metrics: ServingMetrics, *, read_s: float) -> None:
        """Add the times of the decision, which is made, and how long reading took before."""
        metrics.took("read", read_s)
        metrics.took("score", self._ranked - self._started)
        metrics.took("sign", self.signer.seconds)
        metrics.took("decide", perf_counter() - self._started)
