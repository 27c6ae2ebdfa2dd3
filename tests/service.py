"""The real service over HTTP, with a real database and a small real ALS model.

The network: `books` belongs to the subscriber `pages`, `kitchen` to `pans`, `blog` to nobody. Who reads
about cooking buys pans, who reads science fiction buys lamps; one pan is bought most.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import bentoml
import httpx
import psutil
import psycopg
import pyarrow as pa
import pytest

from features.interactions import build_interactions
from features.weights import InteractionWeights
from models.als import Als
from models.bundle import write_bundle
from models.pooling import Pooling
from models.popularity import Popularity
from models.reach import count_reach
from storage.champions import Champion, record_champion
from storage.database import Database
from storage.items import Item, upsert_items
from storage.promotions import Promotion, upsert_promotions
from storage.subscribers import add_subscriber, issue_key
from training.new_items import learn_text

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 60.0

COOKING, FICTION = ("cook1", "cook2", "cook3"), ("fiction1", "fiction2", "fiction3")
PANS, LAMPS = ("pan1", "pan2", "pan3"), ("lamp1", "lamp2", "lamp3")


@dataclass(frozen=True)
class Keys:
    """The keys of the two subscribers."""

    pages: str
    pages_public: str
    pans: str
    pans_public: str


@dataclass
class Service:
    """A running service, and how to talk to it."""

    url: str
    keys: Keys
    database_url: str
    home: Path
    process: "subprocess.Popen[bytes]"
    log: Path
    client: httpx.Client

    def call(self, method: str, path: str, *, key: str | None = None, **request: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **request.pop("headers", {})}
        return self.client.request(method, self.url + path, headers=headers, **request)

    def decide(
        self, consumer_id: str, *, site_id: str = "kitchen", key: str | None = None, **more: Any
    ) -> Any:
        key = key or (self.keys.pans if site_id == "kitchen" else self.keys.pages)
        asked = {"consumer_id": consumer_id, "site_id": site_id, **more}
        answer = self.call("POST", "/v1/decisions", key=key, json=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, *events: Any, key: str | None = None) -> Any:
        answer = self.call("POST", "/v1/activity", key=key or self.keys.pages, json={"events": list(events)})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until(self, what: Callable[[], Any]) -> Any:
        """Wait until `what` is true, as long as the service lives."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := what()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, f"{what} did not come true\n{self.log.read_text()}"
            time.sleep(0.02)
        return found

    def answers(self) -> bool:
        """Whether it answers at all, well or not."""
        try:
            self.call("GET", "/v1/health")
        except httpx.TransportError:
            return False
        return True

    def is_ready(self) -> bool:
        """Whether it can decide."""
        try:
            return self.call("GET", "/v1/health").status_code == 200
        except httpx.TransportError:
            return False

    def champion(self) -> str | None:
        """The version that serves."""
        champion = self.call("GET", "/v1/health").json()["champion"]
        return None if champion is None else str(champion["version"])


def event(consumer_id: str, item_id: str, *, site_id: str = "books", **fields: Any) -> dict[str, Any]:
    """One event of activity, all consent given."""
    return {
        "event_id": uuid4().hex,
        "consumer_id": consumer_id,
        "site_id": site_id,
        "kind": "page_view",
        "item_id": item_id,
        "consent": ["same_site", "cross_site"],
        **fields,
    }


def activity() -> pa.Table:
    """What forty consumers did before: twenty of each taste."""
    rows = []
    for n in range(40):
        read, bought = (COOKING, PANS) if n % 2 == 0 else (FICTION, LAMPS)
        rows += [(f"c{n}", "books", item, "page_view") for item in read if hash_of(n, item) % 4]
        rows += [(f"c{n}", "kitchen", item, "purchase") for item in bought if hash_of(n, item) % 3]
    rows += [(f"c{n}", "kitchen", "pan1", "purchase") for n in range(0, 40, 4)]
    columns = zip(*rows, strict=True)
    return pa.table(dict(zip(("consumer_id", "site_id", "item_id", "kind"), map(list, columns), strict=True)))


def hash_of(n: int, item: str) -> int:
    """A number that is the same in every process."""
    return n // 2 + sum(item.encode())


def make_bundle(directory: Path, *, random_state: int = 0, with_reach: bool = True) -> Champion:
    """Train on `activity` and write the bundle where the service looks for it."""
    interactions = build_interactions(activity(), InteractionWeights())
    model = Als(factors=4, iterations=5, regularization=0.1, alpha=5.0, random_state=random_state).fit(
        interactions
    )
    place = directory / uuid4().hex
    says = {("kitchen", item): {"title": item, "category": item[:-1]} for item in (*PANS, *LAMPS)}
    digest = write_bundle(
        place,
        model,
        popularity=Popularity().fit(interactions),
        pooling=Pooling(kind="max", overlap=0.0),
        text=learn_text(interactions.items, says),
        reach=count_reach(interactions) if with_reach else None,
    )
    return Champion(version=str(random_state + 1), model_kind="als", digest=digest, location=str(place))


def promote(database_url: str, champion: Champion) -> None:
    """Write it into the champion log."""
    with Database(database_url) as database, database.connection() as connection:
        record_champion(connection, champion, action="promote", actor="test")


