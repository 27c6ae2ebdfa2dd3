"""A real network to ask for decisions: database, promotions, consumers, server. Not a benchmark itself."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np

from benchmarks.decision import make_items
from benchmarks.kills import kill_family
from features.ids import ItemIds
from features.weights import KINDS
from models.bundle import read_bundle, write_bundle
from models.pooling import Pooling
from models.popularity import FittedPopularity
from models.recommender import FittedRecommender
from serving.server import QUIET
from storage.activity import append_events
from storage.champions import Champion, record_champion
from storage.database import Database, open_database
from storage.events import NETWORK, ActivityEvent
from storage.items import Item, upsert_items
from storage.promotions import Promotion, upsert_promotions
from storage.schema import migrate
from storage.settings import Settings
from storage.subscribers import add_subscriber, issue_key

ROOT = Path(__file__).resolve().parents[1]
SITE = "shop-0"
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Stage:
    """Where it is and how to get in."""

    home: Path
    key: str
    items: ItemIds

    def headers(self) -> dict[str, str]:
        """What a subscriber's server sends."""
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    def database(self) -> Database:
        """Its database."""
        return open_database(Settings(TAILOR_HOME=self.home))


def furnish(home: Path, *, n_promotions: int, n_sites: int, n_consumers: int, n_events: int) -> Stage:
    """Fill an embedded database: a promotion for each item of one site, and consumers of all sites.

    The consumers are `consumer-0` and so on, each with so many events within half a year.
    """
    items = make_items(n_promotions, n_sites=n_sites)
    with open_database(Settings(TAILOR_HOME=home)) as database:
        migrate(database)
        with database.connection() as connection:
            add_subscriber(connection, "shops", name="Shops", sites=items.site_ids, legal_basis="contract")
            key = issue_key(connection, "shops", kind="secret")
            on_site = [items.pair(place)[1] for place in range(n_promotions)]
            upsert_items(connection, [Item(SITE, item, title=f"Item {item[-5:]}") for item in on_site])
            upsert_promotions(connection, [_promotion(item) for item in on_site])
            random = np.random.default_rng(0)
            for number in range(n_consumers):
                append_events(connection, draw_events(f"consumer-{number}", items, random, n=n_events))
    return Stage(home, key, items)


def promote(stage: Stage, model: FittedRecommender, *, version: str) -> None:
    """Make a model the champion."""
    prior = np.full(len(model.items), 1 / len(model.items), dtype=np.float32)
    place = stage.home / "bundles" / f"version-{version}"
    digest = write_bundle(
        place, model, popularity=FittedPopularity(model.items, model.weights, prior), pooling=Pooling()
    )
    _record(stage, Champion(version=version, model_kind=model.kind, digest=digest, location=str(place)))


def repromote(stage: Stage, *, version: str) -> None:
    """Make a version champion again whose bundle is there already."""
    place = stage.home / "bundles" / f"version-{version}"
    bundle = read_bundle(place)
    _record(
        stage,
        Champion(version=version, model_kind=bundle.model.kind, digest=bundle.digest, location=str(place)),
    )


def _record(stage: Stage, champion: Champion) -> None:
    with stage.database() as database, database.connection() as connection:
        record_champion(connection, champion, action="promote", actor="benchmark")


@contextmanager
def server(
    home: Path,
    *arguments: str,
    ready: str = "/v1/health",
    is_ready: Callable[[httpx.Response], bool] = lambda answer: answer.is_success,
    **environ: str,
) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A server in a process group of its own, and its URL once it is ready; killed at the end.

    Parameters
    ----------
    arguments
        Of Python, without host and port. Default: `tailor serve`.
    ready, is_ready
        Where to ask whether it is ready, and what to make of the answer.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *(arguments or ("-m", "tailor", "serve")), "--port", str(port)],
            cwd=ROOT,
            env={
                **environment(home),
                **QUIET,
                "BENTOML_HOME": str(home / "bentoml"),
                # Nobody moves an alias in MLflow here, and nobody is erased.
                "TAILOR_SERVING_WATCH_CHAMPION": "0",
                "TAILOR_SERVING_UPKEEP_S": "0",
                # Counted as always, but one key asks as much as a worker can answer.
                "TAILOR_SERVING_RATE_PER_KEY": "1000000",
                **environ,
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _until_ready(process, url + ready, is_ready)
        yield process, url
    finally:
        kill_family(process)


def environment(home: Path) -> dict[str, str]:
    """Ours, with a home and no settings of others."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("TAILOR_")}
    ours.pop("DATABASE_URL", None)
    return {**ours, "TAILOR_HOME": str(home)}


def draw_events(
    consumer_id: str, items: ItemIds, random: np.random.Generator, *, n: int
) -> list[ActivityEvent]:
    """Events of one consumer, on any site, within half a year."""
    now = datetime.now(UTC)
    drawn = zip(
        random.integers(len(items), size=n).tolist(), random.integers(180, size=n).tolist(), strict=True
    )
    return [
        ActivityEvent(
            namespace=NETWORK,
            identifier=consumer_id,
            site_id=items.pair(item)[0],
            event_id=f"{consumer_id}-{number}",
            kind=KINDS[int(random.choice(len(KINDS), p=(0.7, 0.2, 0.1)))],
            source_id="http:shops",
            same_site=True,
            cross_site=True,
            item_id=items.pair(item)[1],
            occurred_at=now - timedelta(days=age),
        )
        for number, (item, age) in enumerate(drawn)
    ]


def _promotion(item_id: str) -> Promotion:
    return Promotion(
        f"promotion-{item_id}",
        "10 % off {item.title}",
        subscriber_id="shops",
        sites=(SITE,),
        items=((SITE, item_id),),
    )


def _until_ready(
    process: "subprocess.Popen[bytes]", url: str, is_ready: Callable[[httpx.Response], bool]
) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}; server.log says why")
        try:
            if is_ready(httpx.get(url, timeout=_PATIENCE_S)):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"the server is not ready after {_PATIENCE_S:g} s; server.log says why")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
