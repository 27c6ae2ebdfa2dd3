"""Events through the real service, beside bare INSERTs and an app that does nothing. Not a benchmark itself.

`ingest_vs_insert`: batches of 100 over 4 connections, over the same rows by bare INSERT of 100 rows a
statement and transaction on one connection, on the same server, into a table with the columns, keys and
indexes of `activity`; `ingest_vs_insert_without_keys` has none of these. What is inserted is written out
before as SQL text, which is several times faster than parameters. `single_event_vs_mounted_noop`: one event a
call over 32 connections, over the mounted app of `benchmarks.noop` that is asked the same. The ways take
turns. Every acknowledged event is looked for afterwards; one that is missing ends it.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from benchmarks.load import Load, post_each
from benchmarks.report import Figures
from benchmarks.stage import server
from storage.activity import EVENT_COLUMNS
from storage.database import Connection, Database, open_database
from storage.schema import migrate
from storage.settings import Settings
from storage.subscribers import add_subscriber, issue_key

BATCHES, SINGLE = "HTTP, batches of 100", "HTTP, one event a call"
NOOP = "mounted app that does nothing"
KEYED, BARE = "INSERT of 100 rows, same keys", "INSERT of 100 rows, no keys"
_BATCH = 100
_BATCH_CONNECTIONS, _SINGLE_CONNECTIONS = 4, 32
_NOOP_CALLS_PER_EVENT = 3


def measure_http(events: pa.Table, *, n_single: int, rounds: int) -> Figures:
    """Events a second each way, medians of the rounds; `n_single` of the events one by one.

    Raises
    ------
    RuntimeError : an acknowledged event is not in the database, or an answer is no success.
    """
    rows = events.to_pylist()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        key = _furnish(home, sites=sorted({row["site_id"] for row in rows}))
        noop_home = home / "noop"
        noop_home.mkdir()
        bento = ("-m", "bentoml", "serve", "benchmarks.noop:Mounted", "--host", "127.0.0.1")
        _, noop_url = stack.enter_context(server(noop_home, *bento, ready="/livez"))
        _, url = stack.enter_context(server(home))
        database = stack.enter_context(open_database(Settings(TAILOR_HOME=home)))
        rates: dict[str, list[float]] = {way: [] for way in (BARE, KEYED, BATCHES, NOOP, SINGLE)}
        for number in range(rounds):
            _empty(database)
            batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
            rates[BARE].append(_insert(database, batches, like="activity INCLUDING DEFAULTS"))
            rates[KEYED].append(_insert(database, batches, like="activity INCLUDING ALL"))
            load = _send(database, url, batches, key=key, connections=_BATCH_CONNECTIONS)
            rates[BATCHES].append(load.per_second * len(rows) / len(batches))
            alone = [[{**row, "event_id": f"alone-{number}-{row['event_id']}"}] for row in rows[:n_single]]
            nothing = [_body(batch) for batch in alone] * _NOOP_CALLS_PER_EVENT
            headers = _headers(key)
            load, _ = post_each(
                f"{noop_url}/v1/activity", nothing, headers=headers, connections=_SINGLE_CONNECTIONS
            )
            rates[NOOP].append(load.per_second)
            load = _send(database, url, alone, key=key, connections=_SINGLE_CONNECTIONS)
            rates[SINGLE].append(load.per_second)
    medians = {way: statistics.median(found) for way, found in rates.items()}
    return {
        "ratios": {
            "ingest_vs_insert": medians[BATCHES] / medians[KEYED],
            "ingest_vs_insert_without_keys": medians[BATCHES] / medians[BARE],
            "single_event_vs_mounted_noop": medians[SINGLE] / medians[NOOP],
        },
        "rows": [{"what": way, "per_second": rate, "rounds": rates[way]} for way, rate in medians.items()],
    }


def _furnish(home: Path, *, sites: Sequence[str]) -> str:
    """A subscriber with these sites; its secret key."""
    with open_database(Settings(TAILOR_HOME=home)) as database:
        migrate(database)
        with database.connection() as connection:
            add_subscriber(connection, "shops", name="Shops", sites=sites, legal_basis="contract")
            return issue_key(connection, "shops", kind="secret")


def _send(
    database: Database, url: str, batches: Sequence[Sequence[dict[str, Any]]], *, key: str, connections: int
) -> Load:
    load, answers = post_each(
        f"{url}/v1/activity",
        [_body(batch) for batch in batches],
        headers=_headers(key),
        connections=connections,
    )
    told = [event for answer in answers for event in msgspec.json.decode(answer)["events"]]
    acknowledged = [event["event_id"] for event in told if event["status"] == "stored"]
    n_sent = sum(map(len, batches))
    with database.connection() as connection:
        stored = _count(connection, acknowledged)
    if not len(acknowledged) == stored == n_sent:
        raise RuntimeError(f"of {n_sent} events {len(acknowledged)} were acknowledged and {stored} are there")
    return load


def _count(connection: Connection, event_ids: Sequence[str]) -> int:
    query = "SELECT count(*) FROM activity WHERE event_id = ANY(%s)"
    row = connection.execute(query, (list(event_ids),)).fetchone()
    return 0 if row is None else int(row[0])


def _insert(database: Database, batches: Sequence[Sequence[dict[str, Any]]], *, like: str) -> float:
    """Rows a second by bare INSERT, a commit a statement; the statements are written out before."""
    statements = [_statement(batch) for batch in batches]
    with database.connection() as connection:
        connection.execute("DROP TABLE IF EXISTS inserted")
        connection.execute(f"CREATE TABLE inserted (LIKE {like})")
        connection.commit()
        connection.autocommit = True
        started = time.perf_counter()
        for statement in statements:
            connection.execute(statement)
        seconds = time.perf_counter() - started
        connection.autocommit = False
    return sum(map(len, batches)) / seconds


def _statement(batch: Sequence[dict[str, Any]]) -> bytes:
    constants = {"namespace": "network", "source_id": "http:shops", "same_site": True, "cross_site": True}
    stored = [{**row, **constants, "identifier": row["consumer_id"]} for row in batch]
    rows = [f"({', '.join(_literal(row.get(name)) for name in EVENT_COLUMNS)})" for row in stored]
    return f"INSERT INTO inserted ({', '.join(EVENT_COLUMNS)}) VALUES {', '.join(rows)}".encode()  # noqa: S608


def _literal(value: object) -> str:
    return "NULL" if value is None else "'{}'".format(str(value).replace("'", "''"))


def _empty(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("TRUNCATE activity, identifier, quarantine")
        connection.commit()
        connection.autocommit = True
        connection.execute("CHECKPOINT")
        connection.autocommit = False


def _body(batch: Sequence[dict[str, Any]]) -> bytes:
    return msgspec.json.encode({"events": batch})


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
