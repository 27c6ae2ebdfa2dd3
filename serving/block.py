"""The decision for many consumers of a site at once: the same promotions as one by one, and no reasons.

Consent, and from when ages count, are in the histories; whatever else an ask says is in what may be shown to its
group. So asks of any placements, moments and audiences may stand side by side.
"""

from collections.abc import Callable
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.history_block import HistoryBlock
from models.block import BlockReading, read_block, readable
from models.bundle import Bundle
from models.projection import EVERY_PROMOTION, OwnBlock, PooledScores, Projection
from serving.decision import Among, best, rank_tailored

_TOGETHER_BYTES = 8 << 20

Eligible = Callable[[int], NDArray[np.bool_]]
"""What may be shown to a group, bool[n_promotions]; not to be written to."""


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
    histories: HistoryBlock,
    *,
    group: NDArray[np.intp],
    eligible: Eligible,
    n: int,
    projection: Projection,
    bundle: Bundle,
) -> BlockRanking:
    """Rank as `serving.decision.rank` does, for many histories at once.

    Parameters
    ----------
    histories : as `bundle` weighs them; those without anything usable are welcome.
    group : which of the groups each history belongs to, intp[n_rows], from 0 on.
    eligible : asked once for each group in a part of the block.
    n : promotions for each; who wants fewer takes the first ones.
    projection : of the site's shelf, for `bundle`.
    """
    tailored = np.zeros(len(histories), dtype=np.bool_)
    if bundle.model.kind != "popularity":
        tailored = readable(bundle.model, histories)
    ranking = BlockRanking.empty(tailored, n)
    _rank_by_popularity(ranking, group, eligible, projection, bundle)
    rows = np.flatnonzero(tailored)
    if projection.searches:
        _rank_one_by_one(ranking, rows, histories, group, eligible, projection, bundle)
    elif len(rows):
        known = histories.take(tailored)
        reading, own = read_block(bundle.model, known), projection.own_block(known, bundle.weights)
        n_items = projection.within.stop - projection.within.start
        n_together = max(1, _TOGETHER_BYTES // (4 * max(n_items, 1)))
        for start in range(0, len(rows), n_together):
            part = slice(start, min(start + n_together, len(rows)))
            _rank_part(ranking, rows[part], part, reading, own, group[rows[part]], eligible, projection)
    return ranking


def _rank_by_popularity(
    ranking: BlockRanking,
    group: NDArray[np.intp],
    eligible: Eligible,
    projection: Projection,
    bundle: Bundle,
) -> None:
    rows = np.flatnonzero(~ranking.tailored)
    if len(rows) == 0:
        return
    pooled, n = projection.pool(bundle.popularity.prior[projection.within]), ranking.place.shape[1]
    for one in np.unique(group[rows]).tolist():
        ranking.put(rows[group[rows] == one], pooled, best(pooled, eligible(one), n=n))


def _rank_one_by_one(
    ranking: BlockRanking,
    rows: NDArray[np.intp],
    histories: HistoryBlock,
    group: NDArray[np.intp],
    eligible: Eligible,
    projection: Projection,
    bundle: Bundle,
) -> None:
    """Where there is a shortlist it decides, as it does for each of them alone."""
    for row in rows.tolist():
        may_show = eligible(int(group[row]))

        def among(places: Among, may_show: NDArray[np.bool_] = may_show) -> NDArray[np.bool_]:
            return may_show[places]

        reading, n = bundle.model.read(histories[row]), ranking.place.shape[1]
        found = rank_tailored(reading, projection, among, n=n, weights=bundle.weights)
        if found is not None:
            ranking.put(row, *found)


def _rank_part(
    ranking: BlockRanking,
    rows: NDArray[np.intp],
    part: slice,
    reading: BlockReading,
    own: OwnBlock | None,
    group: NDArray[np.intp],
    eligible: Eligible,
    projection: Projection,
) -> None:
    """Rank for a part of the tailored: `rows` among all."""
    items = reading.score(part, projection.within)
    scores = projection.pool_block(items, own, rows=part)
    covered, n = projection.one_item_each, ranking.place.shape[1]
    for one in np.unique(group).tolist():
        may_show = eligible(one)
        mine = np.flatnonzero(group == one)
        if covered is None or n > 1:
            for at in mine.tolist():
                theirs = None if own is None else own[part.start + at]
                pooled = PooledScores(
                    scores[at], projection.known, EVERY_PROMOTION, items[at], theirs, projection
                )
                ranking.put(int(rows[at]), pooled, best(pooled, may_show, n=n))
        elif may_show.any():
            _close(scores, mine, may_show)
            place = scores[mine].argmax(axis=1) if len(mine) < len(scores) else scores.argmax(axis=1)
            ranking.place[rows[mine], 0] = place
            ranking.featured[rows[mine], 0] = covered[place]
            ranking.score[rows[mine], 0] = scores[mine, place]


def _close(scores: NDArray[np.float32], rows: NDArray[np.intp], may_show: NDArray[np.bool_]) -> None:
    """What must not be shown is the best of nobody."""
    closed = np.flatnonzero(~may_show)
    if len(closed):
        scores[np.ix_(rows, closed)] = -np.inf
