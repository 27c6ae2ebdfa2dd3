"""Items that nobody has seen yet: `python -m benchmarks.new_items [--json FILE] [--kind KIND...]`.

Complete Journey, whose products say what they are. Three questions, each with text and without; all items of
a site are ranked that the household has not bought:

hidden      a tenth of the items is hidden from training with all their purchases: `training.new_items`
later       trained before 2017-10-01: purchases since, a fifth of them of items that nobody had bought
promotions  trained before 2017-05-01: coupons redeemed since that cover nothing anybody had bought, among
            all coupons that were live that day

Beside the likeness of texts stands a ridge regression from words to the known items' scores, in its dual
form: both are weighted sums of scores, only the weights differ.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.linalg import solve

from benchmarks.redemptions import DATA, records_of
from benchmarks.report import Figures, run
from examples.complete_journey.tables import CompleteJourney, read_complete_journey
from features.interactions import build_interactions
from features.weights import InteractionWeights
from models.alike import Alike, Likeness
from models.popularity import Popularity
from models.unseen import FittedWithUnseen, popularity_with_unseen, with_unseen
from training.fitting import DEFAULT_POOLING, MODEL_KINDS, fit
from training.new_items import (
    NEW_ITEMS,
    WITHOUT_TEXT,
    Descriptions,
    Exam,
    hide,
    learn_text,
    widen,
)
from training.redemptions import PromotionScorer, RedemptionQuery, rank_promotions, redemption_queries
from training.results import NEW, Result, find, summarise
from training.split import COLUMNS, split_by_time

LATER = datetime(2017, 10, 1, tzinfo=UTC)
PROMOTIONS_SINCE = datetime(2017, 5, 1, tzinfo=UTC)
REGRESSION = "regression"
_RIDGE, _KEPT = 3.0, 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""

    def options(parser: Any) -> None:
        parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER", help="the tables")
        parser.add_argument("--kind", nargs="+", choices=MODEL_KINDS, default=["als", "graph"])

    run(
        "new_items",
        arguments,
        about=__doc__,
        options=options,
        measure=lambda given: measure(given.data, given.kind),
        table=_table,
        digits=3,
    )
    return 0


def measure(folder: Path, kinds: Sequence[str], *, random_state: int = 42) -> Figures:
    """Ask each kind of model the three questions."""
    journey = read_complete_journey(folder)
    columns = ["site_id", "item_id", "title", "category", "attributes"]
    says: Descriptions = {
        (row["site_id"], row["item_id"]): row for row in journey.items.select(columns).to_pylist()
    }
    activity = journey.activity.select(list(COLUMNS))
    rows: list[dict[str, Any]] = []
    chosen: dict[str, dict[str, Any]] = {}
    for kind in kinds:
        likeness, results = _hidden(kind, activity, says, random_state)
        chosen[kind] = asdict(likeness)
        rows += _rows("hidden", results)
        rows += _rows("later", _later(kind, activity, says, likeness))
        rows += _rows("promotions", _promotions(kind, journey, activity, says, likeness))
    return {"ratios": _ratios(rows, kinds), "rows": rows, "chosen": chosen}


def _hidden(
    kind: str, activity: pa.Table, says: Descriptions, random_state: int
) -> tuple[Likeness, list[Result]]:
    hidden = hide(activity, says, random_state=random_state)
    if hidden is None:
        raise LookupError("no item says anything")
    exam = _exam(kind, hidden.train, {pair: says[pair] for pair in hidden.new}, says, as_of=None)
    likeness = exam.choose(hidden.choose, random_state)
    return likeness, _judged(exam, hidden.judge, likeness)


def _later(kind: str, activity: pa.Table, says: Descriptions, likeness: Likeness) -> list[Result]:
    split = split_by_time(activity, LATER)
    known = set(zip(*(split.train[name].to_pylist() for name in ("site_id", "item_id")), strict=True))
    asked = set(zip(split.test["site_id"], split.test["item_id"], strict=True))
    new = {pair: says[pair] for pair in sorted(asked - known) if pair in says}
    exam = _exam(kind, split.train, new, says, as_of=LATER)
    held_out = pa.Table.from_pandas(split.test, preserve_index=False)
    seen = exam.all_items.confidence()
    held_out = held_out.filter(pa.array(_unbought(held_out, exam, seen)))
    return _judged(exam, held_out, likeness)


def _unbought(held_out: pa.Table, exam: Exam, seen: Any) -> list[bool]:
    """What was bought before is no candidate, and so no answer."""
    consumers, items = exam.all_items.consumers, exam.all_items.items
    found = []
    for consumer_id, site_id, item_id in zip(
        *(held_out[name].to_pylist() for name in held_out.column_names), strict=True
    ):
        row, column = consumers.row(consumer_id), items.index(site_id, item_id)
        found.append(row is not None and column is not None and seen[row, column] == 0)
    return found


def _exam(
    kind: str, train: pa.Table, new: Descriptions, says: Descriptions, *, as_of: datetime | None
) -> Exam:
    interactions = build_interactions(train, InteractionWeights(), as_of=as_of)
    text = learn_text(interactions.items, says)
    new = {pair: said for pair, said in new.items() if interactions.items.index(*pair) is None}
    exam = None if text is None else Exam.of(fit(kind, interactions), interactions, text, new)
    if exam is None:
        raise LookupError("no new item is like a known one")
    return exam


def _judged(exam: Exam, held_out: pa.Table, likeness: Likeness) -> list[Result]:
    """With text as chosen, without, and by the regression."""
    results = list(exam.judge(held_out, likeness, 0))
    extended = exam.extend(likeness)
    for share in (1.0, 3.0):
        regressed = replace(extended, alike=_regress(exam, extended, share))
        results += exam.results(f"{REGRESSION} x{share:g}", regressed, held_out, 0)
    return results


def _regress(exam: Exam, extended: FittedWithUnseen, share: float) -> Alike:
    """Weights X (XᵀX + λI)⁻¹ c of the known items X for new ones c, the strongest of each kept; by site."""
    known, items = exam.text.vectors, exam.interactions.items
    pairs = [extended.items.pair(int(place)) for place in extended.unseen]
    said = exam.text.vocabulary.vectors([exam.new[pair] for pair in pairs])
    gram = np.asarray((known.T @ known).toarray(), dtype=np.float32)
    gram.flat[:: len(gram) + 1] += _RIDGE
    solved = solve(gram, said.T.toarray(), assume_a="pos")
    index = np.zeros((len(pairs), _KEPT), dtype=np.intp)
    weight = np.zeros((len(pairs), _KEPT), dtype=np.float32)
    for place, (site_id, _) in enumerate(pairs):
        site = items.site_slice(site_id)
        weights = known[site] @ solved[:, place]
        best = np.argsort(-np.abs(weights), kind="stable")[:_KEPT]
        index[place, : len(best)], weight[place, : len(best)] = best + site.start, share * weights[best]
    return Alike(index, weight)


def _promotions(
    kind: str, journey: CompleteJourney, activity: pa.Table, says: Descriptions, likeness: Likeness
) -> list[Result]:
    train = split_by_time(activity, PROMOTIONS_SINCE).train
    interactions = build_interactions(train, InteractionWeights(), as_of=PROMOTIONS_SINCE)
    model, popularity = fit(kind, interactions), Popularity().fit(interactions)
    records = records_of(journey)
    covered = records.covered()
    known = [[pair for pair in pairs if model.items.index(*pair) is not None] for pairs in covered]
    new = sorted({pair for mine, pairs in zip(known, covered, strict=True) if not mine for pair in pairs})
    text = learn_text(interactions.items, says, likeness)
    extended = None if text is None else with_unseen(model, text, new, [says[pair] for pair in new])
    if extended is None:
        raise LookupError("no new item is like a known one")
    nothing_known = np.array([not mine for mine in known])
    queries = _of_new_items(redemption_queries(records, since=PROMOTIONS_SINCE), nothing_known)
    pooling = DEFAULT_POOLING[kind]
    without = PromotionScorer(model, popularity=popularity, pooling=pooling, covered=known)
    by_text = PromotionScorer(
        extended,
        popularity=popularity_with_unseen(popularity, extended),
        pooling=pooling,
        covered=[mine or pairs for mine, pairs in zip(known, covered, strict=True)],
    )
    wide = widen(interactions, extended)
    rankings = {
        NEW_ITEMS: rank_promotions({kind: by_text}, queries, wide),
        WITHOUT_TEXT: rank_promotions({kind: without}, queries, interactions),
    }
    consumers = [query.consumer_id for query in queries]
    return [
        result
        for protocol, mine in rankings.items()
        for result in summarise(mine, consumers, protocol=protocol, n_candidates=len(covered), segment=NEW)
    ]


def _of_new_items(queries: Sequence[RedemptionQuery], nothing_known: Any) -> list[RedemptionQuery]:
    """Of each query what covers nothing known is to be found; those without any are left out."""
    kept = []
    for query in queries:
        new = np.unique(query.offer[nothing_known[query.candidates]])
        old = np.unique(query.offer[~nothing_known[query.candidates]])
        relevant = np.setdiff1d(np.intersect1d(query.relevant, new), old)
        if len(relevant):
            kept.append(replace(query, relevant=relevant))
    return kept


def _rows(question: str, results: Sequence[Result]) -> list[dict[str, Any]]:
    return [
        {"question": question, **asdict(one)}
        for one in results
        if one.metric in ("ndcg", "recall") and one.k == 10
    ]


def _ratios(rows: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> dict[str, float]:
    ratios = {}
    for question in ("hidden", "later"):
        for kind in kinds:
            mine = [
                Result(**{name: value for name, value in row.items() if name != "question"})
                for row in rows
                if row["question"] == question
            ]
            by_text, without = (find(mine, protocol=one, model=kind) for one in (NEW_ITEMS, WITHOUT_TEXT))
            if by_text is not None and without is not None:
                ratios[f"{question}_{kind}_text_vs_none"] = by_text.mean / without.mean
    return ratios


def _table(figures: Figures) -> Iterator[str]:
    names = f"{'asked':<11} {'model':<11} {'new items':<24} {'to find':<8} {'metric':<10} {'mean':>6}"
    yield f"{names}  95 % interval     queries"
    for row in figures["rows"]:
        how = {NEW_ITEMS: "by text", WITHOUT_TEXT: "without text"}.get(row["protocol"], row["protocol"])
        yield (
            f"{row['question']:<11} {row['model']:<11} {how:<24} {row['segment']:<8} "
            f"{row['metric'] + '@10':<10} {row['mean']:>6.4f}  {row['low']:.4f} to {row['high']:.4f}"
            f"  {row['n_queries']:>7}"
        )


if __name__ == "__main__":
    sys.exit(main())
