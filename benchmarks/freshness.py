"""Does the next decision use what was acknowledged? `python -m benchmarks.freshness [--events N] [--json F]`.

Two workers of the real server. Again and again an event of somebody new is sent, and as soon as it is
acknowledged a decision for them is asked for over another connection, which may lead to the other worker. It
is fresh when the decision is tailored and names the event among its reasons.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.progress import track

from benchmarks.decision import make_als
from benchmarks.report import Figures, at_least_one, run
from benchmarks.stage import SITE, furnish, promote, server

_A_CONNECTION = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "freshness",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure(options.events),
        table=_table,
        digits=4,
    )
    return 0


def measure(n_events: int) -> Figures:
    """How many of the events the next decision used, and how long event and decision took."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stage = furnish(home, n_promotions=1000, n_sites=2, n_consumers=0, n_events=0)
        promote(stage, make_als(stage.items, 64), version="1")
        told: Counter[str] = Counter()
        started = time.perf_counter()
        with server(home, "-m", "tailor", "serve", "--workers", "2") as (_, url):
            for number in track(range(n_events), description="Fresh?", disable=not sys.stderr.isatty()):
                if number % _A_CONNECTION == 0:
                    # New connections now and then: the system chooses the worker.
                    clients = [httpx.Client(headers=stage.headers(), timeout=30.0) for _ in range(2)]
                told[_ask(clients, url, number, item=stage.items.pair(number % len(stage.items)))] += 1
                if number % _A_CONNECTION == _A_CONNECTION - 1:
                    for client in clients:
                        client.close()
        seconds = time.perf_counter() - started
    return {
        "ratios": {"fresh": told["fresh"] / n_events},
        "events": n_events,
        "seconds": seconds,
        "rows": [{"answer": answer, "times": times} for answer, times in told.most_common()],
    }


def _ask(clients: Sequence[httpx.Client], url: str, number: int, *, item: tuple[str, str]) -> str:
    site_id, item_id = item
    event: dict[str, Any] = {
        "event_id": f"event-{number}",
        "consumer_id": f"newcomer-{number}",
        "site_id": site_id,
        "item_id": item_id,
        "kind": "product_review",
        "consent": ["same_site", "cross_site"],
    }
    sender, asker = clients
    sent = sender.post(f"{url}/v1/activity", json={"events": [event]})
    if sent.status_code != 200 or sent.json()["stored"] != 1:
        return f"not stored: {sent.status_code}"
    asked = asker.post(f"{url}/v1/decisions", json={"site_id": SITE, "consumer_id": f"newcomer-{number}"})
    if asked.status_code != 200:
        return f"no decision: {asked.status_code}"
    decision = asked.json()
    reasons = [reason["item_id"] for reason in (decision["promotion"] or {}).get("reasons", [])]
    if decision["strategy"] == "tailored" and item_id in reasons:
        return "fresh"
    return f"not used: {decision['strategy']}"


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", type=at_least_one, default=1000, metavar="N", help="default: 1,000")


def _table(figures: Figures) -> Iterator[str]:
    for row in figures["rows"]:
        yield f"{row['answer']:<30} {row['times']:>8,}"


if __name__ == "__main__":
    sys.exit(main())
