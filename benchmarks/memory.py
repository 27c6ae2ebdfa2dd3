"""What a server's memory grows with: `python -m benchmarks.memory [--consumers N] [--items N] [--json FILE]`.

Not with the consumers: the real server with 10,000 consumers in its database, and again with a million; in
both it answers the same number of decisions, each for another consumer. And with the workers, but not by the
champion's arrays, which they share: a model of many items, one worker and then two.

The server's own processes are counted (proportional set size: what several share is divided among them), not
PostgreSQL's; of a worker also what it shares with nobody.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil
from rich.progress import track

from benchmarks.decision import make_als, make_items
from benchmarks.report import Figures, at_least_one, run
from benchmarks.stage import SITE, Stage, furnish, promote, server
from models.als import FittedAls

_FEW = 10_000
_EVENTS_EACH = 5
_FACTORS = 256
_A_CONNECTION = 20
_WORKER = "_bentoml_impl.worker.service"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "memory",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure(
            (_FEW, options.consumers), n_items=options.items, n_decisions=options.decisions
        ),
        table=_table,
    )
    return 0


def measure(numbers: tuple[int, int], *, n_items: int, n_decisions: int) -> Figures:
    """Megabytes with few and with many consumers, and with one and with two workers."""
    by_consumers = list(measure_consumers(numbers, n_decisions=n_decisions))
    by_workers = list(measure_workers(n_items, n_decisions=n_decisions))
    (few, many), (one, two) = ([row["mb"] for row in rows] for rows in (by_consumers, by_workers))
    return {
        "ratios": {"memory_1m_vs_10k": many / few, "memory_two_workers_vs_one": two / one},
        "decisions": n_decisions,
        "rows": [*by_consumers, *by_workers],
    }


def measure_consumers(numbers: tuple[int, int], *, n_decisions: int) -> Iterator[Figures]:
    """A row for each number of consumers, with one worker."""
    with tempfile.TemporaryDirectory() as folder:
        stage = furnish(Path(folder), n_promotions=10_000, n_sites=2, n_consumers=0, n_events=0)
        model = make_als(stage.items, 64)
        promote(stage, model, version="1")
        there = 0
        for n_consumers in numbers:
            add_consumers(stage, there, n_consumers)
            there = n_consumers
            yield serve(stage, model, n_workers=1, n_consumers=n_consumers, n_decisions=n_decisions)


def measure_workers(n_items: int, *, n_decisions: int) -> Iterator[Figures]:
    """A row for one worker and for two, with a model of so many items of which few are promoted."""
    with tempfile.TemporaryDirectory() as folder:
        stage = furnish(Path(folder), n_promotions=1000, n_sites=2, n_consumers=0, n_events=0)
        model = make_als(make_items(n_items // 2, n_sites=2), _FACTORS)
        promote(stage, model, version="1")
        add_consumers(stage, 0, _FEW)
        for n_workers in (1, 2):
            yield serve(stage, model, n_workers=n_workers, n_consumers=_FEW, n_decisions=n_decisions)


def serve(stage: Stage, model: FittedAls, *, n_workers: int, n_consumers: int, n_decisions: int) -> Figures:
    """Megabytes of a server that has answered so many decisions, and what a worker shares with nobody."""
    with server(stage.home, "-m", "tailor", "serve", "--workers", str(n_workers)) as (process, url):
        _ask(stage, url, n_consumers=n_consumers, n_decisions=n_decisions)
        family = _family(process.pid)
        private = [one.memory_full_info().uss for one in family if _WORKER in one.cmdline()]
        if len(private) != n_workers:
            raise RuntimeError(f"{len(private)} processes look like workers; expected {n_workers}")
        return {
            "workers": n_workers,
            "consumers": n_consumers,
            "factors_mb": model.item_factors.nbytes / 1e6,
            "mb": sum(one.memory_full_info().pss for one in family) / 1e6,
            "private_a_worker_mb": max(private) / 1e6,
        }


def add_consumers(stage: Stage, first: int, end: int) -> None:
    """Consumers with these numbers, with a few events each, made inside the database."""
    with stage.database() as database, database.connection() as connection:
        made = {"first": first, "last": end - 1, "items": len(stage.items) // 2, "each": _EVENTS_EACH}
        connection.execute(
            "INSERT INTO identifier (namespace, identifier, consumer_id)"
            " SELECT 'network', 'many-' || n, 'many-' || n"
            " FROM generate_series(%(first)s::int, %(last)s::int) n",
            made,
        )
        connection.execute(
            "INSERT INTO activity (namespace, identifier, site_id, event_id, kind, item_id, occurred_at,"
            " same_site, cross_site, source_id)"
            " SELECT 'network', 'many-' || n, 'shop-0', n || '-' || e, 'page_view',"
            " 'item-' || lpad(((n::bigint * 7919 + e * 104729) %% %(items)s)::text, 8, '0'),"
            " now() - make_interval(days => (n + e) %% 90), true, true, 'http:shops'"
            " FROM generate_series(%(first)s::int, %(last)s::int) n,"
            " generate_series(1, %(each)s::int) e",
            made,
        )


def _ask(stage: Stage, url: str, *, n_consumers: int, n_decisions: int) -> None:
    firsts = range(0, n_decisions, _A_CONNECTION)
    for first in track(firsts, description="Asking", disable=not sys.stderr.isatty()):
        # New connections now and then: the system chooses the worker.
        with httpx.Client(headers=stage.headers(), timeout=30.0) as client:
            for number in range(first, min(first + _A_CONNECTION, n_decisions)):
                consumer = f"many-{number * 7919 % n_consumers}"
                answer = client.post(f"{url}/v1/decisions", json={"site_id": SITE, "consumer_id": consumer})
                if answer.status_code != 200 or answer.json()["strategy"] != "tailored":
                    raise RuntimeError(f"no tailored decision for {consumer}: {answer.text}")


def _family(pid: int) -> list[psutil.Process]:
    """The server and what it started, PostgreSQL left out."""
    server_process = psutil.Process(pid)
    family = [server_process, *server_process.children(recursive=True)]
    return [one for one in family if "postgres" not in one.name()]


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--consumers", type=at_least_one, default=1_000_000, metavar="N", help="the many; default: a million"
    )
    parser.add_argument(
        "--items",
        type=at_least_one,
        default=200_000,
        metavar="N",
        help="of the large model; default: 200,000",
    )
    parser.add_argument("--decisions", type=at_least_one, default=2000, metavar="N", help="default: 2,000")


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'workers':>7} {'consumers':>10} {'factors, MB':>12} {'MB':>7} {'private a worker, MB':>21}"
    for row in figures["rows"]:
        yield (
            f"{row['workers']:>7} {row['consumers']:>10,} {row['factors_mb']:>12,.0f} {row['mb']:>7,.0f}"
            f" {row['private_a_worker_mb']:>21,.0f}"
        )


if __name__ == "__main__":
    sys.exit(main())
