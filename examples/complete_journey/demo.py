"""`tailor demo`: load the year of purchases, train, compare, serve, play the story, open two shops."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from examples.complete_journey.story import STORY, play, wait_until_ready
from examples.complete_journey.tables import read_complete_journey, write_import_files
from examples.shops.shop import ShopFront
from examples.shops.street import open_shops
from storage.database import Database
from storage.events import NETWORK
from storage.imports import import_activity, import_audiences, import_items, import_promotions
from storage.settings import Settings
from storage.subscribers import add_subscriber, issue_key, list_keys, list_subscribers, revoke_key
from training.errors import InvalidProtocol
from training.pipeline import TrainingReport, train_models
from training.plan import Plan
from training.promotion import promote
from training.search import Limits

FOLDER = Path(__file__).parent
SOURCE = "complete-journey"
LEGAL_BASIS = "published by 84.51 degrees under CC0"

# Every site that the story shows has at least ten live coupons from this day on for three weeks.
DEMO_DAY = date(2017, 12, 10)
LAST_DAY = date(2017, 12, 31)

SEARCH_S = 15.0
"""That `auto` may search: enough for the starting points of each family."""


class Say(Protocol):
    """What the demo needs of a console."""

    def print(self, *parts: Any, **options: Any) -> None: ...
    def rule(self, title: str) -> None: ...


Progress = Callable[[], AbstractContextManager[Callable[[str, int, int | None], None]]]


def run(
    database: Database, settings: Settings, *, port: int, stay: bool, say: Say, progress: Progress
) -> dict[str, Any]:
    """Play the demo and return the last decision; with `stay`, serve and open the shops until interrupted.

    Loaded again on a later day, the data keep their dates as long as the coupons shown are still live.
    """
    say.rule("1. Load")
    shift = _shift(database)
    say.print(
        f"Real purchases, coupons and redemptions of 2017 (Complete Journey, 84.51°, CC0); all dates moved by"
        f" {shift.days:,} days, so that {DEMO_DAY:%d %B %Y} is {DEMO_DAY + shift:%d %B %Y}."
        " Departments are the sites, households the consumers."
    )
    _forget_the_story(database)
    _load(database, settings, shift=shift, progress=progress)
    say.rule("2. Train and compare")
    best = _train(database, settings, say=say, progress=progress)
    promote(database, settings, best.version, actor="tailor demo")
    say.print(f"Champion: version {best.version}, {best.model}.")
    say.rule("3. Serve")
    keys = _keys(database)
    with serve(port) as url:
        wait_until_ready(url)
        say.print(f"Serving at {url}.")
        say.rule("4. The story")
        decision = play(url, keys, say=say)
        if stay:
            say.rule("5. Two shops")
            with open_shops(database, service_port=port) as shops:
                _invite(shops, say=say)
                _stay(url, keys, say=say)
    return decision


def _shift(database: Database) -> timedelta:
    """Days from 2017 to now; those of the data already loaded while their coupons last."""
    today = datetime.now(UTC).date()
    with database.connection() as connection:
        row = connection.execute(
            "SELECT max(occurred_at)::date FROM activity WHERE source_id = %s AND kind = 'purchase'",
            (SOURCE,),
        ).fetchone()
        loaded = row[0] if row else None
        if loaded is not None:
            shift: timedelta = loaded - (DEMO_DAY - timedelta(days=1))
            if DEMO_DAY <= today - shift <= LAST_DAY:
                return shift
            # The coupons shown have ended: the same events would come back at other times.
            connection.execute("DELETE FROM activity WHERE source_id = %s", (SOURCE,))
    return today - DEMO_DAY


def _forget_the_story(database: Database) -> None:
    """Take back what the story's household did in an earlier run; its purchases are loaded again."""
    with database.connection() as connection:
        connection.execute(
            "DELETE FROM activity WHERE namespace = %s AND identifier = %s", (NETWORK, STORY.consumer_id)
        )


