"""How well promotions are ranked, judged by those that consumers really took up.

A query is a consumer on a (UTC) day with a conversion; all promotions that were live on that day are ranked;
relevant are those that were taken up. Promotions that carry the same code are one offer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.history import HistoryVector
from features.interactions import Interactions
from features.snapshot import Snapshot
from models.errors import EmptyHistory
from models.pooling import Pooling
from models.popularity import FittedPopularity
from models.projection import Projection
from models.recommender import FittedRecommender
from training.errors import NothingToEvaluate
from training.evaluate import SEGMENTS, history_of, segment_of
from training.metrics import Rankings, popularity_percentile, top_ranked
from training.results import DEPTH, EVERYTHING, POPULARITY, Result, summarise

POPULARITY_POOLING = Pooling(kind="sum", overlap=0.0)
"""How the yardstick ranks promotions: by all the activity with the items they cover."""

REDEMPTIONS = "redemptions"
REDEMPTIONS_SENT = "redemptions_sent"


@dataclass(frozen=True, eq=False)
class PromotionRecords:
    """What is known of promotions and their outcomes.

    Attributes
    ----------
    promotions : DataFrame
        promotion_id, starts_at, ends_at (none: always), and where known code and audience_id.
    coverage : DataFrame
        promotion_id, site_id, item_id.
    audience : DataFrame
        audience_id, consumer_id.
    conversions : DataFrame
        consumer_id, promotion_id, occurred_at, and where known source_id.
    """

    promotions: pd.DataFrame
    coverage: pd.DataFrame
    audience: pd.DataFrame
    conversions: pd.DataFrame

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> "PromotionRecords":
        """Read them from a snapshot."""
        columns = ["consumer_id", "promotion_id", "occurred_at", "source_id"]
        converted = pc.field("kind") == "promotion_conversion"
        return cls(
            promotions=pq.read_table(snapshot.promotions).to_pandas(),
            coverage=pq.read_table(snapshot.coverage).to_pandas(),
            audience=pq.read_table(snapshot.audience).to_pandas(),
            conversions=pq.read_table(snapshot.activity, columns=columns, filters=converted).to_pandas(),
        )

    def covered(self) -> list[list[tuple[str, str]]]:
        """The (site id, item id) pairs that each promotion covers, in the order of `promotions`."""
        pairs = zip(self.coverage["site_id"], self.coverage["item_id"], strict=True)
        grouped = (
            pd.Series(list(pairs), dtype=object).groupby(self.coverage["promotion_id"].to_numpy()).agg(list)
        )
        return [grouped.get(promotion_id, []) for promotion_id in self.promotions["promotion_id"]]


@dataclass(frozen=True, eq=False, slots=True)
class RedemptionQuery:
    """A consumer on a day.

    Attributes
    ----------
    candidates : int64[n]
        Rows of `PromotionRecords.promotions` that were live.
    offer : int64[n]
        Which offer each of them is.
    relevant : int64[m]
        The offers that were taken up.
    """

    consumer_id: str
    day: pd.Timestamp
    candidates: NDArray[np.int64]
    offer: NDArray[np.int64]
    relevant: NDArray[np.int64]


def redemption_queries(
    records: PromotionRecords, *, since: datetime, until: datetime | None = None, sent_only: bool = False
) -> list[RedemptionQuery]:
    """The queries from `since` on, ordered by consumer and day.

    Parameters
    ----------
    sent_only : bool
        Only promotions that are for this consumer (or for everyone) are candidates, as in serving.
        Otherwise all that are live.
    """
    conversions = records.conversions
    conversions = conversions[conversions["occurred_at"] >= since]
    if until is not None:
        conversions = conversions[conversions["occurred_at"] < until]
    promotions = records.promotions
    rows = pd.Series(np.arange(len(promotions)), index=promotions["promotion_id"])
    offers = _offers(promotions)
    members = _members(records) if sent_only else None
    live_on: dict[pd.Timestamp, NDArray[np.bool_]] = {}
    queries = []
    for (consumer_id, day), taken in conversions.groupby(
        ["consumer_id", conversions["occurred_at"].dt.floor("D")], sort=True
    )["promotion_id"]:
        if day not in live_on:
            live_on[day] = _live_on(promotions, day)
        live = live_on[day]
        if members is not None:
            live = live & _is_for(promotions, members.get(consumer_id, []))
        candidates = np.flatnonzero(live)
        relevant = np.unique(offers[rows.reindex(taken.unique()).dropna().astype(np.int64)])
        if len(candidates) and len(relevant):
            queries.append(RedemptionQuery(consumer_id, day, candidates, offers[candidates], relevant))
    if not queries:
        raise NothingToEvaluate(f"no promotion was taken up since {since.isoformat()}; choose an earlier cut")
    return queries


class PromotionScorer:
    """Ranks promotions exactly as serving does: item scores pooled, popularity where there is no history.

    Parameters
    ----------
    covered : sequence of (site id, item id) pairs per promotion
    """

    def __init__(
        self,
        model: FittedRecommender,
        *,
        popularity: FittedPopularity,
        pooling: Pooling,
        covered: list[list[tuple[str, str]]],
    ) -> None:
        self._model = model
        self._projection = Projection.from_pairs(covered, model.items, pooling=pooling)
        self._without_history = self._projection.pool(popularity.prior[self._projection.within]).score

    def score(self, history: HistoryVector | None) -> NDArray[np.float32]:
        """Score of each promotion, float32[n_promotions]; -inf where it covers nothing known."""
        return np.where(self._projection.known, self._score(history), np.float32(-np.inf))

    def _score(self, history: HistoryVector | None) -> NDArray[np.float32]:
        if self._model.kind == POPULARITY or history is None:
            return self._without_history
        try:
            scores = self._model.score(history, self._projection.within)
        except EmptyHistory:
            return self._without_history
        return self._projection.pool(scores, history=history, weights=self._model.weights).score


@dataclass(frozen=True, eq=False, slots=True)
class AskedRedemptions:
    """Redemptions and what each model ranked for them, popularity among the models."""

    protocol: str
    queries: list[RedemptionQuery]
    rankings: Mapping[str, Rankings]

    @property
    def consumers(self) -> NDArray[np.str_]:
        """Whose queries they are, str[n_queries]."""
        return np.array([query.consumer_id for query in self.queries])


def ask_redemptions(
    models: Sequence[FittedRecommender],
    interactions: Interactions,
    records: PromotionRecords,
    *,
    popularity: FittedPopularity,
    poolings: Mapping[str, Pooling],
    since: datetime,
    until: datetime | None = None,
) -> list[AskedRedemptions]:
    """Rank promotions for every redemption, popularity beside the models.

    Twice: among all live promotions (`redemptions`), and among those that were for the consumer
    (`redemptions_sent`), which is what serving ranks.

    Parameters
    ----------
    models : sequence of FittedRecommender
        Each of another kind.
    interactions : Interactions
        What they were fitted on: nothing from `since` on.
    poolings : mapping of model kind to Pooling
    """
    covered = records.covered()
    scorers = {
        model.kind: PromotionScorer(
            model, popularity=popularity, pooling=poolings[model.kind], covered=covered
        )
        for model in models
    }
    if POPULARITY not in scorers:
        scorers[POPULARITY] = PromotionScorer(
            popularity, popularity=popularity, pooling=POPULARITY_POOLING, covered=covered
        )
    asked = []
    for protocol, sent_only in ((REDEMPTIONS, False), (REDEMPTIONS_SENT, True)):
        if sent_only and ("audience_id" not in records.promotions or records.audience.empty):
            continue
        queries = redemption_queries(records, since=since, until=until, sent_only=sent_only)
        asked.append(AskedRedemptions(protocol, queries, rank_promotions(scorers, queries, interactions)))
    return asked


def summarise_redemptions(asked: AskedRedemptions, interactions: Interactions) -> list[Result]:
    """Every figure of ranked promotions: of all queries, and by what is known of the consumer anywhere."""
    consumers = asked.consumers
    segments = {one: segment_of(history_of(one, interactions)) for one in np.unique(consumers).tolist()}
    segment = np.array([segments[consumer_id] for consumer_id in consumers.tolist()])
    n_offers = len(np.unique(np.concatenate([query.offer for query in asked.queries])))
    results: list[Result] = []
    for name in (EVERYTHING, *SEGMENTS):
        which = segment == name if name != EVERYTHING else np.ones(len(segment), dtype=bool)
        if which.any():
            results += summarise(
                {model: mine.select(which) for model, mine in asked.rankings.items()},
                consumers[which],
                protocol=asked.protocol,
                n_candidates=n_offers,
                segment=name,
            )
    return results


def rank_promotions(
    scorers: Mapping[str, PromotionScorer], queries: list[RedemptionQuery], interactions: Interactions
) -> dict[str, Rankings]:
    """Rank the candidates of each query with each scorer.

    How popular each of them is among the query's candidates is told when popularity is one of the scorers.
    """
    tops: dict[str, list[NDArray[np.int64]]] = {name: [] for name in scorers}
    percentiles: dict[str, list[NDArray[np.float32]]] = {name: [] for name in scorers}
    scores: dict[str, NDArray[np.float32]] = {}
    asked = None
    # See rank_items.
    with threadpool_limits(limits=1, user_api="blas"):
        for query in queries:
            if query.consumer_id != asked:
                asked = query.consumer_id
                history = history_of(asked, interactions)
                scores = {name: scorer.score(history) for name, scorer in scorers.items()}
            offers, place = np.unique(query.offer, return_inverse=True)
            best = {name: _best(scores[name][query.candidates], place) for name in scorers}
            percentile = popularity_percentile(best[POPULARITY]) if POPULARITY in best else None
            for name in scorers:
                top = top_ranked(best[name], DEPTH)
                tops[name].append(np.where(top < 0, top, offers[top]))
                if percentile is not None:
                    percentiles[name].append(np.where(top < 0, np.float32(np.nan), percentile[top]))
    n_relevant = np.array([len(query.relevant) for query in queries])
    hits = {
        name: np.array([np.isin(row, query.relevant) for row, query in zip(top, queries, strict=True)])
        for name, top in tops.items()
    }
    return {
        name: Rankings(
            np.array(top),
            hits[name],
            n_relevant,
            np.array(percentiles[name]) if percentiles[name] else None,
        )
        for name, top in tops.items()
    }


def _best(scores: NDArray[np.float32], place: NDArray[np.intp]) -> NDArray[np.float32]:
    """The best score of each offer's promotions, float32[n_offers]."""
    best = np.full(place.max() + 1, -np.inf, dtype=np.float32)
    np.maximum.at(best, place, scores)
    return best


def _offers(promotions: pd.DataFrame) -> NDArray[np.int64]:
    names = promotions["promotion_id"].map("promotion {}".format)
    if "code" in promotions:
        names = promotions["code"].map("code {}".format, na_action="ignore").fillna(names)
    return np.asarray(pd.factorize(names, sort=True)[0], dtype=np.int64)


def _live_on(promotions: pd.DataFrame, day: pd.Timestamp) -> NDArray[np.bool_]:
    starts, ends = promotions["starts_at"], promotions["ends_at"]
    begun = starts.isna() | (starts < day + pd.Timedelta(days=1))
    return np.asarray(begun & (ends.isna() | (ends > day)))


def _is_for(promotions: pd.DataFrame, audiences: list[str]) -> NDArray[np.bool_]:
    return np.asarray(promotions["audience_id"].isna() | promotions["audience_id"].isin(audiences))


def _members(records: PromotionRecords) -> dict[str, list[str]]:
    grouped = records.audience.groupby("consumer_id")["audience_id"].agg(list)
    return {str(consumer_id): list(audiences) for consumer_id, audiences in grouped.items()}
