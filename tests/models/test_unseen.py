"""Items that a model never saw: scored by known ones that say the same, exactly, by every kind of model."""

import numpy as np
import pytest
from msgspec.structs import replace
from scipy import sparse

from features.content import Vocabulary, item_vectorizer
from features.history import HistoryVector
from features.history_block import HistoryBlock
from features.interactions import Interactions
from features.weights import KINDS
from models.alike import ItemText, Likeness
from models.als import FittedAls
from models.block import read_block
from models.errors import EmptyHistory, InvalidModel
from models.pooling import Pooling
from models.popularity import Popularity
from models.projection import Projection
from models.recommender import FittedRecommender
from models.unseen import FittedWithUnseen, popularity_with_unseen, with_unseen
from tests.models.test_contract import RECOMMENDERS, checkerboard, history_of

SAYS = [
    {"title": f"{'even' if item % 2 == 0 else 'odd'} thing", "category": f"c{item}"} for item in range(10)
]
NEW = {
    ("books", "i2new"): {"title": "Odd", "category": None},
    ("cinema", "i0"): {"title": "an EVEN one"},
    ("books", "a"): {"title": "even"},
    ("music", "z"): {"title": "nothing of that"},
}
ALL = [("books", "a"), *(("books", f"i{n}") for n in (0, 1, 2)), ("books", "i2new"), ("books", "i3"),
       ("books", "i4"), ("cinema", "i0"), *(("music", f"i{n}") for n in range(5, 10))]  # fmt: skip


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return checkerboard()


@pytest.fixture(scope="module")
def text(interactions: Interactions) -> ItemText:
    vocabulary = Vocabulary.of(item_vectorizer(max_items=6).fit(SAYS))
    return ItemText(interactions.items, vocabulary, vocabulary.vectors(SAYS), Likeness(3, 0.5))


@pytest.fixture(params=sorted(RECOMMENDERS))
def model(request: pytest.FixtureRequest, interactions: Interactions) -> FittedRecommender:
    return RECOMMENDERS[request.param]().fit(interactions)


def extend(model: FittedRecommender, text: ItemText) -> FittedWithUnseen:
    extended = with_unseen(model, text, list(NEW), list(NEW.values()))
    assert extended is not None
    return extended


def among_all(item: int) -> int:
    return ALL.index(("books" if item < 5 else "music", f"i{item}"))


def history(*entries: tuple[int, float]) -> HistoryVector:
    made = history_of(*entries)
    return replace(made, item_index=np.array([among_all(item) for item in made.item_index], dtype=np.int32))


def test_known_and_new_items_lie_in_one_order(model: FittedRecommender, text: ItemText) -> None:
    extended = extend(model, text)
    assert [extended.items.pair(place) for place in range(len(extended.items))] == ALL
    assert extended.unseen.tolist() == [0, 4, 7]
    assert extended.column.tolist() == [-1, 0, 1, 2, -1, 3, 4, -1, 5, 6, 7, 8, 9]
    assert extended.kind == model.kind


def test_a_new_item_scores_like_those_that_say_the_same(model: FittedRecommender, text: ItemText) -> None:
    scores, known = (
        extend(model, text).score(history((0, 1), (5, 2))),
        model.score(history_of((0, 1), (5, 2))),
    )
    assert scores[[among_all(item) for item in range(10)]] == pytest.approx(known)
    assert scores[ALL.index(("books", "i2new"))] == pytest.approx(0.5 * known[[1, 3]].mean(), abs=1e-6)
    assert scores[ALL.index(("books", "a"))] == pytest.approx(0.5 * known[[0, 2, 4]].mean(), abs=1e-6)
    # A site with nothing known looks at all sites; of five alike three are taken, whichever.
    assert np.isfinite(scores).all()


def test_a_part_of_the_items_scores_as_among_all(model: FittedRecommender, text: ItemText) -> None:
    extended, asked = extend(model, text), history((1, 1), (6, 2))
    whole, base = extended.score(asked), extended.read(asked).base()
    for part in (slice(0, 13), slice(0, 1), slice(3, 8), slice(7, 8), slice(8, 13), slice(4, 4)):
        assert extended.score(asked, part) == pytest.approx(whole[part], rel=1e-5, abs=1e-6)
        assert extended.read(asked).base(part) == pytest.approx(base[part], rel=1e-5, abs=1e-6)
        together = read_block(extended, HistoryBlock.of([asked, asked]))
        for row in (slice(0, 1), slice(1, 2)):
            assert together.score(row, part)[0] == pytest.approx(whole[part], rel=1e-5, abs=1e-6)
    some = np.array([0, 3, 4, 7, 12], dtype=np.int32)
    assert extended.read(asked).base(some) == pytest.approx(base[some], rel=1e-5, abs=1e-6)
    assert len(extended.read(asked).base(some[:0])) == 0
    assert len(extended.prior) == len(ALL)


def test_what_the_history_gave_sums_to_the_score(model: FittedRecommender, text: ItemText) -> None:
    extended = extend(model, text)
    asked = replace(
        history((0, 1), (5, 2), (7, 1)), item_index=np.array([0, among_all(5), among_all(7)], dtype=np.int32)
    )
    reading = extended.read(asked)
    scores, base = reading.score(), reading.base()
    for item in range(len(ALL)):
        given = reading.explain(item)
        assert given[0] == 0  # The first entry is of a new item.
        assert given.sum() + base[item] == pytest.approx(scores[item], abs=1e-5)
    items, weight = np.array([0, 3, 4, 7, 9], dtype=np.int32), np.array([1, 0.5, 2, 1, 1], dtype=np.float32)
    expected = weight @ (scores - base)[items]
    assert reading.explain(items, weight).sum() == pytest.approx(expected, abs=1e-5)


