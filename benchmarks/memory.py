"""Does a server's memory grow with the consumers? `python -m benchmarks.memory [--consumers N] [--json F]`.

The real server with 10,000 consumers in its database, and again with a million; in both it answers the same
number of decisions, each for another consumer. Its own processes are counted (proportional set size), not
PostgreSQL's.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import psutil
from rich.progress import track

from benchmarks.decision import make_als
from benchmarks.report import Figures, at_least_one, run
from benchmarks.stage import SITE, Stage, furnish, promote, server

_FEW = 10_000
_EVENTS_EACH = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "memory",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure((_FEW, options.consumers), n_decisions=options.decisions),
        table=_table,
    )
    return 0


def measure(numbers: tuple[int, int], *, n_decisions: int) -> Figures:
    """Megabytes with few and with many consumers."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stage = furnish(home, n_promotions=10_000, n_sites=2, n_consumers=0, n_events=0)
        promote(stage, make_als(stage.items, 64), version="1")
        there = 0
        for n_consumers in numbers:
            add_consumers(stage, there, n_consumers)
            there = n_consumers
            with server(home) as (process, url):
                _ask(stage, url, n_consumers=n_consumers, n_decisions=n_decisions)
                rows.append({"consumers": n_consumers, "mb": _own_bytes(process.pid) / 1e6})
    few, many = (row["mb"] for row in rows)
    return {"ratios": {"memory_1m_vs_10k": many / few}, "decisions": n_decisions, "rows": rows}


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
    with httpx.Client(headers=stage.headers(), timeout=30.0) as client:
        for number in track(range(n_decisions), description="Asking", disable=not sys.stderr.isatty()):
            consumer = f"many-{number * 7919 % n_consumers}"
            answer = client.post(f"{url}/v1/decisions", json={"site_id": SITE, "consumer_id": consumer})
            if answer.status_code != 200 or answer.json()["strategy"] != "tailored":
                raise RuntimeError(f"no tailored decision for {consumer}: {answer.text}")


def _own_bytes(pid: int) -> int:
    """Of the server and what it started, PostgreSQL left out."""
    server_process = psutil.Process(pid)
    family = [server_process, *server_process.children(recursive=True)]
    return sum(one.memory_full_info().pss for one in family if "postgres" not in one.name())


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--consumers", type=at_least_one, default=1_000_000, metavar="N", help="the many; default: a million"
    )
    parser.add_argument("--decisions", type=at_least_one, default=2000, metavar="N", help="default: 2,000")


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'consumers':>10} {'MB':>8}"
    for row in figures["rows"]:
        yield f"{row['consumers']:>10,} {row['mb']:>8,.0f}"


if __name__ == "__main__":
    sys.exit(main())
