"""How fast the core of a decision is: `python -m benchmarks.decision [--promotions N] [--json FILE]`.

`serving.decision.decide` without HTTP and database, beside the bare sum of a fold-in (`sposv`), a `gemv` over
the promotions' factors and an `argpartition`; the same for each kind of model; and once over many
promotions. Every promotion covers one item, a history has 50 events on the whole network, BLAS has one
thread, and the measurements take turns. The factors are drawn at random: what a decision costs does not
depend on what they say. The promotion on top is held against an exhaustive oracle in float64.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from benchmarks.report import Figures, at_least_one, run
from features.history import HistoryVector, history_vector
from features.ids import ItemIds
from features.weights import KINDS, InteractionWeights
from models.als import Als, FittedAls
from models.blend import FittedBlend
from models.bundle import Bundle
from models.factors import principal_axes
from models.graph import FittedGraph, Graph
from models.ials import FittedIals, Ials
from models.pooling import Pooling
from models.popularity import FittedPopularity
from models.recommender import FittedRecommender
from models.ridge import FittedRidge, Ridge
from serving.answer import Decision, ModelInfo
from serving.catalog import Catalogue, Coverage
from serving.decision import Ask, decide
from serving.guard.access import Caller
from serving.guard.disclosure import Disclosure
from serving.live_model import LiveModel
from serving.members import Members
from serving.shelf import Shelf, make_shelves
from serving.token import TokenSigner
from storage.catalogue import PromotionRow
from storage.reader import ConsumerRecord
from storage.recent import Event, Events
from storage.subscribers import Site

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SITE = "shop-0"
BARE = "fold-in + gemv + argpartition"

_N_EVENTS = 50
_N_SITES = 6
_TOP = 10
_WEIGHTS = InteractionWeights()

MEMBERS = Members(
    sites={f"shop-{n}": Site(f"shop-{n}", f"Shop {n}", "shops") for n in range(_N_SITES)},
    subscribers={},
    keys={},
    origins=frozenset(),
    unusable={},
    read_at=NOW,
)
_DISCLOSURE = Disclosure(Caller("shops", "secret"), MEMBERS, 5)


@dataclass(frozen=True, eq=False, slots=True)
class Counter:
    """A site with its promotions and a model: all that a decision needs but the consumer."""

    model: LiveModel
    shelf: Shelf
    signer: TokenSigner

    def ask(self, *, n: int = 1) -> Ask:
        """A question by a caller that may read every site."""
        return Ask(
            site_id=SITE,
            placement=None,
            n=n,
            now=NOW,
            decision_id="0" * 32,
            disclosure=_DISCLOSURE,
            max_reasons=3,
        )

    def decide(self, record: ConsumerRecord) -> Decision:
        """The decision as the service makes it."""
        return decide(self.ask(), record, shelf=self.shelf, model=self.model, signer=self.signer)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "decision",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure(
            options.promotions, many=options.many, histories=options.histories, rounds=options.rounds
        ),
        table=_table,
        digits=3,
    )
    return 0


def measure(n_promotions: int, *, many: int, histories: int, rounds: int) -> Figures:
    """All figures: the core and its peer, each kind of model, and many promotions at once."""
    # Serving gives each worker one BLAS thread, too.
    with threadpool_limits(limits=1, user_api="blas"):
        items, few = make_items(n_promotions, n_sites=_N_SITES), make_items(n_promotions, n_sites=2)
        records = make_records(items, histories)
        als = make_als(items, 64)
        counter = make_counter(als, n_promotions)
        bare = bare_way(als, n_promotions)
        vectors = [history_vector(one.events, items, _WEIGHTS, now=NOW) for one in records]
        ways: dict[str, Callable[[int], object]] = {
            BARE: lambda turn: bare(vectors[turn]),
            "als 64": lambda turn: counter.decide(records[turn]),
        }
        for name, model in _other_models(items, few).items():
            asked = records if model.items is items else make_records(model.items, histories)
            ways[name] = _decider(make_counter(model, n_promotions), asked)
        rows = in_turn(ways, n_turns=histories, rounds=rounds)
        same = share_of_true_best(counter, records)
        large = measure_many(many, histories=histories * rounds)
    by_way = {row["way"]: row for row in rows}
    return {
        "ratios": {
            "core_vs_blas": by_way["als 64"]["us"] / by_way[BARE]["us"],
            "same_top": same,
            "many_p99_ms": large["p99_us"] / 1000,
            "many_recall": large["recall"],
        },
        "n_promotions": n_promotions,
        "rows": [*rows, large],
    }


def measure_many(n_promotions: int, *, histories: int) -> dict[str, Any]:
    """Decisions among many promotions on one site, 64 factors; how often the true best is on top."""
    items = make_items(n_promotions, n_sites=2)
    counter = make_counter(make_als(items, 64), n_promotions)
    records = make_records(items, histories)
    way = _decider(counter, records)
    way(0)
    times = [timed(way, turn) for turn in range(histories)]
    return {
        "way": f"als 64, {n_promotions:,} promotions",
        "us": statistics.median(times),
        "p99_us": float(np.percentile(times, 99)),
        "recall": share_of_true_best(counter, records[:_TOP]),
    }


def in_turn(
    ways: Mapping[str, Callable[[int], object]], *, n_turns: int, rounds: int
) -> list[dict[str, Any]]:
    """Microseconds of each way: in a round each does every turn; the median over rounds of the medians."""
    medians: dict[str, list[float]] = {name: [] for name in ways}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(0)
    for _ in range(rounds):
        for name, way in ways.items():
            round_times = [timed(way, turn) for turn in range(n_turns)]
            medians[name].append(statistics.median(round_times))
            times[name] += round_times
    return [
        {
            "way": name,
            "us": statistics.median(medians[name]),
            "p99_us": float(np.percentile(times[name], 99)),
        }
        for name in ways
    ]


def timed(way: Callable[[int], object], turn: int) -> float:
    """Microseconds of one turn."""
    started = time.perf_counter()
    way(turn)
    return (time.perf_counter() - started) * 1e6


def bare_way(model: FittedAls, n_promotions: int) -> Callable[[HistoryVector], NDArray[np.intp]]:
    """The arithmetic alone: a history's vector in, the places of the ten best promotions out."""
    promotions = np.ascontiguousarray(model.item_factors[:n_promotions])
    gram = np.asfortranarray(model.item_factors.T @ model.item_factors)
    gram.flat[:: len(gram) + 1] += np.float32(model.made_with.regularization)

    def decide_bare(history: HistoryVector) -> NDArray[np.intp]:
        seen = model.item_factors[history.item_index]
        step = model.user_step(history.confidence(model.weights))
        system = gram + (seen.T * step.weight) @ seen
        _, vector, _ = lapack.sposv(system, step.target @ seen, lower=True)
        return np.argpartition(-(promotions @ vector), _TOP)[:_TOP]

    return decide_bare


