"""Where promotions were taken up before, what is chosen must rank these well, and not items alone."""

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np

from models.als import Als
from models.blend import Blend, FittedBlend, Member
from models.pooling import Pooling
from models.popularity import Popularity
from training.auto import Choice
from training.errors import NothingToEvaluate
from training.metrics import ndcg
from training.redemptions import PromotionRecords, PromotionScorer, rank_promotions, redemption_queries
from training.results import MAIN_K
from training.validation import Validation

logger = logging.getLogger(__name__)

LEAST_QUERIES: Final = 30
"""With fewer days on which somebody took up something, chance would choose."""

LEAST_GAIN: Final = 0.02
"""What is not better by this share is not worth what it costs more."""

_OVERLAPS: Final = (0.1, 0.2, 0.4, 0.8)
_ALS: Final = "als with its defaults"


@dataclass(frozen=True, eq=False, slots=True)
class Offered:
    """What ranks promotions best, and how well.

    Attributes
    ----------
    values : mapping of str to float
        NDCG@10 of each that was compared, on redemptions after the validation's cut.
    """

    blend: Blend
    pooling: Pooling
    values: dict[str, float]


def choose_by_promotions(
    choice: Choice,
    validation: Validation,
    records: PromotionRecords,
    *,
    until: datetime | None,
    random_state: int,
) -> Offered | None:
    """Compare the blend that ranks items best with ALS, by the promotions that were taken up after the cut.

    The blend may weigh the consumer's own activity more or less; ALS comes with its defaults, which were
    chosen on promotions. None when too few were taken up to tell.

    Parameters
    ----------
    until : datetime or None
        Nothing from here on is looked at: it is for judging.
    """
    cut = validation.interactions.as_of
    if cut is None:
        return None
    try:
        queries = redemption_queries(records, since=cut, until=until)
    except NothingToEvaluate:
        return None
    if len(queries) < LEAST_QUERIES:
        return None
    candidates = _candidates(choice, validation, random_state)
    popularity, covered = Popularity().fit(validation.interactions), records.covered()
    scorers = {
        name: PromotionScorer(fitted, popularity=popularity, pooling=pooling, covered=covered)
        for name, (_, fitted, pooling) in candidates.items()
    }
    rankings = rank_promotions(scorers, queries, validation.interactions)
    values = {name: float(np.mean(ndcg(ranked, MAIN_K))) for name, ranked in rankings.items()}
    best = max(values, key=lambda name: values[name])
    if values[best] < values[_ALS] * (1 + LEAST_GAIN):
        best = _ALS
    logger.info("by %d redemptions: %s, NDCG@10 %.4f", len(queries), best, values[best])
    blend, _, pooling = candidates[best]
    return Offered(blend, pooling, values)


def _candidates(
    choice: Choice, validation: Validation, random_state: int
) -> dict[str, tuple[Blend, FittedBlend, Pooling]]:
    interactions = validation.interactions
    weights = interactions.weights
    als = Blend((Member(Als(random_state=random_state), 1.0, *weights.by_kind.tolist()),))
    candidates = {_ALS: (als, als.fit(interactions), Pooling())}
    for overlap in _OVERLAPS:
        pooling = replace(Pooling(), overlap=overlap)
        candidates[f"blend, own activity {overlap:g}"] = (choice.blend, choice.fitted, pooling)
    return candidates
