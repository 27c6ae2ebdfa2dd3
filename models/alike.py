"""Which known items a new one is like, by what they say: how it gets a score before anybody saw it.

score_new = share · Σᵢ wᵢ · scoreᵢ over the `n_alike` most alike known items i of its site, where wᵢ are their
cosines by Σ w. A weighted sum of scores is possible with every model, and its reasons stay exact.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.content import Vocabulary
from features.ids import ItemIds
from models.errors import InvalidModel
from models.parameters import require_numbers
from models.recommender import require_array, require_rows

Described = Mapping[str, Any]
"""What an item says: `title`, `category` and `attributes`."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How new items take their scores from known ones.

    Parameters
    ----------
    n_alike : int
        From so many.
    share : float
        What the mean of their scores is multiplied by.
    """

    n_alike: int = 20
    share: float = 1.0

    def __post_init__(self) -> None:
        require_numbers(self, whole={"n_alike": 1}, positive=("share",))


@dataclass(frozen=True, eq=False, slots=True)
class Alike:
    """For each of some new items the known ones it is like.

    Attributes
    ----------
    index : intp[n, n_alike]
        Known items.
    weight : float32[n, n_alike]
        What each one's score counts; 0 fills up. All 0: nothing known is like it.
    """

    index: NDArray[np.intp]
    weight: NDArray[np.float32]

    def scores(self, known: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of the new items from those of the known, float32[n_known] → float32[n]."""
        return np.asarray(np.einsum("ij,ij->i", known.take(self.index), self.weight), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ItemText:
    """What the known items say.

    Attributes
    ----------
    items : ItemIds
        The known items.
    vocabulary : Vocabulary
        The words that count.
    vectors : csr float32[n_items, n_words]
        See `Vocabulary.vectors`.
    likeness : Likeness
        How new items take their scores from them.
    """

    items: ItemIds
    vocabulary: Vocabulary
    vectors: sparse.csr_matrix
    likeness: Likeness

    def __repr__(self) -> str:
        return f"ItemText({self.items!r}, {self.vocabulary!r}, {self.likeness})"

    def alike(self, pairs: Sequence[tuple[str, str]], described: Iterable[Described]) -> Alike:
        """Find what new items are like.

        Parameters
        ----------
        pairs : sequence of (site id, item id)
            The new items. What is alike is looked for on the same site, or on all where a site has nothing
            that is known.
        described : iterable of mapping
            What each says.
        """
        said = self.vocabulary.vectors(described)
        n_alike = self.likeness.n_alike
        index = np.zeros((len(pairs), n_alike), dtype=np.intp)
        weight = np.zeros((len(pairs), n_alike), dtype=np.float32)
        places: dict[str, list[int]] = {}
        for place, (site_id, _) in enumerate(pairs):
            places.setdefault(site_id, []).append(place)
        for site_id, mine in places.items():
            site = self.items.site_slice(site_id)
            if site.start == site.stop:
                site = slice(0, len(self.items))
            cosines = sparse.csr_matrix(said[mine] @ self.vectors[site].T)
            for row, place in enumerate(mine):
                cells = slice(cosines.indptr[row], cosines.indptr[row + 1])
                columns, values = cosines.indices[cells], cosines.data[cells]
                if len(values) > n_alike:
                    best = np.argpartition(-values, n_alike - 1)[:n_alike]
                    columns, values = columns[best], values[best]
                index[place, : len(values)] = columns + site.start
                weight[place, : len(values)] = values
        weight *= np.float32(self.likeness.share) / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
        return Alike(index, weight)

    def parameters(self) -> dict[str, Any]:
        """The words and how scores are taken over, as plain JSON values."""
        return {
            "words": list(self.vocabulary.words),
            "n_alike": self.likeness.n_alike,
            "share": self.likeness.share,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`worth` of the words; the vectors as `row_ends` int64[n_items], `columns` int32[n], `values`."""
        return {
            "worth": self.vocabulary.worth,
            "row_ends": self.vectors.indptr[1:].astype(np.int64),
            "columns": self.vectors.indices.astype(np.int32, copy=False),
            "values": self.vectors.data.astype(np.float32, copy=False),
        }

    @classmethod
    def from_arrays(
        cls, items: ItemIds, *, arrays: Mapping[str, NDArray[Any]], parameters: Mapping[str, Any]
    ) -> Self:
        """Make it from what `arrays` and `parameters` gave; anything else is refused."""
        if set(parameters) != {"words", "n_alike", "share"}:
            raise InvalidModel(f"text has {sorted(parameters)}; expected n_alike, share and words")
        words = parameters["words"]
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InvalidModel("the words of a text are a list of texts")
        if len(set(words)) != len(words):
            raise InvalidModel("a word stands twice among the words of a text")
        worth = require_array(arrays, "worth", shape=(len(words),))
        shape = (len(items), len(words))
        vectors = require_rows(arrays, shape=shape)
        likeness = Likeness(parameters["n_alike"], parameters["share"])
        return cls(items, Vocabulary(tuple(words), worth), vectors, likeness)
