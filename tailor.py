"""The front door: the `tailor` command, one short function a verb.

Results go to stdout (as a table, or as JSON with `--json`), everything else to stderr.
Exit 0: done; 1: it could not, with one line why and what next; 2: wrong usage.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from features.errors import FeaturesError
from models.errors import ModelsError
from serving.errors import ServingError
from serving.server import QUIET
from storage.database import Database, open_database
from storage.errors import StorageError
from storage.schema import check_schema, migrate
from storage.settings import Settings, read_settings
from training.errors import TrainingError

if TYPE_CHECKING:
    from storage.database import Connection
    from storage.subscribers import Subscriber
    from training.benchmark import BenchmarkReport
    from training.compare import ComparedModel
    from training.results import Result
    from training.source_report import SourceReport

REFUSALS = (StorageError, FeaturesError, ModelsError, TrainingError, ServingError)
"""What a command answers with one line and exit 1; anything else is a defect and shows its traceback."""

app = typer.Typer(
    help="Tailored promotions: what a consumer did on a first site decides what is offered on a second.",
    epilog="Start with: tailor demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)
imports = typer.Typer(help="Bring in files: Parquet, CSV or JSON Lines.", no_args_is_help=True)
subscribers = typer.Typer(help="Who takes part, and with which sites.", no_args_is_help=True)
sources = typer.Typer(help="Where activity came from, and until when it may be used.", no_args_is_help=True)
keys = typer.Typer(help="Keys of subscribers: secret for servers, public for browsers.", no_args_is_help=True)
quarantined = typer.Typer(help="Rows and events that were not stored, and why.", no_args_is_help=True)
consumers = typer.Typer(help="What is stored about one consumer.", no_args_is_help=True)
merges = typer.Typer(help="Who turned out to be whom, and how to part them again.", no_args_is_help=True)
retention = typer.Typer(help="How long activity is kept.", no_args_is_help=True)
app.add_typer(imports, name="import")
app.add_typer(sources, name="source")
app.add_typer(subscribers, name="subscriber")
app.add_typer(keys, name="key")
app.add_typer(quarantined, name="quarantine")
app.add_typer(consumers, name="consumer")
app.add_typer(retention, name="retention")
app.add_typer(merges, name="merge")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
ShareActivity = Annotated[
    bool | None,
    typer.Option(
        "--share-activity/--keep-activity",
        help="Whether activity on its sites may tailor promotions of others.",
    ),
]
AcceptFrom = Annotated[
    list[str] | None,
    typer.Option(
        help="Whose activity may tailor promotions on its sites; repeat. Its own id alone: nobody else's."
    ),
]
Files = Annotated[list[Path], typer.Argument(help="Parquet, CSV or JSON Lines files.", metavar="FILE...")]
Source = Annotated[str, typer.Option(help="Name of where the rows come from; every event remembers it.")]
LegalBasis = Annotated[str, typer.Option(help="Why data without a consent of their own may be used.")]

stdout = Console()
stderr = Console(stderr=True)


def main() -> None:
    """Run the `tailor` command; what it refuses is one line on stderr."""
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    # SIGTERM unwinds like Ctrl-C, so that what a command started is stopped and nothing stays half-written.
    # Both are set: a shell starts background jobs with SIGINT ignored, and Python would leave it so.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app()
    except REFUSALS as error:
        stderr.print(f"[bold red]error[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        stderr.print("stopped")
        sys.exit(130)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@app.command(epilog="Example: tailor init")
def init() -> None:
    """Make the database ready: create or upgrade its tables. Harmless when repeated."""
    settings = read_settings()
    with open_database(settings) as database:
        revision = migrate(database)
        stdout.print(f"{database!r} is at schema {revision}; home is {settings.home}", soft_wrap=True)


@imports.command("activity", epilog="Example: tailor import activity clicks.parquet --source web-2026")
def import_activity_files(
    files: Files,
    source: Source,
    legal_basis: LegalBasis = "stated by the operator",
    vendor: Annotated[str | None, typer.Option(help="Whom the data was bought from.")] = None,
    licence: Annotated[str | None, typer.Option(help="What its licence allows.")] = None,
    price: Annotated[str | None, typer.Option(help="What it cost, such as 1250.50.")] = None,
    currency: Annotated[str | None, typer.Option(help="Of the price, such as EUR.")] = None,
    acquired: Annotated[str | None, typer.Option(help="Day it was acquired, such as 2026-01-31.")] = None,
    expires: Annotated[str | None, typer.Option(help="Last day on which it may be used (UTC).")] = None,
    as_json: AsJson = False,
) -> None:
    """Store events: pages viewed, products reviewed, purchases, outcomes of promotions."""
    from storage.imports import import_activity
    from storage.sources import parse_terms

    terms = parse_terms(
        vendor=vendor,
        licence=licence,
        price=price,
        currency=currency,
        acquired_on=acquired,
        expires_on=expires,
    )
    _import(import_activity, files, source=source, legal_basis=legal_basis, terms=terms, as_json=as_json)


@imports.command("items", epilog="Example: tailor import items catalogue.csv --source shop")
def import_item_files(files: Files, source: Source, as_json: AsJson = False) -> None:
    """Store or update items: pages, products and services of sites."""
    from storage.imports import import_items

    _import(import_items, files, source=source, as_json=as_json)


@imports.command("promotions", epilog="Example: tailor import promotions spring.jsonl --source campaigns")
def import_promotion_files(files: Files, source: Source, as_json: AsJson = False) -> None:
    """Store or update promotions: what is offered, on which sites, when, to whom."""
    from storage.imports import import_promotions

    _import(import_promotions, files, source=source, as_json=as_json)


@imports.command("audiences", epilog="Example: tailor import audiences members.csv --source campaigns")
def import_audience_files(files: Files, source: Source, as_json: AsJson = False) -> None:
    """Store lists of consumers that promotions can be sent to."""
    from storage.imports import import_audiences

    _import(import_audiences, files, source=source, as_json=as_json)


@imports.command("cookies", epilog="Example: tailor import cookies cookies.txt")
def import_cookie_files(files: Files, as_json: AsJson = False) -> None:
    """Store the activity kept in browsers' exported cookie files (Netscape format)."""
    from storage.cookies import import_cookies

    _import(import_cookies, files, as_json=as_json)


