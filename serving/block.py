"""The decision for many consumers of a site at once: the same promotions as one by one, and no reasons.

Consent, and from when ages count, are in the histories; whatever else an ask says is in what may be shown to
its group. So asks of any placements, moments and audiences may stand side by side.
"""

from collections.abc import Callable
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.history_block import HistoryBlock
from models.block import read_block, readable
from models.bundle import Bundle
from models.projection import EVERY_PROMOTION, PooledScores, Projection
from serving.decision import best, rank_tailored

_TOGETHER_BYTES = 8 << 20


class Asked(msgspec.Struct, frozen=True, eq=False):
    """What is asked for several consumers of one site.

    Attributes
    ----------
    group : intp[n_rows]
        Which of the groups each consumer belongs to, from 0 on.
    may_show : callable
        What may be shown to a group, bool[n_promotions], not to be written to. Asked once for each group in a
        part of the consumers.
    n : int
        Promotions for each; who wants fewer takes the first ones.
    """

    group: NDArray[np.intp]
    may_show: Callable[[int], NDArray[np.bool_]]
    n: int


class BlockRanking(msgspec.Struct, frozen=True, eq=False):
    """The best promotions for each of several consumers, best first.

    Attributes
    ----------
    tailored : bool[n_rows]
        Whether it was by the consumer's history; else it was by popularity.
    place : intp[n_rows, n]
        Places on the shelf; -1 where nothing more may be shown.
    featured : int64[n_rows, n]
        The item that each promotion features; -1 where the model knows none of its items.
    score : float32[n_rows, n]
        Of the promotions that feature an item.
    """

    tailored: NDArray[np.bool_]
    place: NDArray[np.intp]
    featured: NDArray[np.int64]
    score: NDArray[np.float32]

    @classmethod
    def empty(cls, tailored: NDArray[np.bool_], n: int) -> Self:
        """Nothing for anybody yet."""
        shape = (len(tailored), n)
        place, featured = np.full(shape, -1, dtype=np.intp), np.full(shape, -1, dtype=np.int64)
        return cls(tailored, place, featured, np.zeros(shape, dtype=np.float32))

    def strategies(self) -> dict[str, int]:
        """How many were decided for in which way."""
        shown = self.place[:, 0] >= 0
        tailored = int(np.count_nonzero(shown & self.tailored))
        n_shown = int(np.count_nonzero(shown))
        counted = {"tailored": tailored, "popularity": n_shown - tailored, "none": len(shown) - n_shown}
        return {strategy: n for strategy, n in counted.items() if n}

    def put(self, rows: NDArray[np.intp] | int, pooled: PooledScores, order: NDArray[np.intp]) -> None:
        """Fill in the same for some rows."""
        for rank, at in enumerate(order.tolist()):
            place = pooled.place(at)
            featured = pooled.featured_item(place)
            self.place[rows, rank] = place
            if featured is not None:
                self.featured[rows, rank] = featured
                self.score[rows, rank] = pooled.score[at]


def rank_block(
    histories: HistoryBlock, asked: Asked, *, projection: Projection, bundle: Bundle
) -> BlockRanking:
    """Rank as `serving.decision.rank` does, for many histories at once.

    Parameters
    ----------
    histories : as `bundle` weighs them; those without anything usable are welcome.
    projection : of the site's shelf, for `bundle`.
    """
    tailored = np.zeros(len(histories), dtype=np.bool_)
    if bundle.model.kind != "popularity":
        tailored = readable(bundle.model, histories)
    ranking = BlockRanking.empty(tailored, asked.n)
    _rank_by_popularity(ranking, asked, projection, bundle)
    if projection.searches:
        _rank_one_by_one(ranking, histories, asked, projection, bundle)
    elif tailored.any():
        _rank_together(ranking, histories.take(tailored), asked, projection, bundle)
    return ranking


def _rank_by_popularity(ranking: BlockRanking, asked: Asked, projection: Projection, bundle: Bundle) -> None:
    rows = np.flatnonzero(~ranking.tailored)
    if len(rows) == 0:
        return
    pooled = projection.pool(bundle.popularity.prior[projection.within])
    for group in np.unique(asked.group[rows]).tolist():
        mine = rows[asked.group[rows] == group]
        ranking.put(mine, pooled, best(pooled, asked.may_show(group), n=asked.n))


def _rank_one_by_one(
    ranking: BlockRanking, histories: HistoryBlock, asked: Asked, projection: Projection, bundle: Bundle
) -> None:
    """Where there is a shortlist it decides, as it does for each of them alone."""
    for row in np.flatnonzero(ranking.tailored).tolist():
        found = rank_tailored(
            bundle.model.read(histories[row]),
            projection,
            asked.may_show(int(asked.group[row])).__getitem__,
            n=asked.n,
            weights=bundle.weights,
        )
        if found is not None:
            ranking.put(row, *found)


def _rank_together(
    ranking: BlockRanking, known: HistoryBlock, asked: Asked, projection: Projection, bundle: Bundle
) -> None:
    """Score all promotions for so many of the tailored at once that the scores fit into the caches."""
    rows = np.flatnonzero(ranking.tailored)
    reading, own = read_block(bundle.model, known), projection.own_block(known, bundle.weights)
    n_items = projection.within.stop - projection.within.start
    n_together = max(1, _TOGETHER_BYTES // (4 * max(n_items, 1)))
    for start in range(0, len(rows), n_together):
        part = slice(start, min(start + n_together, len(rows)))
        items = reading.score(part, projection.within)
        scores = projection.pool_block(items, own, rows=part)
        if projection.one_item_each is not None and asked.n == 1:
            _put_best(ranking, rows[part], scores, asked, projection.one_item_each)
            continue
        for at, row in enumerate(rows[part].tolist()):
            mine = None if own is None else own[start + at]
            pooled = PooledScores(scores[at], projection.known, EVERY_PROMOTION, items[at], mine, projection)
            ranking.put(row, pooled, best(pooled, asked.may_show(int(asked.group[row])), n=asked.n))


def _put_best(
    ranking: BlockRanking,
    rows: NDArray[np.intp],
    scores: NDArray[np.float32],
    asked: Asked,
    covered: NDArray[np.int32],
) -> None:
    """The greatest of each row of scores, where each promotion covers one item; the scores are written to."""
    groups = asked.group[rows]
    for group in np.unique(groups).tolist():
        closed = np.flatnonzero(~asked.may_show(group))
        if len(closed):
            scores[np.ix_(groups == group, closed)] = -np.inf
    place = scores.argmax(axis=1)
    score = scores[np.arange(len(rows)), place]
    shown = score > -np.inf
    ranking.place[rows[shown], 0] = place[shown]
    ranking.featured[rows[shown], 0] = covered[place[shown]]
    ranking.score[rows[shown], 0] = score[shown]
