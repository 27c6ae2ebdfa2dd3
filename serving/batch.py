"""The best promotions for every consumer at once, as a Parquet file: for mail, for caches, for a look.

Decided as in `serving.decision`, without reasons and tokens: nobody reports back on a file.
"""

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

from serving.decision import Ask, Ranking, rank_all
from serving.errors import NotASubscriber, NotReady
from serving.guard.access import Caller
from serving.guard.disclosure import Disclosure
from serving.live_model import LiveModel, load_champion
from serving.members import Members
from serving.newcomers import knowing_the_new
from serving.shelf import Shelf, make_shelves
from serving.view import read_state
from storage.database import Database
from storage.errors import UnknownSite
from storage.reader import ConsumerRecord, count_consumers, read_all_consumers

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

_AT_ONCE = 500

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
            ask = _ask(site_id, placement=placement, n=n, now=now, members=state.catalogue.members)
            limit = model.bundle.weights.max_events_per_consumer
            with pq.ParquetWriter(part, SCHEMA) as writer:
                blocks = read_all_consumers(
                    connection,
                    site_id=site_id,
                    limit=limit,
                    at_once=_AT_ONCE,
                    without=state.catalogue.members.unusable.get(site_id, ()),
                )
                with closing(_one_ahead(blocks)) as read_ahead:
                    for records in read_ahead:
                        rows = list(_decide(ask, records, shelf=shelf, model=model, counted=counted))
                        writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
                        n_rows += len(rows)
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


def _ask(site_id: str, *, placement: str | None, n: int, now: datetime, members: Members) -> Ask:
    return Ask(
        site_id=site_id,
        placement=placement,
        n=n,
        now=now,
        decision_id="",
        disclosure=Disclosure(Caller(subscriber_id="", key_kind="public"), members, 1),
        max_reasons=0,
    )


def _one_ahead(blocks: Iterator[list[ConsumerRecord]]) -> Generator[list[ConsumerRecord]]:
    """Read the next block in a thread while the last one is decided for."""
    with ThreadPoolExecutor(1, thread_name_prefix="tailor-read") as thread:
        coming = thread.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = thread.submit(next, blocks, None)
            yield block


def _decide(
    ask: Ask, records: Sequence[ConsumerRecord], *, shelf: Shelf, model: LiveModel, counted: Counter[str]
) -> Iterator[dict[str, Any]]:
    rankings = rank_all(ask, records, shelf=shelf, model=model)
    for record, ranking in zip(records, rankings, strict=True):
        counted["none" if ranking is None else ranking.strategy] += 1
        if ranking is not None:
            yield from _rows(ask, record, ranking, shelf=shelf, model=model)


def _rows(
    ask: Ask, record: ConsumerRecord, ranking: Ranking, *, shelf: Shelf, model: LiveModel
) -> Iterator[dict[str, Any]]:
    pooled = ranking.pooled
    for number, at in enumerate(ranking.order.tolist(), start=1):
        place = pooled.place(at)
        featured = pooled.featured_item(place)
        item = shelf.first_covered[place] if featured is None else model.bundle.items.pair(featured)
        yield {
            "consumer_id": record.consumer_id,
            "site_id": ask.site_id,
            "rank": number,
            "promotion_id": shelf.promotions[place].promotion_id,
            "item_site_id": None if item is None else item[0],
            "item_id": None if item is None else item[1],
            "score": None if featured is None else float(pooled.score[at]),
            "strategy": ranking.strategy,
            "model_version": model.info.version,
            "decided_at": ask.now,
        }
