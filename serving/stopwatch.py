"""How long the parts of one decision take; used for those that are sampled."""

from time import perf_counter

from serving.metrics import ServingMetrics
from serving.together import Ranked
from serving.token import TimedSigner, TokenSigner


class Stopwatch:
    """Runs from when the promotions are in their order; `signer` signs like the one given."""

    def __init__(self, signer: TokenSigner) -> None:
        self.signer = TimedSigner(signer)
        self._started = perf_counter()

    def tell(self, metrics: ServingMetrics, ranked: Ranked) -> None:
        """Add the times of the decision, which is made, and of what came before."""
        metrics.took("read", ranked.read_s)
        metrics.took("score", ranked.score_s)
        metrics.took("sign", self.signer.seconds)
        metrics.took("decide", ranked.score_s + perf_counter() - self._started)
