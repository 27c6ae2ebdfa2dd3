"""Decisions over HTTP: `python -m benchmarks.serving [--rounds N] [--seconds S] [--json FILE]`; needs h2load.

A full decision (key, a history of 50 events from PostgreSQL, fold-in, 10,000 live promotions, eligibility,
reasons, signed token) beside a stock BentoML endpoint that does nothing, and beside a mounted app that does
nothing: one worker each, 8 connections, the load beside them on the same machine. They take turns; medians of
the rounds. A single answer that is no success ends it. Then half of their rates, at random moments.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from benchmarks.decision import make_als
from benchmarks.load import find_generator, post, post_at_rate
from benchmarks.report import Figures, at_least_one, run
from benchmarks.stage import SITE, furnish, promote, server

STOCK, MOUNTED = "stock BentoML endpoint that does nothing", "mounted app that does nothing"
_CONNECTIONS = 8
_CONSUMER = "consumer-3"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "serving",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure(options.promotions, rounds=options.rounds, seconds=options.seconds),
        table=_table,
    )
    return 0


def measure(n_promotions: int, *, rounds: int, seconds: float) -> Figures:
    """Answers a second of each server, and milliseconds at half of the rate."""
    find_generator()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        asked = {}
        for name, target, path in ((STOCK, "Stock", "/noop"), (MOUNTED, "Mounted", "/v1/decisions")):
            place = home / target
            place.mkdir()
            bento = ("-m", "bentoml", "serve", f"benchmarks.noop:{target}", "--host", "127.0.0.1")
            _, url = stack.enter_context(server(place, *bento, ready="/livez"))
            asked[name] = (url + path, b"{}", {"Content-Type": "application/json"})
        for factors in (64, 256):
            place = home / str(factors)
            place.mkdir()
            stage = furnish(place, n_promotions=n_promotions, n_sites=6, n_consumers=20, n_events=50)
            promote(stage, make_als(stage.items, factors), version="1")
            _, url = stack.enter_context(server(place))
            asked[ours(factors)] = (f"{url}/v1/decisions", _question(), stage.headers())
        rates: dict[str, list[float]] = {name: [] for name in asked}
        latencies: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(rounds):
            for name, (url, body, headers) in asked.items():
                load = post(url, body, headers=headers, connections=_CONNECTIONS, seconds=seconds)
                rates[name].append(load.per_second)
                latencies[name].append(load.percentile(99))
        median = {name: statistics.median(found) for name, found in rates.items()}
        steady_ms: dict[str, list[float]] = {STOCK: [], ours(64): []}
        for _ in range(rounds):
            for name, found in steady_ms.items():
                url, body, headers = asked[name]
                load = post_at_rate(url, body, headers=headers, per_second=median[name] / 2, seconds=seconds)
                found.append(load.percentile(99))
    p99_ms = {name: statistics.median(found) for name, found in steady_ms.items()}
    return {
        "ratios": {
            "decision_vs_noop": median[ours(64)] / median[STOCK],
            "decision_vs_mounted_noop": median[ours(64)] / median[MOUNTED],
            "decision256_vs_noop": median[ours(256)] / median[STOCK],
            "p99_ms_at_half_rate": p99_ms[ours(64)],
        },
        "n_promotions": n_promotions,
        "rounds": rounds,
        "rows": [
            {"server": name, "per_second": median[name], "p99_ms": statistics.median(latencies[name])}
            for name in asked
        ]
        + [
            {"server": f"{name}, at half of that", "per_second": median[name] / 2, "p99_ms": found}
            for name, found in p99_ms.items()
        ],
    }


def ours(factors: int) -> str:
    """What one of our servers is called in the table."""
    return f"full decision, {factors} factors"


def _question() -> bytes:
    return msgspec.json.encode({"site_id": SITE, "consumer_id": _CONSUMER})


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--promotions", type=at_least_one, default=10_000, metavar="N", help="on the site; default: 10,000"
    )
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="default: 5")
    parser.add_argument("--seconds", type=at_least_one, default=3, metavar="S", help="a turn; default: 3")


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'server':<48} {'answers/s':>10} {'p99 ms':>8}"
    for row in figures["rows"]:
        yield f"{row['server']:<48} {row['per_second']:>10,.0f} {row['p99_ms']:>8.1f}"


if __name__ == "__main__":
    sys.exit(main())
