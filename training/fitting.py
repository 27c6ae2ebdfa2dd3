"""Which models can be trained, with which defaults, and how one becomes a bundle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from features.interactions import Interactions
from models.als import Als
from models.bundle import write_bundle
from models.pooling import Pooling
from models.popularity import Popularity
from models.recommender import FittedRecommender
from training.errors import InvalidProtocol
from training.redemptions import POPULARITY_POOLING

MODEL_KINDS: Final = ("als", "popularity")

DEFAULT_POOLING: Final[Mapping[str, Pooling]] = {"als": Pooling(), "popularity": POPULARITY_POOLING}
"""How each kind's item scores become promotion scores; chosen on redemptions before October 2017."""

Progress = Callable[[str, int, int | None], None]
"""Told the stage, how much of it is done, and of how much (none when unknown)."""


def fit(
    kind: str,
    interactions: Interactions,
    *,
    random_state: int = 42,
    parameters: Als | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FittedRecommender:
    """Fit a model.

    Parameters
    ----------
    parameters : Als, optional
        For `als`, instead of its defaults and `random_state`.
    progress : callable, optional
        Told (iterations done, iterations).
    """
    match kind:
        case "als":
            unfitted = parameters or Als(random_state=random_state)
            return unfitted.fit(interactions, progress=progress)
        case "popularity":
            return Popularity().fit(interactions)
    raise InvalidProtocol(f"unknown model {kind!r}; known: {', '.join(MODEL_KINDS)}")


def write_model(
    directory: Path,
    model: FittedRecommender,
    *,
    interactions: Interactions,
    pooling: Pooling | None = None,
    **about: Any,
) -> str:
    """Write the bundle of a model, popularity of the same interactions beside it, and return its digest.

    Parameters
    ----------
    about
        What else `models.bundle.write_bundle` writes down: metrics, data, code_revision, created_at.
    """
    return write_bundle(
        directory,
        model,
        popularity=Popularity().fit(interactions),
        pooling=pooling or DEFAULT_POOLING[model.kind],
        **about,
    )
