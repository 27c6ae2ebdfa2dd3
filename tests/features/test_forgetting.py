"""Whoever was erased is in no table and no file: searched for byte by byte, in a home folder of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.forgetting import delete_outdated_snapshots, finish_erasures
from features.retention import held
from features.snapshot import take_snapshot
from storage.activity import append_events, quarantine
from storage.consent import state_consent
from storage.consumers import erase, export
from storage.database import Connection, Database, open_database
from storage.erasures import list_erasures
from storage.errors import DatabaseBusy, UnknownConsumer
from storage.events import ActivityEvent, Rejection, derived_consumer_id
from storage.identity import join
from storage.residue import PERSONAL
from storage.schema import migrate
from storage.settings import Settings
from storage.upkeep import upkeep

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
VISITOR, LOGIN, NETWORK = (
    ("site:books", "visitor-Qx7-ümlaut"),
    ("login", "5d41402abc4b2a76"),
    ("network", "net-zoe-91"),
)
NAMES = [
    VISITOR[1],
    json.dumps(VISITOR[1])[1:-1],
    LOGIN[1],
    NETWORK[1],
    derived_consumer_id(*VISITOR),
    derived_consumer_id(*LOGIN),
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(TAILOR_HOME=tmp_path_factory.mktemp("forgetting") / "home")


@pytest.fixture(scope="module")
def home(settings: Settings) -> Iterator[Database]:
    """The database of the embedded server, as it is started for everybody."""
    with open_database(settings) as database:
        migrate(database)
        yield database


def event(identity: tuple[str, str], event_id: str) -> ActivityEvent:
    return ActivityEvent(
        *identity,
        site_id="books",
        event_id=event_id,
        kind="purchase",
        item_id=f"item-{len(event_id)}",
        source_id="shop",
        same_site=True,
        cross_site=True,
        occurred_at=NOW,
        decision={"decision_id": "d"},
    )


def fill(connection: Connection, *, others: int = 3000) -> None:
    """Three names of one consumer, who is everywhere, among others."""
    mine = [event(identity, f"{n}") for n in range(60) for identity in (VISITOR, LOGIN, NETWORK)]
    append_events(connection, mine)
    crowd = [event(("site:books", f"visitor-{n:05}"), f"{k}") for n in range(others) for k in range(3)]
    append_events(connection, crowd)
    join(connection, VISITOR, LOGIN, how="login")
    join(connection, LOGIN, NETWORK, how="link", token_id="t1")
    state_consent(connection, VISITOR, site_id="books", purposes=["same_site", "cross_site"], now=NOW)
    connection.execute("INSERT INTO audience_member VALUES (%s, 'vip'), ('somebody', 'vip')", (NETWORK[1],))
    told = json.dumps({"identifier": VISITOR[1]})
    quarantine(connection, [Rejection("bad", "shop", payload=told), Rejection("bad", "shop", payload="{}")])


def tables_that_name(database: Database) -> set[str]:
    """All text and JSON of all tables is searched, those of the statistics included."""
    found = set()
    with database.connection() as connection:
        columns = connection.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns JOIN"
            " information_schema.tables USING (table_schema, table_name) WHERE table_type = 'BASE TABLE'"
        ).fetchall()
        assert {"activity", "merge"} <= {table for _, table, _ in columns}
        for schema, table, column in columns:
            query = f'SELECT EXISTS (SELECT FROM {schema}.{table} WHERE strpos("{column}"::text, %s) > 0)'
            for name in NAMES:
                if connection.execute(query, (name,)).fetchone() == (True,):
                    found.add(table)
    return found


def files_that_name(directory: Path) -> set[str]:
    """All bytes of all files are searched, and what snapshots hold in compressed form."""
    found = set()
    for path in directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if path.suffix == ".parquet":
                content += str(pq.read_table(path).to_pydict()).encode()
            if any(name.encode() in content for name in NAMES):
                found.add(str(path.relative_to(directory)))
    return found


def test_nothing_in_any_table_or_file_names_an_erased_consumer(home: Database, settings: Settings) -> None:
    with home.connection() as connection:
        fill(connection)
    with home.session() as session:
        # What is told of a consumer lies about in old rows, indexes, samples of columns and the log.
        session.execute("UPDATE identifier SET created_at = now()")
        session.execute("ANALYZE")
        session.execute("CHECKPOINT")
    for _ in range(2):
        take_snapshot(home, settings.snapshots_dir)
        with home.connection() as connection:
            append_events(connection, [event(("site:books", "one-more"), "1")])
    assert tables_that_name(home) >= {*PERSONAL, "pg_statistic"}
    before = files_that_name(settings.home)
    assert any(name.startswith("snapshots/") for name in before)
    assert any(name.startswith("postgres/pg_wal/") for name in before)
    assert any(name.startswith("postgres/base/") for name in before)

    with home.connection() as connection:
        erasure = erase(connection, VISITOR, asked_by="a test")
    assert erasure.rows_deleted == {
        "activity": 180, "consent": 1, "quarantine": 1, "identifier": 5, "audience_member": 1, "merge": 2,
    }  # fmt: skip
    assert tables_that_name(home) <= {"pg_statistic"}

    forgetting = finish_erasures(home, settings)
    assert forgetting.cleaned == (erasure.erasure_id,)
    assert (forgetting.waiting_for, forgetting.not_ours) == ((), ())
    assert tables_that_name(home) == set()
    assert files_that_name(settings.home) == set()

    with home.connection() as connection:
        assert connection.execute("SELECT count(*) FROM activity").fetchone() == (9001,)
        [record] = list_erasures(connection)
        with pytest.raises(UnknownConsumer):
            export(connection, NETWORK[1])
    assert (record.asked_by, record.rows_deleted) == ("a test", erasure.rows_deleted)
    assert record.cleaned_at >= record.at
    assert finish_erasures(home, settings).cleaned == ()

    # The next model learns from the others, and nothing is taken over from what was there.
    snapshot = take_snapshot(home, settings.snapshots_dir)
    assert snapshot.manifest["counts"]["activity"] == 9001
    assert files_that_name(settings.home) == set()


def test_an_erasure_waits_for_a_training_that_reads_a_snapshot(home: Database, settings: Settings) -> None:
    snapshot = take_snapshot(home, settings.snapshots_dir)
    with home.connection() as connection:
        append_events(connection, [event(VISITOR, "1")])
        erasure = erase(connection, VISITOR)
    code = (
        "import sys; from pathlib import Path; from features.retention import held\n"
        f"with held(Path({str(snapshot.path)!r})): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as training:
        training.stdout.readline()
        waiting = finish_erasures(home, settings)
        assert (waiting.cleaned, waiting.waiting_for) == ((), (snapshot.path,))
        training.stdin.close()
    assert finish_erasures(home, settings).cleaned == (erasure.erasure_id,)
    assert not snapshot.path.exists()


def test_a_snapshot_taken_after_an_erasure_stays(home: Database, settings: Settings) -> None:
    with home.connection() as connection:
        append_events(connection, [event(VISITOR, "1")])
        erase(connection, VISITOR)
        connection.execute("UPDATE erasure SET at = now() - interval '1 day'")
    before = take_snapshot(home, settings.snapshots_dir, as_of=datetime(2026, 1, 1, tzinfo=UTC))
    after = take_snapshot(home, settings.snapshots_dir)
    delete_outdated_snapshots(home, settings)
    assert not before.path.exists()
    with held(after.path):
        pass


def test_one_cleans_up_at_a_time(home: Database, settings: Settings) -> None:
    with upkeep(home), pytest.raises(DatabaseBusy, match="somebody else is tidying up"):
        finish_erasures(home, settings)


def test_an_event_that_came_in_during_an_erasure_goes_with_the_clean_up(
    home: Database, settings: Settings
) -> None:
    with home.connection() as late:
        # Known already, so that nobody waits for the erasure.
        append_events(late, [event(VISITOR, "early")])
        late.commit()
        append_events(late, [event(VISITOR, "late")])
        with home.connection() as connection:
            assert erase(connection, VISITOR).rows_deleted["activity"] == 1
    finish_erasures(home, settings)
    assert tables_that_name(home) == set()
