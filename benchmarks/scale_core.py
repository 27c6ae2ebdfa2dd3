"""Promotions, items and histories that grow: the core of a decision. Not a benchmark itself."""

import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from benchmarks.decision import MEMBERS, NOW, SITE, Counter
from benchmarks.trained import Trained
from features.history import history_vector
from models.als import FittedAls
from models.bundle import Bundle
from models.pooling import Pooling
from models.popularity import FittedPopularity
from serving.answer import ModelInfo
from serving.catalog import Catalogue, Coverage
from serving.live_model import LiveModel
from serving.shelf import make_shelves
from serving.token import TokenSigner
from storage.catalogue import PromotionRow
from storage.reader import ConsumerRecord

ONE_SITE, MANY_SITES = "promotions on one site", "promotions over 100 sites"
ITEMS, LENGTH = "items of the network", "events in the history"
FEW = 10_000

_N_SITES = 100
_N_EVENTS = 50
_LENGTHS = (1, 5, 20, 50, 200, 500)
_ORACLES = 50
_PASSES = 5


def promotions(trained: Trained, sizes: Sequence[int], *, turns: int) -> Iterator[dict[str, Any]]:
    """Promotions on one site and over a hundred; also seconds to lay them out, and recall."""
    records = trained.records(turns, n_events=_N_EVENTS)
    for axis, n_sites in ((ONE_SITE, 1), (MANY_SITES, _N_SITES)):
        for n_promotions in sizes:
            model = trained.network(n_promotions, n_sites=n_sites)
            started = time.process_time()
            counter = make_counter(model, n_promotions // n_sites, n_sites=n_sites)
            laid_out_s = time.process_time() - started
            yield {
                "axis": axis,
                "n": n_promotions,
                **_microseconds(counter, records),
                "recall": recall(counter, records[:_ORACLES]),
                "laid_out_s": laid_out_s,
            }


def items(trained: Trained, sizes: Sequence[int], *, turns: int) -> Iterator[dict[str, Any]]:
    """Items of the network, 10,000 of them promoted on one site."""
    records = trained.records(turns, n_events=_N_EVENTS)
    for n_items in sizes:
        model = trained.network(max(n_items, FEW), n_sites=max(1, n_items // FEW))
        yield {"axis": ITEMS, "n": len(model.items), **_microseconds(make_counter(model, FEW), records)}


def histories(trained: Trained, *, turns: int) -> Iterator[dict[str, Any]]:
    """Events of the consumer, 10,000 promotions on one site."""
    counter = make_counter(trained.network(FEW, n_sites=1), FEW)
    for length in _LENGTHS:
        records = trained.records(turns, n_events=length)
        yield {"axis": LENGTH, "n": length, **_microseconds(counter, records)}


def make_counter(model: FittedAls, n_each: int, *, n_sites: int = 1) -> Counter:
    """So many promotions on each of these sites, one item each; asked for the first."""
    prior = np.full(len(model.items), 1 / len(model.items), dtype=np.float32)
    popularity = FittedPopularity(model.items, model.weights, prior)
    bundle = Bundle(model, popularity, Pooling(), {}, "0" * 64)
    live = LiveModel(ModelInfo(version="1", kind=model.kind, digest=bundle.digest), bundle)
    shelf = make_shelves(_catalogue(n_each, n_sites), live)[SITE]
    return Counter(live, shelf, TokenSigner([b"for measuring only"], lifetime=timedelta(days=30)))


def recall(counter: Counter, records: Sequence[ConsumerRecord]) -> float:
    """How often the promotion on top is the one that scores best by the paper's formula in float64."""
    model: Any = counter.model.bundle.model
    factors = model.item_factors.astype(np.float64)
    gram = factors.T @ factors + model.made_with.regularization * np.eye(factors.shape[1])
    here = model.items.site_slice(SITE)
    found = 0
    for record in records:
        history = history_vector(record.events, model.items, model.weights, now=NOW)
        c = 1 + model.made_with.alpha * history.confidence(model.weights).astype(np.float64)
        seen = factors[history.item_index]
        vector = np.linalg.solve(gram + (seen.T * (c - 1)) @ seen, c @ seen)
        promotion = counter.decide(record).promotion
        best = int(np.argmax(factors[here] @ vector))
        found += promotion is not None and promotion.promotion_id == _promotion_id(0, best)
    return found / len(records)


def _catalogue(n_each: int, n_sites: int) -> Catalogue:
    sites = [f"shop-{site}" for site in range(n_sites)]
    n_promotions = n_each * n_sites
    return Catalogue(
        members=MEMBERS,
        promotions=tuple(
            PromotionRow(_promotion_id(site, number), None, "10 % off {item.title}", *[None] * 8)
            for site in range(n_sites)
            for number in range(n_each)
        ),
        rows_of={site: np.arange(at * n_each, (at + 1) * n_each) for at, site in enumerate(sites)},
        coverage=Coverage(
            pairs=tuple((site, f"item-{number:08d}") for site in sites for number in range(n_each)),
            indptr=np.arange(n_promotions + 1),
            pair_index=np.arange(n_promotions, dtype=np.int32),
        ),
        items={},
    )


def _microseconds(counter: Counter, records: Sequence[ConsumerRecord]) -> dict[str, float]:
    def timed(record: ConsumerRecord) -> float:
        # Of the thread, not of the clock: while others run, this does not.
        started = time.thread_time_ns()
        counter.decide(record)
        return (time.thread_time_ns() - started) / 1000

    return least_disturbed([[timed(record) for record in records] for _ in range(_PASSES + 1)][1:])


def least_disturbed(passes: Sequence[Sequence[float]]) -> dict[str, float]:
    """Median and p99 of the pass with the lowest median: what else the machine does only adds."""
    best = min(passes, key=statistics.median)
    return {"us": statistics.median(best), "p99_us": float(np.percentile(best, 99))}


def _promotion_id(site: int, number: int) -> str:
    return f"promotion-{site}-{number:08d}"