def share_of_true_best(counter: Counter, records: Sequence[ConsumerRecord]) -> float:
    """How often the promotion on top is the one that an exhaustive search in float64 finds."""
    found = 0
    for record in records:
        decision = counter.decide(record)
        best = oracle(counter.model.bundle, record, len(counter.shelf.promotions))
        found += decision.promotion is not None and decision.promotion.promotion_id == _promotion_id(best)
    return found / len(records)


def oracle(bundle: Bundle, record: ConsumerRecord, n_promotions: int) -> int:
    """The best promotion by the paper's formula, in float64 and without any short cut."""
    model: Any = bundle.model
    history = history_vector(record.events, model.items, model.weights, now=NOW)
    confidence = history.confidence(model.weights).astype(np.float64)
    factors = model.item_factors.astype(np.float64)
    c = 1 + model.made_with.alpha * confidence
    seen = factors[history.item_index]
    system = factors.T @ factors + (seen.T * (c - 1)) @ seen
    system += model.made_with.regularization * np.eye(len(system))
    # The default pooling of the one covered item, with zeros for the others of the top.
    scores = factors @ np.linalg.solve(system, c @ seen) / bundle.pooling.top
    scores[history.item_index] += bundle.pooling.overlap * confidence
    return int(np.argmax(scores[:n_promotions]))


def make_items(n_promotions: int, *, n_sites: int) -> ItemIds:
    """Sites of equal size; each promotion has an item of its own on the first."""
    return ItemIds(
        {f"shop-{site}": [f"item-{number:08d}" for number in range(n_promotions)] for site in range(n_sites)}
    )


def make_records(items: ItemIds, n_histories: int, *, random_state: int = 1) -> list[ConsumerRecord]:
    """Consumers with 50 events each, anywhere on the network, within half a year."""
    random = np.random.default_rng(random_state)
    return [
        ConsumerRecord(f"consumer-{number}", Events.of(_make_events(items, random)))
        for number in range(n_histories)
    ]


def make_als(items: ItemIds, n_factors: int) -> FittedAls:
    """ALS with factors of a falling spectrum, as trained ones have."""
    return FittedAls(items, _WEIGHTS, _factors(len(items), n_factors), Als(factors=n_factors))


