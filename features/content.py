"""What an item says about itself, as a sparse vector: for items that nobody has looked at yet.

The words of the title, the category as one word and word by word, and each attribute as `name=value`.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer

_WORD = re.compile(r"\w+")
_LONGEST_VALUE = 100


def item_vectorizer(
    *, min_items: int = 2, max_items: int | float = 1.0, max_words: int = 50_000
) -> "TfidfVectorizer":
    """A scikit-learn transformer from items to csr float32[n_items, n_words], rows of length 1.

    An item is a mapping with `title`, `category` and `attributes` (a mapping, or JSON text of one, as a
    snapshot keeps them); each may be missing or None.

    Parameters
    ----------
    min_items : int
        Words of fewer items say nothing about others.
    max_items : int or float
        Words of more items (a float: of a greater share of them) tell no item from the others.
    max_words : int
        As many of the most frequent words are kept.

    Examples
    --------
    >>> items = [{"title": "Red shoe"}, {"title": "Blue shoe"}]
    >>> item_vectorizer().fit(items).get_feature_names_out().tolist()
    ['shoe']
    """
    # Its import takes a second, and a server reads words by `Vocabulary`.
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=item_words,
        min_df=min_items,
        max_df=max_items,
        max_features=max_words,
        sublinear_tf=True,
        dtype=np.float32,
    )


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A fitted `item_vectorizer` as plain values: the same vectors, without scikit-learn.

    Attributes
    ----------
    words : tuple of str
        In the order of the columns.
    worth : float32[n_words]
        What each counts: the rarer, the more.
    """

    words: tuple[str, ...]
    worth: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"Vocabulary({len(self.words)} words)"

    @classmethod
    def of(cls, fitted: "TfidfVectorizer") -> "Vocabulary":
        """The vocabulary of a fitted `item_vectorizer`."""
        return cls(tuple(fitted.get_feature_names_out().tolist()), np.asarray(fitted.idf_, dtype=np.float32))

    @cached_property
    def _columns(self) -> Mapping[str, int]:
        return {word: column for column, word in enumerate(self.words)}

    def vectors(self, items: Iterable[Mapping[str, Any]]) -> sparse.csr_matrix:
        """What items say, csr float32[n_items, n_words], rows of length 1, or 0 where nothing is known of it.

        (1 + ln count) · worth of each word, divided by the row's length.
        """
        ends, columns, values = [0], [], []
        for item in items:
            counts = Counter(
                column for word in item_words(item) if (column := self._columns.get(word)) is not None
            )
            mine = sorted(counts)
            said = (1 + np.log([counts[column] for column in mine])) * self.worth[mine]
            columns += mine
            values.append(said / max(float(np.sqrt(said @ said)), 1e-12))
            ends.append(len(columns))
        data = np.concatenate(values).astype(np.float32) if values else np.empty(0, dtype=np.float32)
        shape = (len(ends) - 1, len(self.words))
        return sparse.csr_matrix((data, np.array(columns, dtype=np.int32), ends), shape=shape)


def item_words(item: Mapping[str, Any]) -> list[str]:
    """Everything an item says, word by word."""
    return [*_text_words(item.get("title")), *_category_words(item.get("category")), *_attribute_words(item)]


def _text_words(text: object) -> list[str]:
    return _WORD.findall(text.casefold()) if isinstance(text, str) else []


def _category_words(category: object) -> Iterator[str]:
    if isinstance(category, str) and category:
        yield f"category={category.casefold()}"
        yield from _text_words(category)


def _attribute_words(item: Mapping[str, Any]) -> Iterator[str]:
    attributes = item.get("attributes")
    if isinstance(attributes, str):
        attributes = json.loads(attributes)
    if not isinstance(attributes, Mapping):
        return
    for name, value in sorted(attributes.items()):
        for one in value if isinstance(value, list) else [value]:
            # Nested objects and long texts tell items apart; what is wanted is what they share.
            if isinstance(one, str | int | float | bool) and len(str(one)) <= _LONGEST_VALUE:
                yield f"{name}={str(one).casefold()}"
