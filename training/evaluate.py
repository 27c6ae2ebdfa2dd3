"""How well models rank items: all items of the site, for people known well there, a little, or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.history import HistoryVector
from features.interactions import Interactions
from models.errors import EmptyHistory
from models.popularity import FittedPopularity
from models.recommender import FittedRecommender
from training.errors import NothingToEvaluate
from training.metrics import Rankings, popularity_percentile, top_ranked
from training.results import DEPTH, POPULARITY, Result, summarise
from training.split import Split

SEGMENTS = ("hot", "warm", "cold")

HOT_AT = 5
"""From so many items in a site's history on, a consumer is hot there; with none, cold; between, warm."""

_LEAST_QUERIES_OF_A_SITE = 20


@dataclass(frozen=True, slots=True)
class ItemQuery:
    """A consumer on a site: the columns to be found, and how many there are with those that are unknown."""

    consumer_id: str
    site_id: str
    relevant: NDArray[np.int32]
    n_relevant: int
    segment: str


def rank_items(
    models: Sequence[FittedRecommender],
    interactions: Interactions,
    split: Split,
    *,
    popularity: FittedPopularity,
) -> tuple[dict[str, Rankings], list[ItemQuery]]:
    """Rank all items of a site for each (consumer, site) of the test part, by each model and by popularity.

    The queries and their order depend on the test part alone.

    Parameters
    ----------
    models : sequence of FittedRecommender
        Each of another kind.
    interactions : Interactions
        What they were fitted on; made of `split.train`.
    popularity : FittedPopularity
        Of the same interactions: stands beside the models, and in for them where there is no history, as
        in serving.
    """
    if split.test.empty:
        raise NothingToEvaluate(f"{split!r}: nothing to rank; choose an earlier cut or import more activity")
    queries: list[ItemQuery] = []
    tops: dict[str, list[NDArray[np.int64]]] = {POPULARITY: [], **{model.kind: [] for model in models}}
    # Scoring is thousands of small products: BLAS threads wait for each other longer than they work.
    with threadpool_limits(limits=1, user_api="blas"):
        for consumer_id, held_out in split.test.groupby("consumer_id", sort=True):
            history = history_of(str(consumer_id), interactions)
            mine = _queries(str(consumer_id), held_out, history, interactions)
            seen = history.item_index if split.mask_seen and history is not None else None
            scores = {POPULARITY: popularity.prior} | {
                model.kind: item_scores(model, history, popularity=popularity) for model in models
            }
            for query in mine:
                queries.append(query)
                site = interactions.items.site_slice(query.site_id)
                for name, all_scores in scores.items():
                    tops[name].append(_top_of_site(all_scores, site, seen))
    percentile = _percentile_in_site(popularity)
    return {name: _rankings(np.array(top), queries, percentile) for name, top in tops.items()}, queries


def history_of(consumer_id: str, interactions: Interactions) -> HistoryVector | None:
    """A consumer's row; None for one without activity."""
    row = interactions.consumers.row(consumer_id)
    return None if row is None else interactions.row(row)


def item_scores(
    model: FittedRecommender, history: HistoryVector | None, *, popularity: FittedPopularity
) -> NDArray[np.float32]:
    """The model's scores, or popularity's where there is no usable history: what serving does."""
    if history is None or model.kind == POPULARITY:
        return popularity.prior
    try:
        return model.score(history)
    except EmptyHistory:
        return popularity.prior


def _queries(
    consumer_id: str, held_out: pd.DataFrame, history: HistoryVector | None, interactions: Interactions
) -> list[ItemQuery]:
    items = interactions.items
    by_site: dict[str, list[str]] = {}
    for site_id, item_id in zip(held_out["site_id"], held_out["item_id"], strict=True):
        by_site.setdefault(site_id, []).append(item_id)
    queries = []
    for site_id, wanted in by_site.items():
        # An item that appeared only after the cut cannot be found and counts as missed.
        known = [index for item_id in wanted if (index := items.index(site_id, item_id)) is not None]
        relevant = np.array(known, dtype=np.int32)
        segment = segment_of(history, items.site_slice(site_id))
        queries.append(ItemQuery(consumer_id, site_id, relevant, len(wanted), segment))
    return queries


def segment_of(history: HistoryVector | None, site: slice | None = None) -> str:
    """What is known of a consumer on a site (or on all): `hot`, `warm` or `cold`."""
    if history is None:
        return "cold"
    known = len(history)
    if site is not None:
        start, end = np.searchsorted(history.item_index, [site.start, site.stop])
        known = end - start
    return "cold" if known == 0 else "warm" if known < HOT_AT else "hot"


def _top_of_site(
    scores: NDArray[np.float32], site: slice, seen: NDArray[np.int32] | None
) -> NDArray[np.int64]:
    mine = scores[site]
    if seen is None:
        top = top_ranked(mine, DEPTH)
        return np.where(top < 0, top, top + site.start)
    candidates = np.setdiff1d(np.arange(site.start, site.stop), seen, assume_unique=True)
    top = top_ranked(scores[candidates], DEPTH)
    return np.where(top < 0, top, candidates[top] if len(candidates) else top)


def _percentile_in_site(popularity: FittedPopularity) -> NDArray[np.float32]:
    items = popularity.items
    sites = [items.site_slice(site_id) for site_id in items.site_ids]
    return np.concatenate([popularity_percentile(popularity.prior[site]) for site in sites])


def _rankings(top: NDArray[np.int64], queries: list[ItemQuery], percentile: NDArray[np.float32]) -> Rankings:
    hits = np.array([np.isin(row, query.relevant) for row, query in zip(top, queries, strict=True)])
    n_relevant = np.array([query.n_relevant for query in queries])
    return Rankings(top, hits, n_relevant, np.where(top < 0, np.float32(np.nan), percentile[top]))


def summarise_items(
    rankings: Mapping[str, Rankings], queries: list[ItemQuery], *, protocol: str, interactions: Interactions
) -> list[Result]:
    """Every figure of ranked items: of all queries, by what is known of the consumer there, and by site."""
    told = pd.DataFrame({name: [getattr(query, name) for query in queries] for name in ItemQuery.__slots__})
    items = interactions.items
    everyone = np.ones(len(told), dtype=bool)
    slices = [("all", "all", everyone, len(items))]
    slices += [("all", segment, (told["segment"] == segment).to_numpy(), len(items)) for segment in SEGMENTS]
    for site_id in sorted(told["site_id"].unique()):
        site = items.site_slice(site_id)
        slices.append((site_id, "all", (told["site_id"] == site_id).to_numpy(), site.stop - site.start))
    results: list[Result] = []
    for site_id, segment, which, n_candidates in slices:
        least = 1 if site_id == "all" else _LEAST_QUERIES_OF_A_SITE
        if which.sum() < least or n_candidates == 0:
            continue
        results += summarise(
            {name: mine.select(which) for name, mine in rankings.items()},
            told["consumer_id"].to_numpy()[which],
            protocol=protocol,
            n_candidates=n_candidates,
            site_id=site_id,
            segment=segment,
        )
    return results
