"""What one source of activity adds to the quality of rankings, with an interval.

Models are fitted with and without what the source tells of the time before a cut, and asked the same
questions. The questions come from the other sources only, so that a source is judged by what it adds to what
is known without it, never by how well it foretells itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.interactions import Interactions, build_interactions
from features.snapshot import Snapshot
from models.pooling import Pooling
from models.popularity import FittedPopularity, Popularity
from models.recommender import FittedRecommender
from storage.database import Database
from storage.settings import Settings
from storage.sources import Source, get_source
from training.answers import Answers, gain
from training.cuts import choose_cut
from training.errors import NothingToEvaluate
from training.evaluate import rank_items
from training.fitting import Progress
from training.plan import Plan
from training.redemptions import (
    REDEMPTIONS,
    PromotionRecords,
    PromotionScorer,
    RedemptionQuery,
    rank_promotions,
    redemption_queries,
)
from training.snapshots import fresh_snapshot
from training.split import COLUMNS, Split, leave_one_out, read_activity, split_by_time

LEAST_CONSUMERS = 30
"""With fewer consumers asked about, an interval drawn by consumer says too little."""

FITS = 3
"""Each model is fitted from so many seeds and its answers averaged: what chance does is no source's merit."""

_PAIR = ["consumer_id", "site_id", "item_id"]
_POINTS = 100


