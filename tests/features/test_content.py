"""What an item says, word by word."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics.pairwise import cosine_similarity

from features.content import Vocabulary, item_vectorizer, item_words

SHOES = [
    {
        "title": "Red running shoe",
        "category": "Shoes > Running",
        "attributes": '{"brand": "Acme", "size": 42}',
    },
    {"title": "Blue running shoe", "category": "Shoes > Running", "attributes": {"brand": "Acme"}},
    {"title": "Garden hose", "category": "Garden", "attributes": {"brand": "Wet"}},
    {"title": "Garden gloves", "category": "Garden", "attributes": None},
]


def test_title_category_and_attributes_become_words() -> None:
    assert item_words(SHOES[0]) == [
        "red", "running", "shoe", "category=shoes > running", "shoes", "running", "brand=acme", "size=42"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "item", [{}, {"title": None, "category": None, "attributes": None}, {"attributes": "[]"}]
)
def test_an_item_may_say_nothing(item: dict[str, object]) -> None:
    assert item_words(item) == []
    assert item_vectorizer().fit(SHOES).transform([item]).nnz == 0


def test_lists_are_read_one_by_one_and_nested_or_long_values_left_out() -> None:
    attributes = {"colours": ["Red", "blue"], "nested": {"a": 1}, "story": "x" * 500}
    assert item_words({"attributes": attributes}) == ["colours=red", "colours=blue"]


def test_items_that_say_the_same_are_alike() -> None:
    vectors = item_vectorizer(min_items=1).fit_transform(SHOES)
    assert vectors.dtype == np.float32
    alike = cosine_similarity(vectors)
    assert alike[0, 1] > 0.5
    assert alike[0, 2] == 0
    assert alike[2, 3] > 0


def test_words_of_one_item_only_are_left_out_and_a_clone_learns_anew() -> None:
    vectorizer = item_vectorizer()
    words = vectorizer.fit(SHOES).get_feature_names_out().tolist()
    assert "red" not in words
    assert "running" in words
    assert clone(vectorizer).fit(SHOES[2:]).get_feature_names_out().tolist() == ["category=garden", "garden"]


def test_a_vocabulary_makes_the_same_vectors_without_scikit_learn() -> None:
    fitted = item_vectorizer(min_items=1).fit(SHOES)
    vocabulary = Vocabulary.of(fitted)
    assert np.array_equal(vocabulary.words, fitted.get_feature_names_out())
    items = [*SHOES, {}, {"title": "shoe shoe unheard"}]
    assert np.allclose(vocabulary.vectors(items).toarray(), fitted.transform(items).toarray(), atol=1e-6)
    assert vocabulary.vectors(items).dtype == np.float32
    assert vocabulary.vectors([]).shape == (0, len(vocabulary.words))


def test_words_of_too_many_items_are_left_out() -> None:
    assert "running" not in item_vectorizer(max_items=1, min_items=1).fit(SHOES).get_feature_names_out()


def test_reading_words_needs_no_scikit_learn() -> None:
    code = "import sys, features.content; sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
