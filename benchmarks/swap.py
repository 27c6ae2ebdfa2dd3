"""Changing the champion under load: `python -m benchmarks.swap [--swaps N] [--json FILE]`; needs h2load.

Decisions are asked for over four connections all the time; first while nothing changes, then while another
version becomes champion again and again. Every answer must be a success; the slowest hundredth is compared.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec

from benchmarks.decision import make_als
from benchmarks.load import find_generator, post
from benchmarks.report import Figures, at_least_one, run
from benchmarks.stage import SITE, Stage, furnish, promote, repromote, server

_CONNECTIONS = 4
_PATIENCE_S = 30.0
_PAUSE_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "swap",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure(options.swaps, n_promotions=options.promotions),
        table=_table,
    )
    return 0


def measure(n_swaps: int, *, n_promotions: int) -> Figures:
    """Milliseconds of answers with and without swaps; an answer that fails ends it."""
    find_generator()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stage = furnish(home, n_promotions=n_promotions, n_sites=2, n_consumers=1, n_events=50)
        for version, factors in (("1", 64), ("2", 48)):
            promote(stage, make_als(stage.items, factors), version=version)
        question = msgspec.json.encode({"site_id": SITE, "consumer_id": "consumer-0"})
        with server(home) as (_, url), ThreadPoolExecutor(1) as thread:
            asked = {"headers": stage.headers(), "connections": _CONNECTIONS}
            decisions = f"{url}/v1/decisions"
            post(decisions, question, seconds=2, **asked)  # type: ignore[arg-type]
            seconds = 2 * n_swaps * _PAUSE_S
            steady = post(decisions, question, seconds=seconds, **asked)  # type: ignore[arg-type]
            loaded = thread.submit(post, decisions, question, seconds=seconds, **asked)  # type: ignore[arg-type]
            waits = [_swap(stage, url, version=str(1 + number % 2)) for number in range(n_swaps)]
            swapping = loaded.result()
    return {
        "ratios": {
            "swap_p99_vs_steady": swapping.percentile(99) / steady.percentile(99),
            "swap_failed": 0.0,
            "swap_seen_s": max(waits),
        },
        "swaps": n_swaps,
        "rows": [
            {
                "while": name,
                "per_second": load.per_second,
                "p50_ms": load.percentile(50),
                "p99_ms": load.percentile(99),
            }
            for name, load in (("nothing changes", steady), (f"{n_swaps} swaps", swapping))
        ],
    }


def _swap(stage: Stage, url: str, *, version: str) -> float:
    """Make a version champion; seconds until it serves."""
    time.sleep(_PAUSE_S)
    repromote(stage, version=version)
    started = time.perf_counter()
    while time.perf_counter() < started + _PATIENCE_S:
        champion = httpx.get(f"{url}/v1/health", timeout=_PATIENCE_S).json()["champion"]
        if champion is not None and champion["version"] == version:
            return time.perf_counter() - started
        time.sleep(0.02)
    raise RuntimeError(f"version {version} does not serve after {_PATIENCE_S:g} s")


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--swaps", type=at_least_one, default=20, metavar="N", help="default: 20")
    parser.add_argument(
        "--promotions", type=at_least_one, default=10_000, metavar="N", help="on the site; default: 10,000"
    )


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'while':<20} {'answers/s':>10} {'p50 ms':>8} {'p99 ms':>8}"
    for row in figures["rows"]:
        yield f"{row['while']:<20} {row['per_second']:>10,.0f} {row['p50_ms']:>8.1f} {row['p99_ms']:>8.1f}"


if __name__ == "__main__":
    sys.exit(main())
