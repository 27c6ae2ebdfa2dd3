"""Consumers in the database and workers that grow, for real. Not a benchmark itself."""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.decision import make_als
from benchmarks.load import post_each
from benchmarks.memory import add_consumers
from benchmarks.scale_core import least_disturbed
from benchmarks.stage import SITE, Stage, furnish, promote, server
from storage.reader import ConsumerReader, Wanted

CONSUMERS, WORKERS = "consumers in the database", "workers"

_N_WORKERS = (1, 2, 4)
_CONNECTIONS = 16
_N_CONSUMERS = 200
_ASKED = 4_000
_PASSES = 5


def consumers(sizes: Sequence[int], *, turns: int) -> Iterator[dict[str, Any]]:
    """Microseconds to read one of so many consumers, 5 events each, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        stage = furnish(Path(folder), n_promotions=1_000, n_sites=2, n_consumers=0, n_events=0)
        there = 0
        for n_consumers in sizes:
            add_consumers(stage, there, n_consumers)
            there = n_consumers
            with stage.database() as database, database.connection() as connection:
                connection.commit()
                connection.autocommit = True
                # What autovacuum does in its own time.
                connection.execute("VACUUM ANALYZE activity, identifier")
                connection.autocommit = False
                passes = [asyncio.run(_read(database.url, n_consumers, turns=turns)) for _ in range(_PASSES)]
            yield {"axis": CONSUMERS, "n": n_consumers, **least_disturbed(passes)}


def workers(*, rounds: int) -> Iterator[dict[str, Any]]:
    """Decisions a second of so many workers, the load beside them; the best of so many rounds."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stage = furnish(home, n_promotions=10_000, n_sites=2, n_consumers=_N_CONSUMERS, n_events=50)
        promote(stage, make_als(stage.items, 64), version="1")
        rates: dict[int, list[float]] = {n_workers: [] for n_workers in _N_WORKERS}
        for _ in range(rounds):
            for n_workers, found in rates.items():
                found.append(_ask(stage, n_workers))
        for n_workers, found in rates.items():
            yield {"axis": WORKERS, "n": n_workers, "per_second": max(found), "rounds": found}


async def _read(url: str, n_consumers: int, *, turns: int) -> list[float]:
    reader, random, times = ConsumerReader(), np.random.default_rng(0), []
    await reader.open(url)
    try:
        for number in random.integers(n_consumers, size=turns).tolist():
            started = time.perf_counter()
            record = await reader.read_consumer(Wanted(f"many-{number}", SITE), limit=500)
            times.append((time.perf_counter() - started) * 1e6)
            if not record.events:
                raise RuntimeError(f"consumer many-{number} has no events")
    finally:
        await reader.close()
    return times


def _ask(stage: Stage, n_workers: int) -> float:
    bodies = [
        msgspec.json.encode({"site_id": SITE, "consumer_id": f"consumer-{number % _N_CONSUMERS}"})
        for number in range(_ASKED)
    ]
    serve = ("-m", "tailor", "serve", "--workers", str(n_workers))
    # More workers than cores are slow together, and none of their answers is to be given up.
    with server(stage.home, *serve, TAILOR_SERVING_READ_TIMEOUT_S="4") as (_, url):
        asked = {"headers": stage.headers(), "connections": _CONNECTIONS}
        post_each(f"{url}/v1/decisions", bodies[: 100 * n_workers], **asked)  # type: ignore[arg-type]
        load, _ = post_each(f"{url}/v1/decisions", bodies, **asked)  # type: ignore[arg-type]
    return load.per_second
