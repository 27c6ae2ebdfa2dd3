"""Which models can be trained, with which defaults, and how one becomes a bundle."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from features.interactions import Interactions
from models.alike import ItemText
from models.als import Als
from models.bundle import write_bundle
from models.graph import Graph
from models.ials import Ials
from models.pooling import Pooling
from models.popularity import Popularity
from models.reach import count_reach
from models.recommender import FittedRecommender, Recommender
from models.ridge import Ridge
from training.errors import InvalidProtocol
from training.redemptions import POPULARITY_POOLING

AUTO: Final = "auto"
"""The model that chooses itself, see `training.auto`: what comes out is a blend."""

CHAMPION: Final = "champion"
"""The recipe that serves, fitted on what is known now and from the factors it had."""

MODEL_KINDS: Final = ("als", "graph", "ials", "popularity", "ridge")

MODELS: Final = (AUTO, CHAMPION, *MODEL_KINDS)
"""What may be asked for."""

DEFAULT_POOLING: Final[Mapping[str, Pooling]] = {
    "blend": Pooling(),
    **dict.fromkeys(MODEL_KINDS, Pooling()),
    "popularity": POPULARITY_POOLING,
}
"""How each kind's item scores become promotion scores; chosen on redemptions before October 2017."""

Progress = Callable[[str, int, int | None], None]
"""Told the stage, how much of it is done, and of how much (none when unknown)."""


def fit(
    kind: str,
    interactions: Interactions,
    *,
    random_state: int = 42,
    parameters: Recommender | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FittedRecommender:
    """Fit a model.

    Parameters
    ----------
    parameters : Recommender, optional
        The unfitted model, instead of the kind's defaults and `random_state`.
    progress : callable, optional
        Told (steps done, steps).
    """
    return (parameters or _defaults(kind, random_state)).fit(interactions, progress=progress)


def _defaults(kind: str, random_state: int) -> Recommender:
    match kind:
        case "als":
            return Als(random_state=random_state)
        case "graph":
            return Graph()
        case "ials":
            return Ials(random_state=random_state)
        case "popularity":
            return Popularity()
        case "ridge":
            return Ridge()
    raise InvalidProtocol(f"model {kind!r} has no defaults; those that have: {', '.join(MODEL_KINDS)}")


def write_model(
    directory: Path,
    model: FittedRecommender,
    *,
    interactions: Interactions,
    pooling: Pooling | None = None,
    text: ItemText | None = None,
    **about: Any,
) -> str:
    """Write the bundle of a model, with popularity and reach of the same interactions; return its digest.

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
        text=text,
        reach=count_reach(interactions),
        **about,
    )
