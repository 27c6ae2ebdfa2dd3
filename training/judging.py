"""Everything that is measured about a model before it is registered.

Each protocol learns from its own part of the data; what is registered is fitted on all of it afterwards.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import NoInteractions
from features.interactions import Interactions, build_interactions
from features.weights import InteractionWeights
from models.pooling import Pooling
from models.popularity import Popularity
from models.recommender import FittedRecommender
from training.answers import Answers
from training.errors import NothingToEvaluate
from training.evaluate import rank_items, summarise_items
from training.metrics import Rankings
from training.redemptions import REDEMPTIONS, PromotionRecords, ask_redemptions, summarise_redemptions
from training.results import POPULARITY, Result, find
from training.split import leave_one_out, split_by_time, split_first_to_second_site

logger = logging.getLogger(__name__)

Fit = Callable[[Interactions], FittedRecommender]

MAIN_PROTOCOLS = (REDEMPTIONS, "time", "leave_one_out", "second_site")
"""What a model is judged by: the first of these that was measured."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a model is worth, in one line: NDCG@10 of the main protocol, popularity's beside it."""

    protocol: str
    ndcg_at_10: float
    low: float | None
    high: float | None
    popularity: float
    recall_at_10: float
    n_queries: int

    @property
    def lift(self) -> float | None:
        """How many times popularity; None when popularity finds nothing."""
        return self.ndcg_at_10 / self.popularity if self.popularity > 0 else None


@dataclass(frozen=True, eq=False, slots=True)
class Evaluation:
    """What was measured.

    Attributes
    ----------
    results : list of Result
        Every figure.
    answers : dict of protocol to dict of model to Answers
        Query by query, of the main protocols.
    parameters : dict of model kind to mapping
        What each of the models was made with.
    """

    results: list[Result] = field(default_factory=list)
    answers: dict[str, dict[str, Answers]] = field(default_factory=dict)
    parameters: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, kind: str) -> list[Result]:
        """The figures of one kind of model, and of popularity beside it."""
        return [one for one in self.results if one.model in (kind, POPULARITY)]

    def answers_of(self, *names: str) -> dict[str, dict[str, Answers]]:
        """The answers of some of the models, popularity's among them."""
        return {
            protocol: {name: mine for name, mine in answers.items() if name in (*names, POPULARITY)}
            for protocol, answers in self.answers.items()
        }


def evaluate(
    activity: pa.Table,
    records: PromotionRecords,
    *,
    fits: Sequence[Fit],
    poolings: Mapping[str, Pooling],
    cut: datetime | None,
    weights: InteractionWeights,
    random_state: int,
    progress: Callable[[int, int], None],
) -> Evaluation:
    """Fit on a part and ask about the rest: by time (or one left out) with redemptions; first to second site.

    All models are asked the same questions. What the data cannot answer is left out, down to nothing.
    """
    later = (
        leave_one_out(activity, random_state=random_state) if cut is None else split_by_time(activity, cut)
    )
    splits = (later, split_first_to_second_site(activity, random_state=random_state))
    evaluation = Evaluation()
    for place, split in enumerate(splits):
        progress(place, len(splits))
        since = cut if split is later else None
        try:
            interactions = build_interactions(split.train, weights, as_of=since)
            models, popularity = [fit(interactions) for fit in fits], Popularity().fit(interactions)
            evaluation.parameters.update({model.kind: model.parameters() for model in models})
            if since is not None and (records.conversions["occurred_at"] >= since).any():
                for asked in ask_redemptions(
                    models, interactions, records, popularity=popularity, poolings=poolings, since=since
                ):
                    evaluation.results.extend(summarise_redemptions(asked, interactions))
                    _keep(evaluation, asked.protocol, asked.rankings, asked.consumers)
            rankings, queries = rank_items(models, interactions, split, popularity=popularity)
            evaluation.results.extend(
                summarise_items(rankings, queries, protocol=split.protocol, interactions=interactions)
            )
            _keep(evaluation, split.protocol, rankings, [query.consumer_id for query in queries])
        except (NothingToEvaluate, NoInteractions) as error:
            logger.warning("%s is not measured: %s", split.protocol, error)
    progress(len(splits), len(splits))
    return evaluation


def _keep(
    evaluation: Evaluation,
    protocol: str,
    rankings: Mapping[str, Rankings],
    consumers: Sequence[str] | NDArray[np.str_],
) -> None:
    if protocol in MAIN_PROTOCOLS:
        evaluation.answers[protocol] = {name: Answers.of(mine, consumers) for name, mine in rankings.items()}


def judge(results: list[Result], model_kind: str) -> Judgement | None:
    """The line that versions are compared by; None when nothing was measured."""
    for protocol in MAIN_PROTOCOLS:
        ndcg = find(results, protocol=protocol, model=model_kind)
        recall = find(results, protocol=protocol, model=model_kind, metric="recall")
        beside = find(results, protocol=protocol, model=POPULARITY)
        if ndcg is not None and recall is not None and beside is not None:
            return Judgement(
                protocol, ndcg.mean, ndcg.low, ndcg.high, beside.mean, recall.mean, ndcg.n_queries
            )
    return None