def _load(database: Database, settings: Settings, *, shift: timedelta, progress: Progress) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    with progress() as report, tempfile.TemporaryDirectory(prefix=".demo-", dir=settings.home) as directory:
        report("reading tables", 0, 1)
        journey = read_complete_journey(FOLDER, shift=shift, until=DEMO_DAY)
        files = write_import_files(journey, Path(directory))
        report("reading tables", 1, 1)

        def bar(name: str) -> Callable[[Path, float, int], None]:
            return lambda _file, share, _rows: report(name, round(share * 100), 100)

        import_items(database, [files["items"]], source=SOURCE, progress=bar("items"))
        import_audiences(database, [files["audiences"]], source=SOURCE, progress=bar("audiences"))
        import_promotions(database, [files["promotions"]], source=SOURCE, progress=bar("promotions"))
        for name in ("activity", "outcomes"):
            import_activity(
                database, [files[name]], source=SOURCE, legal_basis=LEGAL_BASIS, progress=bar(name)
            )
    with database.connection() as connection:
        known = {subscriber.subscriber_id for subscriber in list_subscribers(connection)}
        for site in journey.sites.to_pylist():
            if site["site_id"] not in known:
                add_subscriber(
                    connection,
                    site["site_id"],
                    name=site["name"],
                    sites=[site["site_id"]],
                    legal_basis=LEGAL_BASIS,
                )


def _train(database: Database, settings: Settings, *, say: Say, progress: Progress) -> TrainingReport:
    """Train the models and return the report of the one that ranks redemptions best."""
    plans = [Plan("popularity"), Plan("als"), Plan("auto", limits=Limits(SEARCH_S))]
    with progress() as report:
        reports = train_models(database, settings, plans=plans, progress=report)
    for plan, one in zip(plans, reports, strict=True):
        if one.ndcg_at_10 is None or one.judged_by != "redemptions":
            raise InvalidProtocol(f"no redemptions to judge {one.model} by: judged by {one.judged_by}")
        say.print(
            f"  {plan.model:<10} NDCG@10 {one.ndcg_at_10:.3f} ({one.low:.3f} to {one.high:.3f}),"
            f" recall@10 {one.recall_at_10:.3f}; plain popularity {one.popularity:.3f};"
            f" {one.n_queries} days of real redemptions",
            highlight=False,
        )
    # Of equals the first, which is the simpler: by these redemptions `auto` may well choose ALS, too.
    return max(reports, key=lambda one: one.ndcg_at_10 or 0.0)


def _keys(database: Database) -> Mapping[str, str]:
    """New secret keys for the story's sites; those of an earlier run end."""
    keys = {}
    with database.connection() as connection:
        for site in (STORY.shown_on, STORY.acts_on):
            for old in list_keys(connection, subscriber_id=site):
                revoke_key(connection, old.key_hash.hex())
            keys[site] = issue_key(connection, site, kind="secret")
    return keys


@contextmanager
def serve(port: int) -> Any:
    """`tailor serve` as a process of its own, stopped at the end however the story ends."""
    command = [sys.executable, "-m", "tailor", "serve", "--port", str(port)]
    # A session of its own: Ctrl-C reaches the demo alone, which then stops the server in order.
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGINT)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _invite(shops: Mapping[str, ShopFront], *, say: Say) -> None:
    """Say where the shops are and what to do there."""
    first, second = shops.values()
    like = next(shelf.name for shelf in first.brand.shelves if shelf.slug == "taco-night")
    say.print(
        f"\n  1. Open [bold]{first.origin}[/] ({first.brand.name}) in a browser, and accept all.\n"
        f"  2. Look at three things you like, say of the shelf {like}.\n"
        f"  3. Go next door, by the link at the top, to [bold]{second.origin}[/] ({second.brand.name}),\n"
        "     and accept there, too: its offer follows what you looked at.\n\n"
        "In the other direction it works as well. Say no instead, and nothing is kept; [bold]Your data[/],\n"
        "at the top right, shows all that is known of you, and erases it.\n",
        highlight=False,
        soft_wrap=True,
    )


def _stay(url: str, keys: Mapping[str, str], *, say: Say) -> None:
    """Keep serving until interrupted, with commands to try."""
    say.rule("Still serving; Ctrl-C stops")
    key = keys[STORY.shown_on]
    say.print("Try, in another terminal:", highlight=False)
    for command in (
        f"curl -s {url}/v1/decisions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json'"
        f' -d \'{{"consumer_id": "{STORY.consumer_id}", "site_id": "{STORY.shown_on}", "n": 3}}\'',
        f"curl -s {url}/v1/health",
        f"curl -s {url}/v1/openapi.json",
        "tailor compare",
        "tailor train --model als",
        "tailor champions",
    ):
        say.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)
    signal.pause()
