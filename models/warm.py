"""Fitting again on a little more data: from where the last fit ended, with fewer iterations."""

from dataclasses import replace
from typing import Any, Final

from features.interactions import Interactions
from models.als import Als, FittedAls
from models.blend import Blend, FittedBlend, assemble
from models.factors import FittedFactors, carried_over
from models.ials import FittedIals, Ials
from models.recommender import FittedRecommender, Progress, Recommender

ALS_ITERATIONS: Final = 1
IALS_ITERATIONS: Final = 1

_SPREAD: Final = 0.01


def fit_warm(
    recommender: Recommender,
    interactions: Interactions,
    earlier: FittedRecommender,
    *,
    progress: Progress | None = None,
) -> FittedRecommender:
    """Fit a model, beginning with the factors of an earlier one of the same recipe.

    Closed-form models have nowhere to begin: they are fitted as always. What comes out says that it was made
    like `recommender`, so that the next cold fit has all of its iterations.
    """
    if isinstance(recommender, Blend) and isinstance(earlier, FittedBlend):
        return _fit_blend(recommender, interactions, earlier, progress=progress)
    match recommender, earlier:
        case Als(), FittedAls():
            short: Any = replace(recommender, iterations=min(ALS_ITERATIONS, recommender.iterations))
        case Ials(), FittedIals():
            short = replace(recommender, iterations=min(IALS_ITERATIONS, recommender.iterations))
        case _:
            return recommender.fit(interactions)
    if not isinstance(earlier, FittedFactors) or earlier.made_with.factors != recommender.factors:
        return recommender.fit(interactions)
    start = carried_over(earlier, interactions.items, spread=_SPREAD, random_state=recommender.random_state)
    fitted = short.fit(interactions, progress=progress, start=start)
    made: FittedRecommender = replace(fitted, made_with=recommender)
    return made


def _fit_blend(
    blend: Blend,
    interactions: Interactions,
    earlier: FittedBlend,
    *,
    progress: Progress | None,
) -> FittedBlend:
    fitted = []
    for place, member in enumerate(blend.members):
        before = earlier.members[place] if place < len(earlier.members) else earlier
        fitted.append(fit_warm(member.model, member.weighed(interactions), before))
        if progress is not None:
            progress(place + 1, len(blend.members))
    return assemble(blend, fitted, interactions)