def make_counter(model: FittedRecommender, n_promotions: int) -> Counter:
    """A site with so many live promotions, and the model in service."""
    prior = np.full(len(model.items), 1 / len(model.items), dtype=np.float32)
    popularity = FittedPopularity(model.items, _WEIGHTS, prior)
    bundle = Bundle(model, popularity, Pooling(), {}, "0" * 64)
    live = LiveModel(ModelInfo(version="1", kind=model.kind, digest=bundle.digest), bundle)
    shelf = make_shelves(_make_catalogue(n_promotions), live)[SITE]
    return Counter(live, shelf, TokenSigner([b"for measuring only"], lifetime=timedelta(days=30)))


def _make_catalogue(n_promotions: int) -> Catalogue:
    promotions = tuple(
        PromotionRow(_promotion_id(number), None, "10 % off {item.title}", *[None] * 8)
        for number in range(n_promotions)
    )
    return Catalogue(
        members=MEMBERS,
        promotions=promotions,
        rows_of={SITE: np.arange(n_promotions)},
        coverage=Coverage(
            pairs=tuple((SITE, f"item-{number:08d}") for number in range(n_promotions)),
            indptr=np.arange(n_promotions + 1),
            pair_index=np.arange(n_promotions, dtype=np.int32),
        ),
        items={},
    )


def _other_models(items: ItemIds, few: ItemIds) -> dict[str, FittedRecommender]:
    ials = {f"ials {n}": make_ials(items, n) for n in (64, 256, 512)}
    graph, ridge = make_graph(items), make_ridge(few)
    blend = make_blend(items, (ials["ials 256"], graph))
    return {**ials, "ridge": ridge, "graph": graph, "blend of ials 256 and graph": blend}


def make_blend(items: ItemIds, members: Sequence[FittedRecommender]) -> FittedBlend:
    """The members, each with half the share of the one before, and a little popularity."""
    shares = tuple(0.5**place for place in range(len(members)))
    crowd = np.zeros(len(items), dtype=np.float32)
    return FittedBlend(items, _WEIGHTS, tuple(members), shares, crowd, 0.1, 10.0)


def make_ials(items: ItemIds, n_factors: int) -> FittedIals:
    """iALS with factors of a falling spectrum."""
    return FittedIals(items, _WEIGHTS, _factors(len(items), n_factors), Ials(factors=n_factors))


def make_ridge(items: ItemIds) -> FittedRidge:
    """A regression with weights drawn at random."""
    own = np.full((len(KINDS), len(items)), 0.1, dtype=np.float32)
    return FittedRidge(items, _WEIGHTS, _neighbours(len(items), Ridge().kept), own, Ridge())


def make_graph(items: ItemIds) -> FittedGraph:
    """A graph filter with weights drawn at random."""
    own = np.zeros((len(KINDS), len(items)), dtype=np.float32)
    return FittedGraph(items, _WEIGHTS, _neighbours(len(items), Graph().kept), own, Graph())


def _factors(n_items: int, n_factors: int) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    spectrum = np.arange(1, n_factors + 1, dtype=np.float32) ** -0.5
    drawn = random.standard_normal((n_items, n_factors), dtype=np.float32)
    return principal_axes(drawn * spectrum)


def _neighbours(n_items: int, kept: int) -> sparse.csr_matrix:
    random = np.random.default_rng(0)
    kept = min(kept, n_items)
    step = max(n_items // kept, 1)
    first = random.integers(0, step, size=(n_items, 1))
    columns = (first + step * np.arange(kept)).astype(np.int32).ravel()
    values = random.random(n_items * kept, dtype=np.float32)
    return sparse.csr_matrix((values, columns, kept * np.arange(n_items + 1)), shape=(n_items, n_items))


def _make_events(items: ItemIds, random: np.random.Generator) -> Iterator[Event]:
    ages = np.sort(random.integers(0, 180, size=_N_EVENTS))
    for age, item in zip(ages.tolist(), random.integers(len(items), size=_N_EVENTS).tolist(), strict=True):
        kind = KINDS[int(random.choice(len(KINDS), p=(0.7, 0.2, 0.1)))]
        yield (*items.pair(item), kind, NOW - timedelta(days=age))


def _decider(counter: Counter, records: Sequence[ConsumerRecord]) -> Callable[[int], Decision]:
    return lambda turn: counter.decide(records[turn])


def _promotion_id(number: int) -> str:
    return f"promotion-{number:08d}"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--promotions", type=at_least_one, default=10_000, metavar="N", help="on the site; default: 10,000"
    )
    parser.add_argument(
        "--many", type=at_least_one, default=1_000_000, metavar="N", help="the large site; default: a million"
    )
    parser.add_argument(
        "--histories", type=at_least_one, default=200, metavar="N", help="consumers a round; default: 200"
    )
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="default: 5")


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'way':<34} {'median us':>10} {'p99 us':>10}"
    for row in figures["rows"]:
        yield f"{row['way']:<34} {row['us']:>10,.0f} {row['p99_us']:>10,.0f}"


if __name__ == "__main__":
    sys.exit(main())
