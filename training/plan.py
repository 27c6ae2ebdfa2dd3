"""What to train, and how to judge it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from features.interactions import Interactions
from features.weights import InteractionWeights
from models.alike import Likeness
from models.pooling import Pooling
from models.recommender import FittedRecommender, Recommender
from models.warm import fit_warm
from training.errors import InvalidProtocol
from training.fitting import AUTO, CHAMPION, DEFAULT_POOLING, MODELS, fit
from training.search import Limits


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """One model to train.

    Parameters
    ----------
    model : str
        One of `training.fitting.MODELS`, or `blend` with its parameters.
    random_state : int
        Same seed, same data: same model.
    cut : datetime, optional
        Judge by what came after this moment, having learned from what was before. Default: a fitting one is
        chosen, see `training.cuts`.
    parameters, pooling : optional
        Instead of the defaults of the kind.
    start : FittedRecommender, optional
        An earlier model of these parameters: the fit on all of the data begins where it ended. What is judged
        is always fitted afresh, since the earlier one may have seen what is asked.
    likeness : Likeness, optional
        How new items take their scores from known ones. Default: it is chosen, see `training.new_items`.
    limits : Limits
        How long `auto` may search, and what a decision of it may cost.
    weights : InteractionWeights
        How much an event counts.
    """

    model: str = AUTO
    random_state: int = 42
    cut: datetime | None = None
    parameters: Recommender | None = None
    weights: InteractionWeights = field(default_factory=InteractionWeights)
    pooling: Pooling | None = None
    limits: Limits = field(default_factory=Limits)
    start: FittedRecommender | None = None
    likeness: Likeness | None = None

    def __post_init__(self) -> None:
        if self.model not in MODELS and not (self.model == "blend" and self.parameters is not None):
            raise InvalidProtocol(f"unknown model {self.model!r}; known: {', '.join(MODELS)}")
        if self.model in (AUTO, CHAMPION) and self.parameters is not None:
            raise InvalidProtocol(
                f"{self.model} has its own parameters; say which model {self.parameters!r:.80} is"
            )
        if self.cut is not None and self.cut.tzinfo is None:
            raise InvalidProtocol(f"the cut {self.cut.isoformat()} has no time zone; give an aware time")

    @property
    def pools_by(self) -> Pooling:
        """How its item scores become promotion scores."""
        return self.pooling or DEFAULT_POOLING.get(self.model, Pooling())

    def fit(
        self, interactions: Interactions, *, progress: Callable[[int, int], None] | None = None
    ) -> FittedRecommender:
        """Fit the model."""
        return fit(
            self.model,
            interactions,
            random_state=self.random_state,
            parameters=self.parameters,
            progress=progress,
        )

    def fit_all(
        self, interactions: Interactions, *, progress: Callable[[int, int], None] | None = None
    ) -> FittedRecommender:
        """Fit the model that will be registered: from `start`, where there is one."""
        if self.start is None or self.parameters is None:
            return self.fit(interactions, progress=progress)
        return fit_warm(self.parameters, interactions, self.start, progress=progress)
