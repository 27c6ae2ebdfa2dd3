"""The champion beside whom a new model is judged: asked the same questions, by having its recipe learn again.

Trained on the data of another day, its own figures do not compare with today's. Its bundle says what it was
made with, so that the same can be fitted on today's train part.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from features.errors import FeaturesError
from features.interactions import Interactions
from features.weights import InteractionWeights
from models.alike import Likeness
from models.bundle import Bundle, read_bundle
from models.errors import ModelsError
from models.pooling import Pooling
from models.popularity import FittedPopularity, Popularity
from models.recommender import FittedRecommender, Recommender
from storage.settings import Settings
from training.answers import Answers
from training.errors import TrainingError
from training.judging import Evaluation
from training.plan import Plan
from training.tracking import Tracker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, slots=True)
class Incumbent:
    """The champion when a training starts, and what it is made of.

    Attributes
    ----------
    tags : mapping
        Of its version: what it was asked, and about which data.
    parameters : mapping
        What it was made with, as its bundle says.
    likeness : Likeness or None
        How it scores new items, if it does.
    """

    version: str
    digest: str
    tags: Mapping[str, str]
    kind: str
    model: FittedRecommender
    recommender: Recommender
    parameters: Mapping[str, Any]
    weights: InteractionWeights
    pooling: Pooling
    likeness: Likeness | None = None

    def __repr__(self) -> str:
        return f"Incumbent(version {self.version}, {self.kind})"

    def fit(self, interactions: Interactions) -> FittedRecommender:
        """Fit its recipe on other data."""
        return self.recommender.fit(interactions)

    def plan(self, like: Plan) -> Plan:
        """To train its recipe again from its factors, judged as another plan says."""
        return replace(
            like,
            model=self.kind,
            parameters=self.recommender,
            weights=self.weights,
            pooling=self.pooling,
            start=self.model,
            likeness=self.likeness,
        )

    def was_asked(self, content_digest: str, cut: datetime | None, random_state: int) -> bool:
        """Whether its own answers, kept with its version, are to the very questions of a training."""
        asked = {
            "content_digest": content_digest,
            "judged_from": "" if cut is None else cut.isoformat(),
            "random_state": str(random_state),
        }
        return all(self.tags.get(name) == value for name, value in asked.items())

    def is_made_like(self, plan: Plan, parameters: Mapping[str, Any] | None) -> bool:
        """Whether a plan whose model turned out to have these parameters is the same recipe."""
        return (
            (self.kind, self.weights, self.pooling) == (plan.model, plan.weights, plan.pools_by)
            and parameters is not None
            and _as_json(self.parameters) == _as_json(parameters)
        )


Ask = Callable[[Incumbent], Evaluation]
"""Asks it what others were asked."""


def answers_of(
    incumbent: Incumbent, evaluation: Evaluation, *, plans: Sequence[Plan], ask: Ask
) -> dict[str, Answers]:
    """The champion's answers to what `evaluation` asked of the plans' models, by protocol.

    Those of a plan with the same recipe are its own. Empty, and a warning, when it cannot be asked.
    """
    kind = incumbent.kind
    for plan in plans:
        if incumbent.is_made_like(plan, evaluation.parameters.get(plan.model)):
            return {protocol: answers[kind] for protocol, answers in evaluation.answers.items()}
    try:
        answered = ask(incumbent).answers
    except (TrainingError, ModelsError, FeaturesError) as error:
        logger.warning("%r is not judged beside: %s", incumbent, error)
        return {}
    return {protocol: answers[kind] for protocol, answers in answered.items()}


def find_incumbent(tracker: Tracker, settings: Settings) -> Incumbent | None:
    """The champion of the alias; None, and a warning, when there is none that can be fitted again."""
    version = tracker.champion_version()
    if version is None:
        return None
    try:
        tags = tracker.version(version).tags
        bundle = _read(tracker, settings, version, digest=tags.get("digest"))
        recommender = recipe_of(bundle.model)
    except (TrainingError, ModelsError) as error:
        logger.warning("the champion, version %s, is not judged beside: %s", version, error)
        return None
    return Incumbent(
        version=version,
        digest=bundle.digest,
        tags=tags,
        kind=bundle.model.kind,
        model=bundle.model,
        recommender=recommender,
        parameters=bundle.manifest["parameters"],
        weights=bundle.weights,
        pooling=bundle.pooling,
        likeness=None if bundle.text is None else bundle.text.likeness,
    )


def recipe_of(model: FittedRecommender) -> Recommender:
    """What a model was made with, ready to learn again.

    Raises
    ------
    TrainingError
        When its kind does not keep that, as `made_with`.
    """
    if isinstance(model, FittedPopularity):
        return Popularity()
    recommender: Recommender | None = getattr(model, "made_with", None)
    if recommender is None or not hasattr(recommender, "fit"):
        raise TrainingError(f"{model!r} does not say what it was made with, so it cannot be fitted again")
    return recommender


def _read(tracker: Tracker, settings: Settings, version: str, *, digest: str | None) -> Bundle:
    placed = settings.home / "bundles" / str(digest)
    if placed.is_dir():
        return read_bundle(placed, expected_digest=digest)
    with tempfile.TemporaryDirectory() as directory:
        return read_bundle(tracker.download_bundle(version, Path(directory)), expected_digest=digest)


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True)