@subscribers.command(
    "add", epilog="Example: tailor subscriber add books --site books --origin https://books.example"
)
def add_subscriber(
    subscriber_id: Annotated[str, typer.Argument(help="Its id.")],
    name: Annotated[str | None, typer.Option(help="What people call it; its id if not given.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="A site it owns; repeat for more.")] = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="An origin its public key works from; repeat.")
    ] = None,
    legal_basis: LegalBasis = "agreement with the subscriber",
    share_activity: ShareActivity = None,
    accept_from: AcceptFrom = None,
    as_json: AsJson = False,
) -> None:
    """Let a subscriber take part, and make its first keys: they are shown this once."""
    from storage import subscribers as store

    with _database() as database, database.connection() as connection:
        added = store.add_subscriber(
            connection,
            subscriber_id,
            name=name or subscriber_id,
            sites=site or [],
            allowed_origins=origin or [],
            legal_basis=legal_basis,
        )
        added = _set_sharing(connection, added, share_activity=share_activity, accept_from=accept_from)
        issued = {kind: store.issue_key(connection, subscriber_id, kind=kind) for kind in store.KEY_KINDS}
    _show({**asdict(added), **{f"{kind}_key": key for kind, key in issued.items()}}, as_json=as_json)


@subscribers.command(
    "set", epilog="Example: tailor subscriber set books --share-activity --accept-from music"
)
def set_subscriber(
    subscriber_id: Annotated[str, typer.Argument(help="Its id.")],
    share_activity: ShareActivity = None,
    accept_from: AcceptFrom = None,
    accept_all: Annotated[bool, typer.Option("--accept-all", help="Accept it from all who share.")] = False,
    as_json: AsJson = False,
) -> None:
    """State what a subscriber shares and whose activity it accepts; what is not given stays as it is."""
    from storage import subscribers as store

    if accept_all and accept_from:
        raise typer.BadParameter("give --accept-all or --accept-from, not both")
    with _database() as database, database.connection() as connection:
        known = store.get_subscriber(connection, subscriber_id)
        if accept_all:
            known = replace(known, accepts_from=None)
        changed = _set_sharing(connection, known, share_activity=share_activity, accept_from=accept_from)
    _show(changed, as_json=as_json)


@subscribers.command("list", epilog="Example: tailor subscriber list --json")
def list_subscribers(as_json: AsJson = False) -> None:
    """List subscribers with their sites."""
    from storage import subscribers as store

    with _database() as database, database.connection() as connection:
        found = store.list_subscribers(connection)
    _show(found, as_json=as_json, empty="no subscribers yet; add one: tailor subscriber add")


@subscribers.command("status", epilog="Example: tailor subscriber status books suspended")
def set_subscriber_status(
    subscriber_id: Annotated[str, typer.Argument(help="Its id.")],
    status: Annotated[str, typer.Argument(help="active or suspended")],
) -> None:
    """Suspend a subscriber, whose sites then show nothing, or make it active again."""
    from storage import subscribers as store

    with _database() as database, database.connection() as connection:
        _show(store.set_subscriber_status(connection, subscriber_id, status=status), as_json=False)


@sources.command("list", epilog="Example: tailor source list")
def list_sources(as_json: AsJson = False) -> None:
    """List where activity came from, and whether it may be used."""
    from storage import sources as store

    with _database() as database, database.connection() as connection:
        found = store.list_sources(connection)
    _show(found, as_json=as_json, empty="no sources yet; tailor import activity FILE --source NAME")


@sources.command("show", epilog="Example: tailor source show vendor-2026")
def show_source(name: Annotated[str, typer.Argument(help="Its name.")], as_json: AsJson = False) -> None:
    """Show what was agreed about a source, and how many events came from it."""
    from storage import sources as store

    with _database() as database, database.connection() as connection:
        _show(store.get_source(connection, name), as_json=as_json)


@sources.command("report", epilog="Example: tailor source report vendor-2026")
def report_source(
    name: Annotated[str, typer.Argument(help="Its name.")],
    model: Annotated[str, typer.Option(help="als or popularity")] = "als",
    seed: Annotated[int, typer.Option(help="Same seed and data: same figures.")] = 42,
    cut: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Ask about what came from this day (UTC) on.", metavar="DAY"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what a source adds to rankings: with and without it, asked what the other sources know."""
    from training.plan import Plan
    from training.source_report import report_source as measure

    settings = read_settings()
    plan = Plan(model, random_state=seed, cut=None if cut is None else cut.replace(tzinfo=UTC))
    with _database(settings) as database, _progress() as progress:
        report = measure(database, settings, name, plan=plan, progress=progress)
    if as_json:
        _show(report, as_json=True)
    else:
        _print_source_report(report)


@sources.command("withdraw", epilog='Example: tailor source withdraw vendor-2026 --reason "contract ended"')
def withdraw_source(
    name: Annotated[str, typer.Argument(help="Its name.")],
    reason: Annotated[str | None, typer.Option(help="Why, for whoever asks later.")] = None,
    as_json: AsJson = False,
) -> None:
    """Use what came from a source no more, from the next decision on; it stays stored."""
    from storage import sources as store

    with _database() as database, database.connection() as connection:
        _show(store.withdraw_source(connection, name, reason=reason), as_json=as_json)


@keys.command("issue", epilog="Example: tailor key issue books --kind secret")
def issue_key(
    subscriber_id: Annotated[str, typer.Argument(help="Whose key.")],
    kind: Annotated[str, typer.Option(help="secret (for servers) or public (for browsers)")] = "secret",
) -> None:
    """Make a key and print it: this is the only time that it can be seen."""
    from storage import subscribers as store

    with _database() as database, database.connection() as connection:
        stdout.print(store.issue_key(connection, subscriber_id, kind=kind), soft_wrap=True)  # type: ignore[arg-type]


@keys.command("rotate", epilog="Example: tailor key rotate books --kind secret --overlap-days 7")
def rotate_key(
    subscriber_id: Annotated[str, typer.Argument(help="Whose key.")],
    kind: Annotated[str, typer.Option(help="secret (for servers) or public (for browsers)")] = "secret",
    overlap_days: Annotated[
        float, typer.Option(min=0, max=365, help="For so long the older keys of this kind still count.")
    ] = 7.0,
) -> None:
    """Make a key that takes over from the older ones, which end later; it is shown this once."""
    from storage import subscribers as store

    with _database() as database, database.connection() as connection:
        key, ends_at = store.rotate_key(
            connection,
            subscriber_id,
            kind=kind,  # type: ignore[arg-type]
            overlap=timedelta(days=overlap_days),
        )
    stderr.print(f"older {kind} keys of {subscriber_id} count until {_cell(ends_at)} at most")
    stdout.print(key, soft_wrap=True)


@keys.command("list", epilog="Example: tailor key list --subscriber books")
def list_keys(
    subscriber: Annotated[str | None, typer.Option(help="Only of this subscriber.")] = None,
    as_json: AsJson = False,
) -> None:
    """List keys by the start of their hash; the keys themselves are not kept."""
    from storage import subscribers as store

    with _database() as database, database.connection() as connection:
        found = store.list_keys(connection, subscriber_id=subscriber)
    rows = [{**asdict(key), "key_hash": key.key_hash.hex()[:12], "hint": f"...{key.hint}"} for key in found]
    _show(rows, as_json=as_json, empty="no keys yet; make one: tailor key issue SUBSCRIBER")


@keys.command("revoke", epilog="Example: tailor key revoke 3f9a1c22")
def revoke_key(
    key: Annotated[str, typer.Argument(help="The key, or the start of its hash from `tailor key list`.")],
) -> None:
    """End a key at once: every worker refuses it within a second."""
    from storage import subscribers as store

    with _database() as database, database.connection() as connection:
        ended = store.revoke_key(connection, key)
    stdout.print(f"the {ended.kind} key ...{ended.hint} of {ended.subscriber_id} is revoked")


@merges.command("list", epilog="Example: tailor merge list --limit 20")
def list_merges(
    limit: Annotated[int, typer.Option(help="At most so many, the newest.")] = 50, as_json: AsJson = False
) -> None:
    """List who turned out to be whom, and by what."""
    from storage import identity as store

    with _database() as database, database.connection() as connection:
        found = store.list_merges(connection, limit=limit)
    _show([asdict(one) for one in found], as_json=as_json, empty="nobody turned out to be somebody else yet")


@merges.command("undo", epilog="Example: tailor merge undo 12")
def undo_merge(
    merge_id: Annotated[int, typer.Argument(help="Its number, from `tailor merge list`.")],
    as_json: AsJson = False,
) -> None:
    """Part two consumers again as they were; every event stays where it is."""
    from storage import identity as store

    with _database() as database, database.connection() as connection:
        _show(store.undo_merge(connection, merge_id), as_json=as_json)


@quarantined.command("list", epilog="Example: tailor quarantine list --limit 20")
def list_quarantine(
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List what was not stored, newest first: where it came from and the reason."""
    from storage.activity import list_quarantine as read

    with _database() as database, database.connection() as connection:
        found = read(connection, limit=limit)
    _show(found, as_json=as_json, empty="nothing in quarantine")


@quarantined.command("show", epilog="Example: tailor quarantine show 17")
def show_quarantined(
    quarantine_id: Annotated[int, typer.Argument(help="Its number from `tailor quarantine list`.")],
    as_json: AsJson = False,
) -> None:
    """Show one row that was not stored, with all that it said."""
    from storage.activity import get_quarantined

    with _database() as database, database.connection() as connection:
        _show(get_quarantined(connection, quarantine_id), as_json=as_json)


@quarantined.command("replay", epilog="Example: tailor quarantine replay --source web-2026")
def replay_quarantine(
    source: Annotated[str | None, typer.Option(help="Only rows from this source.")] = None,
    as_json: AsJson = False,
) -> None:
    """Try rows of files again: what is good by now is stored, once, and leaves quarantine."""
    from storage.replay import replay_quarantine as replay

    with _database() as database, _progress() as bar:
        report = replay(database, source=source, progress=lambda done, total: bar("replay", done, total))
    _show({"read": report.read, **asdict(report)}, as_json=as_json)


@consumers.command("export", epilog="Example: tailor consumer export 2261 > 2261.json")
def export_consumer(consumer_id: Annotated[str, typer.Argument(help="Whose data.")]) -> None:
    """Print everything stored about a consumer, as JSON."""
    from storage.consumers import export

    with _database() as database, database.connection() as connection:
        _show(export(connection, consumer_id), as_json=True)


@app.command(epilog="Example: tailor erase 2261 --yes")
def erase(
    consumer: Annotated[str | None, typer.Argument(help="Whose data, by consumer id.")] = None,
    identifier: Annotated[
        tuple[str, str] | None,
        typer.Option(
            help="Whose data, by another name: login HASH, or site:books VISITOR.",
            metavar="NAMESPACE IDENTIFIER",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete every trace of a consumer, from the tables and from the files; serving forgets at once."""
    from storage.consumers import erase as erase_consumer

    if (consumer is None) == (identifier is None):
        raise typer.BadParameter("give a consumer id, or --identifier NAMESPACE IDENTIFIER")
    whom = identifier or consumer or ""
    if not yes:
        typer.confirm(f"Delete everything about consumer {whom!r}? This cannot be undone.", abort=True)
    settings = read_settings()
    with _database(settings) as database:
        with database.connection() as connection:
            erasure = erase_consumer(connection, whom, asked_by="tailor erase")
        cleaned = erasure.erasure_id is not None and _finish_erasures(database, settings)
    _show({**_erased(asdict(erasure)), "cleaned": cleaned}, as_json=as_json)


@app.command(epilog="Example: tailor erasures --json")
def erasures(
    finish: Annotated[
        bool,
        typer.Option(
            "--finish", help="First clean the files after those that are not over, as the service does."
        ),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List that somebody was erased, when and how much, and since when no file holds it; never who."""
    from storage.erasures import list_erasures

    settings = read_settings()
    with _database(settings) as database:
        if finish:
            _finish_erasures(database, settings)
        with database.connection() as connection:
            found = [_erased(asdict(one)) for one in list_erasures(connection, limit=limit)]
    _show(found, as_json=as_json, empty="nobody was erased")


@app.command(epilog="Example: tailor backup tailor-2026-01-31.backup")
def backup(
    file: Annotated[Path, typer.Argument(help="Where to; replaced when all is written.")],
    as_json: AsJson = False,
) -> None:
    """Write the whole database to one file, as of one moment, while others go on working."""
    from storage.backup import write_backup

    with _database() as database, _progress() as bar:
        bar("backup", 0, None)
        size = write_backup(database, file)
    _show({"file": str(file), "bytes": size}, as_json=as_json)


@app.command(epilog="Example: tailor restore tailor-2026-01-31.backup")
def restore(
    file: Annotated[Path, typer.Argument(help="A file that `tailor backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a database that holds something.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the database what it was when the backup was written, and upgrade its tables if need be."""
    from storage.backup import restore_backup

    with open_database(read_settings()) as database, _progress() as bar:
        bar("restore", 0, None)
        restore_backup(database, file, force=force)
        revision = migrate(database)
    _show({"file": str(file), "schema": revision}, as_json=as_json)


Model = Annotated[
    str,
    typer.Option(
        help="auto (chooses and blends), champion (its recipe again), als, graph, ials, popularity, ridge"
    ),
]
Budget = Annotated[float, typer.Option(help="Seconds that auto may search.", metavar="SECONDS")]
Trials = Annotated[
    int | None,
    typer.Option(help="Tries of each family, however long they take: the same choice again.", metavar="N"),
]


@app.command(epilog="Example: tailor train --budget 600")
def train(
    model: Model = "auto",
    seed: Annotated[int, typer.Option(help="Same seed and data: same model.")] = 42,
    budget: Budget = 300.0,
    trials: Trials = None,
    max_decision_us: Annotated[
        float,
        typer.Option(
            help="What ranking 10,000 promotions may take with a model of auto.", metavar="MICROSECONDS"
        ),
    ] = 300.0,
    snapshot: Annotated[
        str | None,
        typer.Option(
            help="Learn from the snapshot of an earlier training (`data` in tailor compare).",
            metavar="DIGEST",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a model on what is stored, judge it, and register it in MLflow."""
    from training.pipeline import train_again, train_models
    from training.plan import Plan
    from training.search import Limits

    limits = Limits(budget, trials, max_decision_us)
    settings, plans = read_settings(), [Plan(model, random_state=seed, limits=limits)]
    with _progress() as progress:
        if snapshot is None:
            with _database(settings) as database:
                (report,) = train_models(database, settings, plans=plans, progress=progress)
        else:
            (report,) = train_again(settings, snapshot, plans=plans, progress=progress)
    _show(report, as_json=as_json)


@app.command(epilog="Example: tailor compare 3 4 --plots pictures")
def compare(
    versions: Annotated[
        list[str] | None,
        typer.Argument(
            help="Show these slice by slice; without any, all in one line each.", metavar="VERSION..."
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            help="Also draw them, as PNG files; without VERSION those that were asked what the newest was.",
            metavar="FOLDER",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the registered models side by side, best first, popularity among them; or some in detail."""
    from training.compare import comparable, results_of, rows_of, side_by_side
    from training.compare import compare as all_rows

    settings = read_settings()
    rows = rows_of(settings, versions) if versions else all_rows(settings)
    drawn = rows if versions else comparable(rows)
    results = (
        side_by_side({row.name: results_of(settings, row.version) for row in drawn})
        if versions or plots
        else []
    )
    if as_json and versions:
        _show(
            {"versions": [asdict(row) for row in rows], "results": [asdict(one) for one in results]},
            as_json=True,
        )
    else:
        _show(rows, as_json=as_json, empty="no models yet; train one: tailor train")
    if versions and not as_json:
        _print_slices(rows, results)
    if plots is not None:
        from training.plots import save_plots

        for file in save_plots(results, plots, rows=drawn):
            stderr.print(str(file), soft_wrap=True, highlight=False)


@app.command(epilog="Example: tailor promote 3")
def promote(
    version: Annotated[str, typer.Argument(help="A version from `tailor compare`.")],
    force: Annotated[
        bool, typer.Option("--force", help="Even if it ranks worse than the champion; the log then says so.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a version the champion, unless it is worse: servers swap to it without dropping a request."""
    from training.promotion import promote as make_champion

    settings = read_settings()
    with _database(settings) as database:
        change = make_champion(database, settings, version, actor="tailor promote", force=force)
    _show(change, as_json=as_json)


@app.command(epilog="Example: tailor rollback")
def rollback(as_json: AsJson = False) -> None:
    """Go back to the champion before this one, and show what was live and when."""
    from storage.champions import champion_history
    from training.promotion import rollback as go_back

    settings = read_settings()
    with _database(settings) as database:
        go_back(database, settings, actor="tailor rollback")
        with database.connection() as connection:
            _show(champion_history(connection), as_json=as_json)


@app.command(epilog="Example: tailor champions")
def champions(as_json: AsJson = False) -> None:
    """Show which model was live since when, newest last."""
    from storage.champions import champion_history

    with _database() as database, database.connection() as connection:
        found = champion_history(connection)
    _show(found, as_json=as_json, empty="no champion yet; tailor train, then tailor promote")


@app.command(epilog="Example: tailor benchmark data/clicks --references --predictions rankings.parquet")
def benchmark(
    folder: Annotated[Path, typer.Argument(help="Holds dataset.json, train.parquet and test.parquet.")],
    model: Model = "auto",
    budget: Budget = 300.0,
    trials: Trials = None,
    max_decision_us: Annotated[
        float | None,
        typer.Option(
            help="What ranking 10,000 promotions may take with a model of auto; default: any time.",
            metavar="MICROSECONDS",
        ),
    ] = None,
    with_references: Annotated[
        bool,
        typer.Option("--references", help="Also fixed models of other libraries, on the same data."),
    ] = False,
    predictions: Annotated[
        Path | None, typer.Option(help="Write the model's rankings there: .parquet or .csv.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there.")] = None,
) -> None:
    """Train on a data set of yours, rank its test rows, and print our figures beside the published ones."""
    from training.benchmark import run_benchmark
    from training.predictions import check_output
    from training.references import references
    from training.search import Limits

    if json_file is not None:
        check_output(json_file, endings=[".json"])
    with _progress() as progress:
        report = run_benchmark(
            folder,
            model=model,
            limits=Limits(budget, trials, max_decision_us),
            beside=references() if with_references else (),
            predictions=predictions,
            progress=progress,
        )
    _print_benchmark(report)
    if json_file is not None:
        json_file.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


@app.command(epilog="Example: tailor serve --port 3000 --workers 2")
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that decide.")] = 1,
) -> None:
    """Serve decisions over HTTP with BentoML until stopped."""
    from serving.server import run_server

    sys.exit(run_server(host=host, port=port, workers=workers))


@app.command(epilog="Example: tailor recommend --all --site produce --out promotions.parquet")
def recommend(
    site: Annotated[str, typer.Option(help="Where the promotions are to be shown.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write; one that is there is replaced.")],
    everyone: Annotated[
        bool, typer.Option("--all", help="For every consumer; there is no other way yet.")
    ] = False,
    top: Annotated[int, typer.Option(min=1, max=500, help="Promotions for each.")] = 1,
    placement: Annotated[str | None, typer.Option(help="The place on a page they are for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write the best promotions for every consumer to a file, decided as the service decides."""
    from serving.batch import recommend_all

    if not everyone:
        raise typer.BadParameter("give --all; for one consumer, ask the service: POST /v1/decisions")
    if not out.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.parent}; make it first", param_hint="--out")
    settings = read_settings()
    with _database(settings) as database, _progress() as bar:
        report = recommend_all(
            database,
            site_id=site,
            out=out,
            bundles=settings.home / "bundles",
            now=datetime.now(UTC),
            n=top,
            placement=placement,
            progress=bar,
        )
    _show(asdict(report), as_json=as_json)


@app.command(epilog="Example: tailor demo --once | tail -1")
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="Stop after the story; the last line on stdout is JSON.")
    ] = False,
    port: Annotated[
        int,
        typer.Option(
            min=1, max=65535, help="Port to serve on; the shops take the two after it, or free ones if taken."
        ),
    ] = 3000,
) -> None:
    """Load real purchases, train, compare, serve, show a promotion being tailored, and open two shops."""
    from examples.complete_journey.demo import run

    settings = read_settings()
    with open_database(settings) as database:
        migrate(database)
        decision = run(database, settings, port=port, stay=not once, say=stderr, progress=_progress)
    if once:
        sys.stdout.write(json.dumps(decision, default=_plain) + "\n")


@retention.command("sweep", epilog="Example: tailor retention sweep --dry-run")
def sweep_retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete activity older than TAILOR_RETENTION_MONTHS, and names with nothing left under them."""
    from storage.retention import sweep

    settings = read_settings()
    with _database(settings) as database, _progress() as bar:
        done = sweep(database, months=settings.retention_months, dry_run=dry_run, progress=bar)
    _show(done, as_json=as_json)


@retention.command("list", epilog="Example: tailor retention list --json")
def list_retention(
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the sweeps, newest first: when, and how many rows of each table went."""
    from storage.retention import list_sweeps

    with _database() as database, database.connection() as connection:
        found = list_sweeps(connection, limit=limit)
    _show(found, as_json=as_json, empty="nothing was swept yet")


@contextmanager
def _database(settings: Settings | None = None) -> Iterator[Database]:
    """The database of the environment's settings, its schema checked."""
    with open_database(settings or read_settings()) as database:
        check_schema(database)
        yield database


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """A bar for each stage on stderr: call it with the stage, how much is done, and of how much if known."""
    columns = [
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    ]
    with Progress(*columns, console=stderr) as bars:
        tasks: dict[str, Any] = {}

        def report(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield report


def _set_sharing(
    connection: "Connection",
    known: "Subscriber",
    *,
    share_activity: bool | None,
    accept_from: Sequence[str] | None,
) -> "Subscriber":
    """Enter a subscriber's word on sharing, where something new is given; who is named must be there."""
    from storage import subscribers as store
    from storage.sharing import set_sharing

    for one in accept_from or ():
        store.get_subscriber(connection, one)
    return set_sharing(
        connection,
        known.subscriber_id,
        shares_activity=known.shares_activity if share_activity is None else share_activity,
        accepts_from=accept_from or known.accepts_from,
    )


def _import(how: Callable[..., Any], files: Sequence[Path], *, as_json: bool, **names: Any) -> None:
    """Import files with a progress bar, then show what became of each row."""
    with _database() as database, _progress() as bar:
        report = how(
            database,
            files,
            progress=lambda file, share, _rows: bar(file.name, round(100 * share), 100),
            **names,
        )
    _show({"read": report.read, **asdict(report)}, as_json=as_json)


def _finish_erasures(database: Database, settings: Settings) -> bool:
    """Clean the files now if that can be; otherwise the service does, or a later command."""
    from features.forgetting import finish_erasures

    try:
        with _progress() as bar:
            done = finish_erasures(database, settings, progress=bar)
    except StorageError as error:
        stderr.print(f"the files are cleaned later, for {error}", highlight=False, soft_wrap=True)
        return False
    for path in done.waiting_for:
        stderr.print(f"in use, so the files are cleaned later: {path}", highlight=False, soft_wrap=True)
    for what in done.not_ours:
        stderr.print(f"yours to remove: {what}", highlight=False, soft_wrap=True)
    return not done.waiting_for


def _erased(erasure: dict[str, Any]) -> dict[str, Any]:
    """A record of an erasure, which does not tell who it was."""
    return {name: value for name, value in erasure.items() if name != "consumer_id"}


def _show(result: Any, *, as_json: bool, empty: str = "nothing") -> None:
    """Print one record or a list of them: as they are, or what they say a table tells of them (`columns`)."""
    rows = result if isinstance(result, list) else [result]
    if as_json:
        records = [_record(row) for row in rows]
        payload = records if isinstance(result, list) else records[0]
        sys.stdout.write(json.dumps(payload, default=_plain, indent=2) + "\n")
    elif not rows:
        stdout.print(empty)
    elif isinstance(result, list):
        _print_table([row.columns() if hasattr(row, "columns") else _record(row) for row in rows])
    else:
        _print_record(_record(result))


def _record(row: Any) -> dict[str, Any]:
    return asdict(row) if is_dataclass(row) and not isinstance(row, type) else dict(row)


def _print_slices(rows: "Sequence[ComparedModel]", results: "Sequence[Result]") -> None:
    """NDCG@10 slice by slice, then every metric over all queries."""
    from training.slices import metric_table, parts_as_wide_as, slice_table

    if len({row.asked for row in rows}) > 1:
        stdout.print("these versions were asked different questions: their figures do not compare")
    for title, table in (("NDCG@10", slice_table(results)), ("all queries", metric_table(results))):
        stdout.print(f"\n[bold]{title}[/], ±: half of a 95 % interval")
        for place, part in enumerate(parts_as_wide_as(table, stdout.width)):
            if place:
                stdout.print()
            _print_table(part.reset_index().to_dict("records"))


def _print_source_report(report: "SourceReport") -> None:
    _print_record(report.columns())
    _print_table([effect.columns() for effect in report.effects])


def _print_benchmark(report: "BenchmarkReport") -> None:
    stdout.print(
        f"{report.name}: {report.n_train} rows of {report.n_consumers} consumers on {report.n_items} items "
        f"of {report.n_sites} sites; {report.n_queries} rankings, {report.n_without_history} without history",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    _print_table([line.columns() for line in report.lines])
    untouched = [line.columns_untouched() for line in report.lines if line.untouched]
    if untouched:
        stdout.print(
            f"\nonly items that the consumer had nothing to do with before ({report.n_untouched} rankings)",
            highlight=False,
        )
        _print_table(untouched)
    if report.vs_references is not None:
        best = report.comparisons[0]
        stdout.print(
            f"\nvs_references {report.vs_references:.3f}: NDCG of {report.lines[0].model} / "
            f"that of {best.model}, the best line beside it; "
            f"{best.difference.low:+.4f} to {best.difference.high:+.4f} apart",
            soft_wrap=True,
            highlight=False,
            markup=False,
        )
    if report.chosen is not None:
        stdout.print(f"auto chose {report.chosen_in_words()}", soft_wrap=True, highlight=False, markup=False)
    stdout.print(
        f"{report.wall_s:.1f} s in all, {report.peak_bytes / 1e6:.0f} MB at most; ±: half of a 95 % interval",
        highlight=False,
    )


def _print_table(records: Sequence[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in records[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for record in records:
        table.add_row(*(escape(_cell(value)) for value in record.values()))
    stdout.print(table)


def _print_record(record: dict[str, Any]) -> None:
    width = max(map(len, record))
    for name, value in record.items():
        stdout.print(
            f"[dim]{name.replace('_', ' '):<{width}}[/]  {escape(_cell(value))}",
            soft_wrap=True,
            highlight=False,
        )


def _cell(value: Any) -> str:
    match value:
        case None:
            text = ""
        case float():
            text = f"{value:.4g}"
        case datetime():
            text = f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case dict():
            text = ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
        case list() | tuple():
            text = ", ".join(_cell(one) for one in value)
        case _:
            text = str(value)
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


if __name__ == "__main__":
    main()
