"""Deletes what was kept long enough: activity by its age, and then what nothing is left under.

Tables are gone through page by page, a transaction each few thousand rows: nobody waits for long, and what is
interrupted has been done so far.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql
from psycopg.types.json import Jsonb

from storage.database import Connection, Database
from storage.upkeep import upkeep

PAGES_AT_ONCE = 500

Progress = Callable[[str, int, int | None], object]


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep: when, what is older than `kept_since` went, and how many rows of each table that were.

    Without a number (`sweep_id`) it was not done: so many rows would go.
    """

    kept_since: datetime
    rows_deleted: Mapping[str, int]
    sweep_id: int | None = None
    at: datetime | None = None


def sweep(
    database: Database, *, months: int, dry_run: bool = False, progress: Progress | None = None
) -> Sweep:
    """Delete what is older than so many months, and record it.

    Parameters
    ----------
    dry_run
        Only count.
    progress
        Told (table, pages done, of how many).

    Raises
    ------
    DatabaseBusy
        When somebody else tidies up right now.
    """
    with upkeep(database) as session:
        row = session.execute("SELECT now() - make_interval(months => %s)", (months,)).fetchone()
        if row is None:
            raise AssertionError(months)
        since: datetime = row[0]
        rows = {
            table: _sweep_table(session, table, since, dry_run=dry_run, progress=progress)
            for table in _TOO_OLD
        }
        if dry_run:
            return Sweep(since, rows)
        row = session.execute(
            "INSERT INTO retention_sweep (kept_since, rows_deleted) VALUES (%s, %s) RETURNING sweep_id, at",
            (since, Jsonb(rows)),
        ).fetchone()
        if row is None:
            raise AssertionError(rows)
        return Sweep(since, rows, *row)


def list_sweeps(connection: Connection, *, limit: int = 50) -> list[Sweep]:
    """What was recorded, newest first."""
    rows = connection.execute(
        "SELECT kept_since, rows_deleted, sweep_id, at FROM retention_sweep ORDER BY sweep_id DESC LIMIT %s",
        (limit,),
    )
    return [Sweep(*row) for row in rows]


def is_sweep_due(connection: Connection) -> bool:
    """Whether the last one was yesterday or longer ago."""
    recent = connection.execute(
        "SELECT FROM retention_sweep WHERE at > now() - interval '24 hours' LIMIT 1"
    ).fetchone()
    return recent is None


def _sweep_table(
    session: Connection, table: str, since: datetime, *, dry_run: bool, progress: Progress | None
) -> int:
    row = session.execute(
        "SELECT pg_relation_size(%s) / current_setting('block_size')::int", (table,)
    ).fetchone()
    n_pages = 0 if row is None else int(row[0])
    statement = sql.SQL(_COUNT if dry_run else _DELETE).format(
        table=sql.Identifier(table), rule=sql.SQL(_TOO_OLD[table])
    )
    n_rows = 0
    for first in range(0, n_pages, PAGES_AT_ONCE):
        last = min(first + PAGES_AT_ONCE, n_pages)
        pages = {"first": f"({first},0)", "last": f"({last},0)", "since": since}
        n_rows += session.execute(statement, pages).rowcount
        if progress is not None:
            progress(table, last, n_pages)
    return n_rows


_PAGES = "{table} t WHERE ctid >= %(first)s::text::tid AND ctid < %(last)s::text::tid AND {rule}"
_DELETE = f"DELETE FROM {_PAGES}"  # noqa: S608 - constants
_COUNT = f"SELECT FROM {_PAGES}"

_RECENT_ACTIVITY = """
SELECT FROM activity a WHERE (a.namespace, a.identifier) = ({name}.namespace, {name}.identifier)
AND coalesce(a.occurred_at, a.received_at) >= %(since)s"""
# An identifier is new, or something that is not too old is kept under it.
_LIVES = f"""({{name}}.created_at >= %(since)s OR EXISTS ({_RECENT_ACTIVITY}) OR EXISTS (
SELECT FROM consent c WHERE (c.namespace, c.identifier) = ({{name}}.namespace, {{name}}.identifier)
AND c.stated_at >= %(since)s))"""
# A login or a network id joins what a consumer does elsewhere: it stays as long as any of theirs lives.
_STAYS = f"""({_LIVES} OR {{name}}.namespace NOT LIKE 'site:%%' AND EXISTS (
SELECT FROM identifier o WHERE o.consumer_id = {{name}}.consumer_id AND {_LIVES.replace("{name}", "o")}))"""

_LIVES_I = _LIVES.format(name="i")
_KNOWN = "EXISTS (SELECT FROM identifier i WHERE i.consumer_id = t.consumer_id AND {condition})"
_MOVED = """EXISTS (SELECT FROM jsonb_array_elements(t.moved->'identifiers') AS pair
JOIN identifier i ON i.namespace = pair->>0 AND i.identifier = pair->>1 WHERE {condition})"""

# Each says the same whatever of the others was deleted already, so that counting tells what deleting does;
# but the names of a consumer go last.
_TOO_OLD = {
    "activity": "coalesce(t.occurred_at, t.received_at) < %(since)s",
    "quarantine": "t.received_at < %(since)s",
    "consent": "t.stated_at < %(since)s AND NOT EXISTS ("
    + _RECENT_ACTIVITY.format(name="t")
    + " AND a.site_id = t.site_id)",
    "audience_member": _KNOWN.format(condition="true") + " AND NOT " + _KNOWN.format(condition=_LIVES_I),
    "merge": "t.at < %(since)s AND NOT " + _MOVED.format(condition=_STAYS.format(name="i")),
    "identifier": "NOT " + _STAYS.format(name="t"),
}
