"""What an item says about itself, as a sparse vector: for items that nobody has looked at yet.

The words of the title, the category as one word and word by word, and each attribute as `name=value`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

_WORD = re.compile(r"\w+")
_LONGEST_VALUE = 100


def item_vectorizer(*, min_items: int = 2, max_words: int = 50_000) -> TfidfVectorizer:
    """A scikit-learn transformer from items to csr float32[n_items, n_words], rows of length 1.

    An item is a mapping with `title`, `category` and `attributes` (a mapping, or JSON text of one, as a
    snapshot keeps them); each may be missing or None.

    Parameters
    ----------
    min_items : int
        Words of fewer items say nothing about others.
    max_words : int
        As many of the most frequent words are kept.

    Examples
    --------
    >>> items = [{"title": "Red shoe"}, {"title": "Blue shoe"}]
    >>> item_vectorizer().fit(items).get_feature_names_out().tolist()
    ['shoe']
    """
    return TfidfVectorizer(
        analyzer=item_words, min_df=min_items, max_features=max_words, sublinear_tf=True, dtype=np.float32
    )


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
