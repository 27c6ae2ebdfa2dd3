"""Many histories read and scored at once: what can be one matrix product is one.

`read_block(model, histories)` is to a `HistoryBlock` what `model.read(history)` is to a `HistoryVector`. It
scores as each reading by itself does, up to the rounding of float32. Histories may be of any lengths, and of
asks that share nothing but the model.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.history_block import HistoryBlock
from models.blend import FittedBlend, standing
from models.factors import FittedFactors, fold_in
from models.recommender import FittedRecommender, Reading
from models.unseen import FittedWithUnseen


class BlockReading(Protocol):
    """Several histories as a model reads them."""

    def score(self, rows: slice, within: slice) -> NDArray[np.float32]:
        """Score of every item `within` by each of some histories, float32[n_rows, n]; the caller's own.

        Parameters
        ----------
        rows, within : slice
            Bounds without a step, both given.
        """
        ...


def readable(model: FittedRecommender, histories: HistoryBlock) -> NDArray[np.bool_]:
    """Whether each history has an item with a confidence above 0, bool[n_rows]: others `read` refuses."""
    if isinstance(model, FittedWithUnseen):
        return readable(model.model, model.known_of(histories))
    counts = histories.confidence(model.weights) > 0
    return np.bincount(histories.rows()[counts], minlength=len(histories)) > 0


def read_block(model: FittedRecommender, histories: HistoryBlock) -> BlockReading:
    """Take several histories in; each must be `readable`."""
    match model:
        case FittedFactors():
            return FactorsBlock(model, fold_in(model, histories))
        case FittedBlend():
            members = []
            for member in model.members:
                rows = readable(member, histories)
                read = read_block(member, histories.take(rows)) if rows.any() else None
                members.append((np.flatnonzero(rows), read))
            return BlendBlock(model, histories.sizes, members)
        case FittedWithUnseen():
            return UnseenBlock(model, read_block(model.model, model.known_of(histories)))
        case _:
            return OneByOne([model.read(histories[row]) for row in range(len(histories))])


class FactorsBlock(msgspec.Struct, frozen=True, eq=False):
    """Consumers' vectors, float32[n_rows, factors]."""

    model: FittedFactors
    vectors: NDArray[np.float32]

    def score(self, rows: slice, within: slice) -> NDArray[np.float32]:
        """One product."""
        return np.asarray(self.vectors[rows] @ self.model.item_factors[within].T)


class BlendBlock(msgspec.Struct, frozen=True, eq=False):
    """What each member reads, and which rows it has a use for, ascending."""

    model: FittedBlend
    sizes: NDArray[np.int64]
    members: Sequence[tuple[NDArray[np.intp], BlockReading | None]]

    def score(self, rows: slice, within: slice) -> NDArray[np.float32]:
        """The members' weighted sum."""
        share = np.asarray(standing(self.sizes[rows], self.model.strength), dtype=np.float32)
        total = share[:, np.newaxis] * self.model.prior[within]
        for weight, (places, member) in zip(self.model.shares, self.members, strict=True):
            mine = slice(*places.searchsorted([rows.start, rows.stop]).tolist())
            if member is not None and mine.start < mine.stop:
                total[places[mine] - rows.start] += np.float32(weight) * member.score(mine, within)
        return total


class UnseenBlock(msgspec.Struct, frozen=True, eq=False):
    """What the inner model reads."""

    model: FittedWithUnseen
    inner: BlockReading

    def score(self, rows: slice, within: slice) -> NDArray[np.float32]:
        """Known items as the inner model says, the others by those they are like."""
        layout = self.model.layout(within)
        return np.stack([layout.spread(scores) for scores in self.inner.score(rows, layout.known)])


class OneByOne(msgspec.Struct, frozen=True, eq=False):
    """Readings of a model that gains nothing by a block."""

    readings: Sequence[Reading]

    def score(self, rows: slice, within: slice) -> NDArray[np.float32]:
        """Each by itself."""
        return np.stack([one.score(within) for one in self.readings[rows]])
