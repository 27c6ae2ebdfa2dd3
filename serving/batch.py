"""The best promotions for every consumer at once, as a Parquet file: for mail, for caches, for a look.

Decided as in `serving.decision`, a block of consumers at once (`serving.block`), without reasons and tokens:
nobody reports back on a file.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.history_block import history_block
from serving.block import Asked, BlockRanking, rank_block
from serving.errors import NotASubscriber, NotReady
from serving.live_model import LiveModel, load_champion
from serving.newcomers import knowing_the_new
from serving.shelf import Shelf, make_shelves
from serving.view import read_state
from storage.database import Database
from storage.errors import UnknownSite
from storage.everyone import ConsumerBlock, count_consumers, read_everyone

_COLUMNS: Any = {
    "consumer_id": pa.string(),
    "site_id": pa.string(),
    "rank": pa.int32(),
    "promotion_id": pa.string(),
    "item_site_id": pa.string(),
    "item_id": pa.string(),
    "score": pa.float32(),
    "strategy": pa.string(),
    "model_version": pa.string(),
    "decided_at": pa.timestamp("us", tz="UTC"),
}
SCHEMA = pa.schema(_COLUMNS)

_AT_ONCE = 2000
# PostgreSQL reads for about as many as two threads decide for.
_DECIDING = 2

Progress = Callable[[str, int, int | None], object]


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What was written.

    Attributes
    ----------
    consumers, rows : consumers that were decided for, and promotions written.
    by_strategy : consumers by how it was decided; `none`: nothing may be shown to them.
    """

    site_id: str
    file: str
    consumers: int
    rows: int
    by_strategy: dict[str, int]
    model_version: str
    seconds: float
    consumers_per_second: float


def recommend_all(
    database: Database,
    *,
    site_id: str,
    out: Path,
    bundles: Path,
    now: datetime,
    n: int = 1,
    placement: str | None = None,
    progress: Progress | None = None,
) -> BatchReport:
    """Decide for every consumer as of one moment, and write the file whole or not at all.

    Memory does not grow with the consumers.

    Raises
    ------
    UnknownSite, NotASubscriber : nothing is shown on that site.
    NotReady : no model serves.
    BundleRefused : the champion's bundle is not there, or not what was promoted.
    """
    started = time.perf_counter()
    counted: Counter[str] = Counter()
    n_rows = 0
    part = out.with_name(f".{out.name}.{uuid4().hex[:8]}")
    try:
        with database.connection() as connection, threadpool_limits(1, user_api="blas"):
            # Everything below is read as of the moment of this first reading.
            state = read_state(connection)
            if site_id not in state.catalogue.sites:
                raise UnknownSite(site_id, known=tuple(state.catalogue.sites))
            if site_id not in state.catalogue.rows_of:
                raise NotASubscriber(f"site {site_id!r} is no subscriber, so nothing is shown there")
            if state.champion is None:
                raise NotReady("no model serves yet; `tailor train`, then `tailor promote`")
            model = knowing_the_new(load_champion(state.champion, bundles=bundles), state.catalogue)
            shelf = make_shelves(state.catalogue, model)[site_id]
            total = count_consumers(connection)
            desk = _Desk(shelf, model, n=n, placement=placement, now=now)
            with pq.ParquetWriter(part, SCHEMA) as writer:
                blocks = read_everyone(
                    connection,
                    site_id=site_id,
                    limit=model.bundle.weights.max_events_per_consumer,
                    at_once=_AT_ONCE,
                    without=state.catalogue.members.unusable.get(site_id, ()),
                    audiences=shelf.audience_codes,
                )
                with (
                    closing(_one_ahead(blocks)) as read_ahead,
                    closing(_decided(desk, read_ahead)) as decided,
                ):
                    for table, strategies in decided:
                        counted.update(strategies)
                        writer.write_table(table)
                        n_rows += table.num_rows
                        if progress is not None:
                            progress(f"Deciding for {site_id}", counted.total(), total)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    seconds = time.perf_counter() - started
    return BatchReport(
        site_id=site_id,
        file=str(out),
        consumers=counted.total(),
        rows=n_rows,
        by_strategy=dict(counted),
        model_version=model.info.version,
        seconds=seconds,
        consumers_per_second=counted.total() / seconds,
    )