def furnish(database_url: str) -> Keys:
    """Enter the network, its items and promotions."""
    with Database(database_url) as database, database.connection() as connection:
        add_subscriber(
            connection,
            "pages",
            name="Pages",
            allowed_origins=["https://books.example"],
            legal_basis="contract",
        )
        add_subscriber(
            connection,
            "pans",
            name="Pans",
            allowed_origins=["https://kitchen.example"],
            legal_basis="contract",
        )
        connection.execute(
            "INSERT INTO site (site_id, name, subscriber_id)"
            " VALUES ('books', 'Books', 'pages'), ('kitchen', 'Kitchen', 'pans'), ('blog', 'Blog', NULL)"
        )
        upsert_items(
            connection,
            [Item("kitchen", item, title=item.capitalize(), category=item[:-1]) for item in (*PANS, *LAMPS)]
            + [Item("books", item, title=item.capitalize()) for item in (*COOKING, *FICTION)],
        )
        upsert_promotions(
            connection,
            [
                Promotion(
                    "pan-deal",
                    "20 % off {item.title}",
                    subscriber_id="pans",
                    sites=("kitchen",),
                    categories=(("kitchen", "pan"),),
                ),
                Promotion(
                    "lamp-deal",
                    "Light: {item.title}",
                    subscriber_id="pans",
                    sites=("kitchen",),
                    categories=(("kitchen", "lamp"),),
                ),
                Promotion(
                    "new-deal",
                    "Just in",
                    subscriber_id="pans",
                    sites=("kitchen",),
                    items=(("kitchen", "never-seen"),),
                ),
            ],
        )
        return Keys(
            pages=issue_key(connection, "pages", kind="secret"),
            pages_public=issue_key(connection, "pages", kind="public"),
            pans=issue_key(connection, "pans", kind="secret"),
            pans_public=issue_key(connection, "pans", kind="public"),
        )


@contextmanager
def serving(
    database_url: str,
    directory: Path,
    *,
    keys: Keys,
    target: str = "serving.service:TailoredPromotions",
    where: Path = ROOT,
    **environ: str,
) -> Iterator[Service]:
    """Run the service in a process of its own until the block ends; nothing of it is left then."""
    port = free_port()
    home = directory / "home"
    log = directory / "service.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)],
            cwd=where,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("TAILOR_")},
                "DATABASE_URL": database_url,
                "TAILOR_HOME": str(home),
                "BENTOML_HOME": str(directory / "bentoml"),
                "BENTOML_DO_NOT_TRACK": "True",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "TAILOR_SERVING_WATCH_CHAMPION": "false",
                # No test is about a slow machine.
                "TAILOR_SERVING_READ_TIMEOUT_S": "4",
                "TAILOR_SERVING_WRITE_TIMEOUT_S": "4",
                **environ,
            },
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    with httpx.Client(timeout=30.0) as client:
        service = Service(f"http://127.0.0.1:{port}", keys, database_url, home, process, log, client)
        try:
            service.until(service.answers)
            yield service
        finally:
            stop(service)


def stop(service: Service, *, with_signal: int = signal.SIGINT) -> list[psutil.Process]:
    """Stop it as Ctrl-C does, and return what is left of its processes."""
    try:
        family = [psutil.Process(service.process.pid)]
        family += family[0].children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    if service.process.poll() is None:
        os.killpg(service.process.pid, with_signal)
    _, left = psutil.wait_procs(family, timeout=20)
    for process in left:
        process.kill()
    service.process.wait()
    return left


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def fresh_database(server_url: str, template: str) -> Iterator[str]:
    """A database for more than one test."""
    name = f"tailor_serving_{uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            parts = urlsplit(server_url)
            yield urlunsplit(parts._replace(path=f"/{name}")).replace(":///", "://@/")
        finally:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def world() -> SimpleNamespace:
    """What tests use that need a service of their own."""
    return SimpleNamespace(
        event=event,
        fresh_database=fresh_database,
        furnish=furnish,
        make_bundle=make_bundle,
        promote=promote,
        root=ROOT,
        serving=serving,
        stop=stop,
    )


@pytest.fixture(scope="session")
def service(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with its champion, ready to decide; for all tests that do not mind each other."""
    directory = tmp_path_factory.mktemp("service")
    with fresh_database(server_url, template) as url:
        keys = furnish(url)
        promote(url, make_bundle(directory / "home" / "bundles"))
        with serving(url, directory, keys=keys) as running:
            running.until(running.is_ready)
            yield running


@pytest.fixture(scope="module")
def scratch(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of one module's own, whose data may become anything, asked as often as one likes."""
    directory = tmp_path_factory.mktemp("scratch")
    with fresh_database(server_url, template) as url:
        keys = furnish(url)
        promote(url, make_bundle(directory / "home" / "bundles"))
        with serving(url, directory, keys=keys, TAILOR_SERVING_RATE_PER_ADDRESS="0") as running:
            running.until(running.is_ready)
            yield running


@pytest.fixture
def database_rows(service: Service) -> Callable[..., list[Any]]:
    """What a query finds in the service's database."""

    def rows(query: str, *values: Any) -> list[Any]:
        with psycopg.connect(service.database_url) as connection:
            return connection.execute(query, values or None).fetchall()

    return rows


@pytest.fixture
def typed_client(service: Service) -> Iterator[bentoml.SyncHTTPClient]:
    """BentoML's client, with the key of the kitchen."""
    with bentoml.SyncHTTPClient(service.url, token=service.keys.pans) as client:
        yield client
    # Closing the client leaves its folder to the garbage collector, which warns (BentoML 1.4.39).
    client._temp_dir.cleanup()