def test_a_history_of_new_items_alone_is_empty(text: ItemText) -> None:
    extended = extend(RECOMMENDERS["als"]().fit(checkerboard()), text)
    by_kind = np.ones((len(KINDS), 1), dtype=np.float32)
    with pytest.raises(EmptyHistory):
        extended.read(HistoryVector(np.array([0], dtype=np.int32), by_kind))


def test_a_promotion_of_new_items_is_scored_and_its_signal_is_the_text(
    model: FittedRecommender, text: ItemText
) -> None:
    extended, asked = extend(model, text), history((0, 1), (5, 2))
    coverage = sparse.csr_matrix([np.isin(np.arange(13), cells) for cells in ([0, 4], [7], [3, 10], [3], [])])
    made = Projection(coverage, Pooling("top_mean", top=2, overlap=0.3), model=extended)
    reading = extended.read(asked)
    pooled = made.pool(reading.score(made.within), history=asked, weights=extended.weights)
    assert pooled.known.tolist() == [True, True, True, True, False]
    kinds = {"als", "graph", "ials", "ridge", "popularity"}
    for promotion, names in enumerate([{"text"}, {"text"}, kinds, kinds, kinds]):
        signals = made.signals(extended, reading, promotion_index=promotion, pooled=pooled)
        assert {signal.name for signal in signals} <= names | {"own activity", "popularity"}
        total = sum(signal.total for signal in signals)
        assert total == pytest.approx(pooled.score[promotion], abs=1e-5)


def test_new_items_are_found_among_many_and_scored_exactly(interactions: Interactions) -> None:
    generator = np.random.default_rng(0)
    # Enough factors of enough items that the best are searched for.
    from benchmarks.decision import make_als, make_items

    items = make_items(6000, n_sites=1)
    model = make_als(items, 400)
    says = [{"title": f"group{number % 50}"} for number in range(len(items))]
    vocabulary = Vocabulary.of(item_vectorizer().fit(says))
    text = ItemText(items, vocabulary, vocabulary.vectors(says), Likeness(5, 4.0))
    (site_id,) = items.site_ids
    new = [(site_id, f"new{number}") for number in range(40)]
    extended = with_unseen(model, text, new, [{"title": f"group{number}"} for number in range(40)])
    assert extended is not None
    known = extended.places[generator.permutation(len(items))[:5000]]
    covered = np.sort(np.concatenate([known, extended.unseen]))
    ones = np.ones(len(covered), dtype=np.float32)
    coverage = sparse.csr_matrix(
        (ones, (np.arange(len(covered)), covered)), shape=(len(covered), len(extended.items))
    )
    made = Projection(coverage, Pooling(overlap=0.1), model=extended)
    index = np.sort(generator.permutation(len(items))[:20])
    mine = np.sort(np.concatenate([extended.places[index], extended.unseen[:1]])).astype(np.int32)
    reading = extended.read(HistoryVector(mine, np.ones((len(KINDS), len(mine)), dtype=np.float32)))
    few = made.shortlist(reading, extended.weights, n=3)
    assert few is not None
    assert isinstance(few.places, np.ndarray)
    exact = made.pool(reading.score(made.within), history=reading.history, weights=extended.weights).score
    assert few.score == pytest.approx(exact[few.places], rel=1e-4, abs=1e-5)
    assert set(np.flatnonzero(np.isin(covered, extended.unseen))) <= set(few.places.tolist())
    assert exact.argmax() in few.places


def test_items_that_say_nothing_known_add_nothing(text: ItemText, interactions: Interactions) -> None:
    model = Popularity().fit(interactions)
    assert with_unseen(model, text, [("music", "z")], [{"title": "nothing of that"}]) is None
    assert with_unseen(model, text, [], []) is None


def test_popularity_of_new_items_is_that_of_what_they_are_like(
    text: ItemText, interactions: Interactions
) -> None:
    model = Popularity().fit(interactions)
    prior = popularity_with_unseen(model, extend(model, text)).prior
    assert prior[0] == pytest.approx(0.5 * model.prior[[0, 2, 4]].mean())


def test_it_is_never_kept(text: ItemText, interactions: Interactions) -> None:
    extended = extend(RECOMMENDERS["als"]().fit(interactions), text)
    with pytest.raises(InvalidModel, match="made anew"):
        extended.arrays()
    with pytest.raises(InvalidModel, match="never kept"):
        FittedWithUnseen.from_arrays(extended.items, extended.weights, arrays={}, parameters={})
    assert isinstance(extended.model, FittedAls)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"words": "even"}, "list of texts"),
        ({"words": ["even", "even"]}, "twice"),
        ({"words": ["even"]}, "expected"),
        ({"n_alike": 0}, "n_alike"),
        ({"share": -1.0}, "share"),
        ({"more": 1}, "expected"),
    ],
)
def test_texts_that_make_no_sense_are_refused(
    text: ItemText, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(InvalidModel, match=reason):
        ItemText.from_arrays(text.items, arrays=text.arrays(), parameters={**text.parameters(), **changes})