def _one_ahead(blocks: Iterator[ConsumerBlock]) -> Generator[ConsumerBlock]:
    """Read the next block in a thread while the last one is decided for."""
    with ThreadPoolExecutor(1, thread_name_prefix="tailor-read") as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


def _decided(desk: "_Desk", blocks: Iterator[ConsumerBlock]) -> Generator[tuple[pa.Table, dict[str, int]]]:
    """Decide for some blocks at the same time; they come in their order."""
    with ThreadPoolExecutor(_DECIDING, thread_name_prefix="tailor-decide") as threads:
        under_way: deque[Future[tuple[pa.Table, dict[str, int]]]] = deque()
        for block in blocks:
            under_way.append(threads.submit(desk.decide, block))
            if len(under_way) > _DECIDING:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


class _Desk:
    """Decides for a block of consumers, and lays out what was decided."""

    def __init__(
        self, shelf: Shelf, model: LiveModel, *, n: int, placement: str | None, now: datetime
    ) -> None:
        self._shelf, self._model = shelf, model
        self._n, self._placement, self._now = n, placement, now
        self._promotion_ids = pa.array([one.promotion_id for one in shelf.promotions], pa.string())

    def decide(self, block: ConsumerBlock) -> tuple[pa.Table, dict[str, int]]:
        """The rows for a block of consumers, and how many were decided for in which way."""
        ranking = self.rank(block)
        return self.table(block.consumer_ids, ranking), ranking.strategies()

    def rank(self, block: ConsumerBlock) -> BlockRanking:
        """Rank for a block; those on the same lists may be shown the same promotions."""
        projection, bundle = self._shelf.projection, self._model.bundle
        if projection is None:
            return BlockRanking.empty(np.zeros(len(block.consumer_ids), dtype=np.bool_), self._n)
        groups: dict[frozenset[str], int] = {}
        group = [groups.setdefault(lists, len(groups)) for lists in block.audiences]
        lists = list(groups)

        def may_show(one: int) -> NDArray[np.bool_]:
            return self._shelf.eligible(self._now, placement=self._placement, audiences=lists[one])

        return rank_block(
            history_block(block.events, bundle.items, bundle.weights, now=self._now),
            Asked(np.array(group, dtype=np.intp), may_show, self._n),
            projection=projection,
            bundle=bundle,
        )

    def table(self, consumer_ids: Sequence[str], ranking: BlockRanking) -> pa.Table:
        """A row for each promotion of each consumer."""
        row, rank = np.nonzero(ranking.place >= 0)
        place, featured = ranking.place[row, rank], ranking.featured[row, rank]
        item_site_ids, item_ids = self._items(place, featured)
        strategies = np.where(ranking.tailored[row], 0, 1)
        columns = [
            pa.array(consumer_ids, pa.string()).take(_places(row)),
            pa.repeat(self._shelf.site_id, len(row)),
            pa.array(rank + 1, pa.int32()),
            self._promotion_ids.take(_places(place)),
            item_site_ids,
            item_ids,
            pa.array(ranking.score[row, rank], pa.float32(), mask=featured < 0),
            pa.array(["tailored", "popularity"]).take(_places(strategies)),
            pa.repeat(self._model.info.version, len(row)),
            pa.repeat(pa.scalar(self._now, SCHEMA.field("decided_at").type), len(row)),
        ]
        return pa.table(columns, schema=SCHEMA)

    def _items(
        self, place: NDArray[np.intp], featured: NDArray[np.int64]
    ) -> tuple[pa.StringArray, pa.StringArray]:
        """Site id and item id of what is featured; else of the first that is covered, if anything is."""
        items = self._model.bundle.items
        different, which = np.unique(
            np.where(featured >= 0, featured, len(items) + place), return_inverse=True
        )
        pairs = [
            items.pair(one) if one < len(items) else self._shelf.first_covered[one - len(items)]
            for one in different.tolist()
        ]
        at = _places(which)
        return (
            pa.array([pair and pair[0] for pair in pairs], pa.string()).take(at),
            pa.array([pair and pair[1] for pair in pairs], pa.string()).take(at),
        )


def _places(index: NDArray[np.intp]) -> pa.Int64Array:
    return pa.array(index, pa.int64())