@dataclass(frozen=True, slots=True)
class Effect:
    """NDCG@10 with and without the source, over the same queries.

    Attributes
    ----------
    protocol : str
        `redemptions`, `time` or `leave_one_out`, as in an evaluation.
    gain, low, high : float
        Mean of the differences query by query, and its 95 % interval, drawn by consumer.
    verdict : str
        `better`, `worse`, `no difference seen` (0 lies within the interval) or `too few consumers`.
    """

    protocol: str
    n_queries: int
    n_consumers: int
    without: float
    including: float
    gain: float
    low: float
    high: float
    verdict: str

    def columns(self) -> dict[str, str]:
        """What a table tells of it, as narrow as a terminal."""
        return {
            "asked": f"{self.protocol}, {self.n_queries} of {self.n_consumers} consumers",
            "NDCG@10 without": f"{self.without:.4f}",
            "with": f"{self.including:.4f}",
            "gain": f"{self.gain:+.4f} ({self.low:+.4f} to {self.high:+.4f})",
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What a source brings and what it adds.

    Attributes
    ----------
    judged_from : datetime or None
        Models learned from what was before and are asked about what came after; None: where there are no
        times, one item of each consumer is held out.
    events, share_of_events
        Events that models may learn from, and what share they are of those of all sources.
    learned_from : int
        How many of them the model with the source learned from.
    consumers, items, pairs
        Different ones in its events; a pair is a consumer with an item. `..._only_here`: in no other source.
    price_per_point : float or None
        Price of a hundredth of NDCG@10 in the first of `effects`; None without a price or a sure gain.
    effects : tuple of Effect
        Redemptions first, where promotions were taken up.
    """

    source_id: str
    model: str
    as_of: datetime
    judged_from: datetime | None
    events: int
    share_of_events: float
    learned_from: int
    consumers: int
    consumers_only_here: int
    items: int
    items_only_here: int
    pairs: int
    pairs_only_here: int
    price: float | None
    currency: str | None
    price_per_point: float | None
    effects: tuple[Effect, ...]

    def columns(self) -> dict[str, Any]:
        """What is told of it beside its effects."""
        told = asdict(self)
        del told["effects"]
        for what in ("consumers", "items", "pairs"):
            told[what] = f"{told[what]}, {told.pop(f'{what}_only_here')} of them in no other source"
        return told


def report_source(
    database: Database, settings: Settings, source_id: str, *, plan: Plan, progress: Progress | None = None
) -> SourceReport:
    """Measure what a source adds to a model, on what is stored now; see `measure_source`."""
    with database.connection() as connection:
        source = get_source(connection, source_id)
    _check_usable(source)
    with fresh_snapshot(database, settings, progress=progress) as snapshot:
        return measure_source(snapshot, source, plan=plan, progress=progress)


def measure_source(
    snapshot: Snapshot, source: Source, *, plan: Plan, progress: Progress | None = None
) -> SourceReport:
    """Measure what a source adds to a model.

    Raises
    ------
    NothingToEvaluate
        When there are none of its events that may be used, no others, or nothing to ask.
    """
    told = progress or _silent
    activity = read_activity(snapshot.activity, also=["source_id"])
    is_mine = pc.equal(activity["source_id"], pa.scalar(source.source_id))
    mine, others = activity.filter(is_mine), activity.filter(pc.invert(is_mine))
    _check_both(source, mine, others)
    records = _records_of_others(snapshot, source)
    cut = plan.cut or choose_cut(others, records.conversions)
    others = others.select(list(COLUMNS))
    split = (
        leave_one_out(others, random_state=plan.random_state) if cut is None else split_by_time(others, cut)
    )
    learned = _learnable(mine.select(list(COLUMNS)), split, cut)
    if learned.num_rows == 0:
        raise NothingToEvaluate(
            f"source {source.source_id!r} tells nothing from before {_day(cut)}, where the questions begin; "
            "give a later day with --cut"
        )
    questions = _Questions(split, records, () if cut is None else _taken_up(records, cut), cut)
    told("fit and ask", 0, 2 * FITS)
    without = _ask(
        questions, split.train, plan=plan, progress=lambda done: told("fit and ask", done, 2 * FITS)
    )
    including = _ask(
        questions,
        pa.concat_tables([split.train, learned]),
        plan=plan,
        progress=lambda done: told("fit and ask", FITS + done, 2 * FITS),
    )
    effects = tuple(_effect(protocol, without[protocol], including[protocol]) for protocol in without)
    price = None if source.price is None else float(source.price)
    return SourceReport(
        source_id=source.source_id,
        model=plan.model,
        as_of=snapshot.as_of,
        judged_from=cut,
        events=mine.num_rows,
        share_of_events=mine.num_rows / activity.num_rows,
        learned_from=learned.num_rows,
        **_brings(mine, others),
        price=price,
        currency=source.currency,
        price_per_point=_price_per_point(price, effects[0]),
        effects=effects,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _Questions:
    """What both models are asked: items of the split's test part, and promotions where any were taken up."""

    split: Split
    records: PromotionRecords
    redemptions: Sequence[RedemptionQuery]
    cut: datetime | None


def _check_usable(source: Source) -> None:
    if source.usable:
        return
    why = (
        f"was withdrawn on {_day(source.withdrawn_at)}"
        if source.withdrawn_at is not None
        else f"expired on {source.expires_on}"
    )
    raise NothingToEvaluate(
        f"source {source.source_id!r} {why}: its events are not used, so it adds nothing; "
        "tailor source list shows those that are"
    )


def _check_both(source: Source, mine: pa.Table, others: pa.Table) -> None:
    if mine.num_rows == 0:
        raise NothingToEvaluate(
            f"of the {source.events} events of source {source.source_id!r} models may learn from none: they "
            "need an item and consent to use across sites"
        )
    if others.num_rows == 0:
        raise NothingToEvaluate(
            f"all {mine.num_rows} events that models may learn from come from source {source.source_id!r}: "
            "nothing is left to compare with; import activity of another source"
        )


def _records_of_others(snapshot: Snapshot, source: Source) -> PromotionRecords:
    records = PromotionRecords.from_snapshot(snapshot)
    conversions = records.conversions
    return replace(records, conversions=conversions[conversions["source_id"] != source.source_id])


def _learnable(mine: pa.Table, split: Split, cut: datetime | None) -> pa.Table:
    """What the source tells from before the cut; without a time, all but the very answers asked for."""
    times = mine["occurred_at"].to_pandas()
    pairs = pd.MultiIndex.from_frame(mine.select(_PAIR).to_pandas())
    told = pairs.isin(pd.MultiIndex.from_frame(split.test[_PAIR]))
    kept = ~told if cut is None else np.where(times.isna(), ~told, times < cut)
    return mine.filter(pa.array(kept.astype(np.bool_)))


def _taken_up(records: PromotionRecords, cut: datetime) -> Sequence[RedemptionQuery]:
    try:
        return redemption_queries(records, since=cut)
    except NothingToEvaluate:
        return ()


def _ask(
    questions: _Questions, train: pa.Table, *, plan: Plan, progress: Callable[[int], None]
) -> dict[str, Answers]:
    """Fit on a train part, from each seed, and answer; the main protocol comes first."""
    interactions = build_interactions(train, plan.weights, as_of=questions.cut)
    popularity = Popularity().fit(interactions)
    answers = []
    for place in range(FITS):
        model = replace(plan, random_state=plan.random_state + place).fit(interactions)
        answers.append(_answer(questions, model, interactions, popularity=popularity, pooling=plan.pools_by))
        progress(place + 1)
    return {
        protocol: Answers(first.consumer, np.mean([one[protocol].ndcg for one in answers], axis=0))
        for protocol, first in answers[0].items()
    }


def _answer(
    questions: _Questions,
    model: FittedRecommender,
    interactions: Interactions,
    *,
    popularity: FittedPopularity,
    pooling: Pooling,
) -> dict[str, Answers]:
    answers = {}
    if questions.redemptions:
        covered = questions.records.covered()
        scorer = PromotionScorer(model, popularity=popularity, pooling=pooling, covered=covered)
        asked = list(questions.redemptions)
        ranked = rank_promotions({model.kind: scorer}, asked, interactions)[model.kind]
        answers[REDEMPTIONS] = Answers.of(ranked, [query.consumer_id for query in asked])
    rankings, queries = rank_items([model], interactions, questions.split, popularity=popularity)
    items = Answers.of(rankings[model.kind], [query.consumer_id for query in queries])
    return {**answers, questions.split.protocol: items}


def _effect(protocol: str, without: Answers, including: Answers) -> Effect:
    found = gain(without, including)
    n_consumers, difference = without.n_consumers, found.difference
    return Effect(
        protocol=protocol,
        n_queries=len(without),
        n_consumers=n_consumers,
        without=found.before.mean,
        including=found.after.mean,
        gain=difference.mean,
        low=difference.low,
        high=difference.high,
        verdict="too few consumers" if n_consumers < LEAST_CONSUMERS else found.verdict,
    )


def _price_per_point(price: float | None, effect: Effect) -> float | None:
    return price / (_POINTS * effect.gain) if price is not None and effect.verdict == "better" else None


def _brings(mine: pa.Table, others: pa.Table) -> dict[str, int]:
    """How many different consumers, items and pairs of them it has, and how many no other source has."""
    counts = {}
    for what, columns in {"consumers": _PAIR[:1], "items": _PAIR[1:], "pairs": _PAIR}.items():
        here, there = (table.group_by(columns).aggregate([]) for table in (mine, others))
        counts[what] = here.num_rows
        counts[f"{what}_only_here"] = here.join(there, keys=columns, join_type="left anti").num_rows
    return counts


def _day(moment: datetime | None) -> str:
    return "the moment" if moment is None else f"{moment:%Y-%m-%d}"


def _silent(_stage: str, _done: int, _total: int | None) -> None:
    pass
