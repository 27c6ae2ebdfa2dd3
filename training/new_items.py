"""What text is worth for items that nobody has seen: some are hidden, and asked about.

A part of the items is hidden with all activity, and so is a part of what consumers did with the others. Half
of it chooses how new items take their scores from known ones, the other half tells how well that ranks. New
and known items are ranked together, all of a site that the consumer has no history with.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy import sparse

from features.content import Vocabulary, item_vectorizer, item_words
from features.ids import ItemIds
from features.interactions import Interactions, build_interactions
from features.weights import InteractionWeights
from models.alike import Described, ItemText, Likeness
from models.popularity import Popularity
from models.recommender import FittedRecommender
from models.unseen import FittedWithUnseen, with_unseen
from training.judging import Fit
from training.metrics import Rankings, ndcg
from training.questions import Questions, answer, ask, hits_of
from training.ranking import Score, score_model
from training.results import DEPTH, EVERYTHING, KNOWN, MAIN_K, NEW, POPULARITY, Result, summarise
from training.split import target_kind

logger = logging.getLogger(__name__)

NEW_ITEMS: Final = "new_items"
WITHOUT_TEXT: Final = "new_items_without_text"
"""What is asked: with new items scored by their text, and with nothing known of them."""

# The defaults first: they stay where nothing is better.
LIKENESSES: Final = tuple(Likeness(n_alike, share) for n_alike in (20, 5) for share in (1.0, 0.5, 2.0))

_SHARE_OF_ITEMS: Final = 0.1
_SHARE_OF_PAIRS: Final = 0.2
_LEAST_HIDDEN: Final = 10
_MOST_HIDDEN: Final = 4_000
_MOST_TO_CHOOSE: Final = 1_500
_MOST_TO_JUDGE: Final = 2_000
_SHARE_THAT_TELLS_NOTHING: Final = 0.1
_PAIR = ["site_id", "item_id"]

Descriptions = Mapping[tuple[str, str], Described]
"""(site id, item id) → what the item says."""


def read_descriptions(items: Path) -> Descriptions:
    """What the items of a snapshot say; those that say nothing are left out."""
    rows = pq.read_table(items, columns=[*_PAIR, "title", "category", "attributes"]).to_pylist()
    return {(row["site_id"], row["item_id"]): row for row in rows if item_words(row)}


def learn_text(
    items: ItemIds, described: Descriptions, likeness: Likeness = LIKENESSES[0]
) -> ItemText | None:
    """What some items say, laid out to find those that a new one is like; None where that tells nothing."""
    says = [described.get(items.pair(place), {}) for place in range(len(items))]
    n_told = sum(map(bool, says))
    most = max(100, int(_SHARE_THAT_TELLS_NOTHING * n_told))
    if n_told < 2:
        return None
    vectorizer = item_vectorizer(max_items=max(min(most, n_told), 2))
    try:
        vocabulary = Vocabulary.of(vectorizer.fit([one for one in says if one]))
    except ValueError as error:
        logger.info("the items' texts have nothing in common: %s", error)
        return None
    return ItemText(items, vocabulary, vocabulary.vectors(says), likeness)


@dataclass(frozen=True, eq=False, slots=True)
class Hidden:
    """Activity to learn from, and what is asked afterwards.

    Attributes
    ----------
    train : pyarrow.Table
        Without the hidden items and pairs.
    new : list of (site id, item id)
        The hidden items.
    choose, judge : pyarrow.Table
        consumer_id, site_id, item_id of what is to be found: of new and of known items.
    """

    train: pa.Table
    new: list[tuple[str, str]]
    choose: pa.Table
    judge: pa.Table


def hide(activity: pa.Table, described: Descriptions, *, random_state: int) -> Hidden | None:
    """Hide some items that say something, and some of what is known of the others; None when they are few."""
    generator = np.random.default_rng(random_state)
    events = activity.select(["consumer_id", *_PAIR, "kind"]).to_pandas()
    items = pd.MultiIndex.from_frame(events[_PAIR])
    known = items.unique().sort_values()
    able = known[[pair in described for pair in known]]
    n_hidden = min(_MOST_HIDDEN, round(_SHARE_OF_ITEMS * len(able)))
    if n_hidden < _LEAST_HIDDEN:
        return None
    new = able[np.sort(generator.permutation(len(able))[:n_hidden])]
    pair = events.groupby(["consumer_id", *_PAIR], sort=True).ngroup().to_numpy()
    drawn = generator.random(pair.max() + 1) < _SHARE_OF_PAIRS
    is_new = items.isin(new)
    hidden = is_new | drawn[pair]
    # Halves by item, so that no item is both chosen by and judged by.
    half = dict(zip(known, (generator.random(len(known)) < 0.5).tolist(), strict=True))
    chooses = np.array([half[item] for item in items], dtype=bool)
    asked = hidden & (events["kind"] == target_kind(activity)).to_numpy()
    columns = activity.select(["consumer_id", *_PAIR])
    return Hidden(
        activity.filter(pa.array(~hidden)),
        list(new),
        columns.filter(pa.array(asked & chooses)),
        columns.filter(pa.array(asked & ~chooses)),
    )


@dataclass(frozen=True, eq=False, slots=True)
class AskedNewItems:
    """What was found: how to take over scores, and how well new items rank with and without text."""

    likeness: Likeness
    results: list[Result]


def ask_new_items(
    fit: Fit,
    activity: pa.Table,
    described: Descriptions,
    *,
    weights: InteractionWeights,
    random_state: int,
) -> AskedNewItems | None:
    """Fit a model without some of the items, choose how these take their scores, and ask about them.

    None where too few items say something to tell.
    """
    hidden = hide(activity, described, random_state=random_state)
    if hidden is None or 0 in (hidden.choose.num_rows, hidden.judge.num_rows):
        return None
    interactions = build_interactions(hidden.train, weights)
    text = learn_text(interactions.items, described)
    if text is None:
        return None
    model = fit(interactions)
    told = {pair: described[pair] for pair in hidden.new if interactions.items.index(*pair) is None}
    if (exam := Exam.of(model, interactions, text, told)) is None:
        return None
    chosen = exam.choose(hidden.choose, random_state)
    logger.info("new items: %s", chosen)
    return AskedNewItems(chosen, list(exam.judge(hidden.judge, chosen, random_state)))


@dataclass(frozen=True, eq=False, slots=True)
class Exam:
    """Questions about known and new items together."""

    model: FittedRecommender
    interactions: Interactions
    text: ItemText
    new: Descriptions
    score: Score
    all_items: Interactions
    is_new: NDArray[np.bool_]

    @classmethod
    def of(
        cls, model: FittedRecommender, interactions: Interactions, text: ItemText, new: Descriptions
    ) -> "Exam | None":
        extended = with_unseen(model, text, list(new), list(new.values()))
        if extended is None:
            return None
        score = score_model(model, interactions)
        all_items = widen(interactions, extended)
        return cls(model, interactions, text, new, score, all_items, extended.column < 0)

    def choose(self, held_out: pa.Table, random_state: int) -> Likeness:
        """The likeness with the greatest NDCG@10 over new and known items."""
        questions = self.sample(held_out, _MOST_TO_CHOOSE, random_state)
        values = [
            float(ndcg(self.rank(self.extend(one), self.score, questions), MAIN_K).mean())
            for one in LIKENESSES
        ]
        return LIKENESSES[int(np.argmax(values))]

    def judge(self, held_out: pa.Table, likeness: Likeness, random_state: int) -> Iterator[Result]:
        """Every figure with text and without, of the model and of popularity beside it."""
        extended = self.extend(likeness)
        yield from self.results(NEW_ITEMS, extended, held_out, random_state)
        yield from self.results(WITHOUT_TEXT, extended, held_out, random_state, by_text=False)

    def results(
        self,
        protocol: str,
        extended: FittedWithUnseen,
        held_out: pa.Table,
        random_state: int,
        *,
        by_text: bool = True,
    ) -> Iterator[Result]:
        """Every figure of the model and of popularity: of all that is to be found, and of new and known."""
        questions = self.sample(held_out, _MOST_TO_JUDGE, random_state)
        popularity = score_model(Popularity().fit(self.interactions), self.interactions)
        scores = {POPULARITY: popularity} | {self.model.kind: self.score}
        rankings = {
            name: self.rank(extended, score, questions, by_text=by_text) for name, score in scores.items()
        }
        yield from self.summarise(protocol, questions, rankings)

    def summarise(
        self, protocol: str, questions: Questions, rankings: Mapping[str, Rankings]
    ) -> Iterator[Result]:
        for segment, which in ((EVERYTHING, True), (NEW, self.is_new), (KNOWN, ~self.is_new)):
            relevant = sparse.csr_matrix(questions.relevant.multiply(np.atleast_2d(which)), dtype=np.int8)
            relevant.eliminate_zeros()
            n_relevant = np.diff(relevant.indptr).astype(np.int64)
            asked = np.flatnonzero(n_relevant)
            if len(asked) == 0:
                continue
            mine = {
                name: Rankings(
                    one.ranked[asked], hits_of(relevant[asked], one.ranked[asked]), n_relevant[asked]
                )
                for name, one in rankings.items()
            }
            yield from summarise(
                mine,
                [questions.consumer_ids[place] for place in asked],
                protocol=protocol,
                n_candidates=len(self.is_new),
                segment=segment,
            )

    def extend(self, likeness: Likeness) -> FittedWithUnseen:
        text = replace(self.text, likeness=likeness)
        extended = with_unseen(self.model, text, list(self.new), list(self.new.values()))
        if extended is None:
            raise ValueError(f"{likeness} finds nothing alike, though another did")
        return extended

    def sample(self, held_out: pa.Table, most: int, random_state: int) -> Questions:
        """Questions about consumers and items that are known or are among the new ones."""
        questions = ask(held_out, self.all_items)
        able = np.flatnonzero((questions.rows >= 0) & (np.diff(questions.relevant.indptr) > 0))
        drawn = np.random.default_rng(random_state).permutation(able)[:most]
        return questions.select(np.sort(drawn))

    def rank(
        self, extended: FittedWithUnseen, score: Score, questions: Questions, *, by_text: bool = True
    ) -> Rankings:
        popularity = Popularity().fit(self.interactions).prior
        scored = score_with_new(score, extended) if by_text else score_without_new(score, extended)
        spread = extended.layout(slice(None)).spread(popularity)
        prior = np.where(self.is_new & (not by_text), -np.inf, spread).astype(np.float32)
        masked = self.all_items.confidence()
        return answer(scored, questions, self.all_items, prior=prior, masked=masked, depth=DEPTH)


def widen(interactions: Interactions, extended: FittedWithUnseen) -> Interactions:
    """The same over known and new items: nothing is known of the new ones."""
    by_kind = {}
    for kind, cells in interactions.by_kind.items():
        shape = (cells.shape[0], len(extended.items))
        places = extended.places[cells.indices].astype(np.int32)
        by_kind[kind] = sparse.csr_matrix((cells.data, places, cells.indptr), shape=shape)
    return replace(interactions, items=extended.items, by_kind=by_kind)


def score_with_new(score: Score, extended: FittedWithUnseen) -> Score:
    """How a model scores known items, and by text the others."""

    def scored(rows: NDArray[np.int64], site: slice) -> NDArray[np.float32]:
        layout = extended.layout(site)
        known = score(rows, layout.known)
        n_new, n_alike = layout.alike.index.shape
        ends = np.arange(0, n_new * n_alike + 1, n_alike)
        takes = sparse.csr_matrix(
            (layout.alike.weight.ravel(), layout.alike.index.ravel(), ends), shape=(n_new, known.shape[1])
        )
        taken = np.asarray((takes @ known.T).T, dtype=np.float32)
        return np.concatenate([known, taken], axis=1)[:, layout.source]

    return scored


def score_without_new(score: Score, extended: FittedWithUnseen) -> Score:
    """How a model scores known items; the others come after all of them."""

    def scored(rows: NDArray[np.int64], site: slice) -> NDArray[np.float32]:
        known = slice(*extended.places.searchsorted([site.start, site.stop]).tolist())
        scores = np.full((len(rows), site.stop - site.start), -np.inf, dtype=np.float32)
        scores[:, extended.places[known] - site.start] = score(rows, known)
        return scores

    return scored
