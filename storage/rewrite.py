"""Writes a table anew while others read and write it, so that no byte of a deleted row stays in its files.

VACUUM makes the room of deleted rows free and leaves their bytes there; the upper pages of an index keep
values of rows that are long gone. VACUUM FULL leaves nothing, but nobody can read the table meanwhile. So the
rows are copied into a new table, what changes meanwhile is noted by a trigger and brought over, and then the
new table takes the old one's name, for which it holds it a few milliseconds.

A transaction that sees one moment throughout (REPEATABLE READ, as a backup is) would not see in the new table
what was brought over after it began. So the table waits until all have ended that began before; one that
begins in the last instant sees the table as it was up to a second earlier.

What an operator added to a table (privileges, options, triggers, things that depend on it) would not go over
into a copy: such a table is kept, and rewritten by VACUUM FULL after all.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg import sql

from storage.database import Connection, Database
from storage.errors import DatabaseBusy, StorageError

logger = logging.getLogger(__name__)

# Others queue up behind whoever waits for a lock: less than a decision may wait for its read.
LOCK_TIMEOUT = "300ms"
LONGEST_TRANSACTION = "20s"
LATEST_S = 1.0
TRIES = 10
PAUSE_S = 0.25
FEW_ROWS = 500

_BUSY = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)


def rewrite(database: Database, table: str) -> None:
    """Write `table` anew; this needs room on the disk for a second one.

    Raises
    ------
    DatabaseBusy
        When somebody holds the table all the time, as an import or a backup does; it is as it was.
    StorageError
        When this role may not.
    """
    with database.session() as session:
        session.execute(sql.SQL("SET lock_timeout TO {}").format(LOCK_TIMEOUT))
        copy = _Copy(session, table)
        _in_time(copy.clear, table)
        if copy.keeps_everything():
            try:
                _in_time(copy.begin, table)
                copy.fill()
                _in_time(copy.take_over, table)
            except psycopg.errors.DependentObjectsStillExist as error:
                logger.warning("%s is locked while it is written anew: %s", table, error)
            else:
                return
            finally:
                _in_time(copy.clear, table)
        _in_time(copy.rewrite_in_place, table)


def _in_time(work: Callable[[], None], table: str) -> None:
    """Try again as long as others hold the table, but not for ever."""
    for _ in range(TRIES):
        try:
            work()
        except _BUSY:
            time.sleep(PAUSE_S)
        else:
            return
    raise DatabaseBusy(f"the table {table} is in use by an import, a backup or the like; try again later")


@dataclass(frozen=True, slots=True)
class _Index:
    name: str
    definition: str
    is_unique: bool
    is_primary: bool


class _Copy:
    """The new table, and all that must be known of the old one."""

    def __init__(self, session: Connection, table: str) -> None:
        self._session = session
        self._table = table
        self._indexes = [_Index(*row) for row in session.execute(_INDEXES, (table,))]
        self._views = session.execute(_VIEWS, (table,)).fetchall()
        self._sequences = session.execute(_SEQUENCES, {"table": table}).fetchall()
        self._key = [row[0] for row in session.execute(_KEY, (table,))]
        key = [sql.Identifier(column) for column in self._key]
        self._names: dict[str, sql.Composable] = {
            "table": sql.Identifier(table),
            "next": sql.Identifier(f"{table}_next"),
            "gone": sql.Identifier(f"{table}_gone"),
            "changed": sql.Identifier(f"{table}_changed"),
            "barrier": sql.Identifier(f"{table}_barrier"),
            "note": sql.Identifier(f"{table}_note_change"),
            "schema": sql.Identifier(self._one("SELECT current_schema()")),
            "key": sql.SQL(", ").join(key),
            "old_key": sql.SQL(", ").join(sql.SQL("(OLD).{}").format(column) for column in key),
            "new_key": sql.SQL(", ").join(sql.SQL("(NEW).{}").format(column) for column in key),
        }

    def keeps_everything(self) -> bool:
        """Whether a copy would be all that the table is."""
        return bool(self._key) and bool(self._one(_IS_PLAIN, self._table))

    def clear(self) -> None:
        """Remove what this or an earlier, interrupted attempt made."""
        with self._session.transaction():
            self._run("DROP FUNCTION IF EXISTS {note} CASCADE")
            self._run("DROP TABLE IF EXISTS {next}, {changed}")

    def begin(self) -> None:
        """Make the empty table; from now on every change is noted."""
        with self._session.transaction():
            # Waits for those who are writing: what they do is either copied or noted.
            self._run("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE")
            self._run("CREATE TABLE {next} (LIKE {table} INCLUDING ALL EXCLUDING INDEXES)")
            self._run("CREATE TABLE {changed} AS SELECT {key} FROM {table} WITH NO DATA")
            self._run(_NOTE)
            self._run(
                "CREATE TRIGGER {note} AFTER INSERT OR UPDATE OR DELETE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION {note}()"
            )

    def fill(self) -> None:
        """Copy the rows and index them. In the order of the key: what is read together lies together."""
        self._run("INSERT INTO {next} OVERRIDING SYSTEM VALUE SELECT * FROM {table} ORDER BY {key}")
        for index in self._indexes:
            new = sql.Identifier(f"{index.name}_next")
            unique = sql.SQL("UNIQUE" if index.is_unique else "")
            self._run(
                "CREATE {unique} INDEX {new} ON {next} USING {definition}",
                unique=unique,
                new=new,
                definition=sql.SQL(index.definition),
            )
            if index.is_primary:
                self._run("ALTER TABLE {next} ADD CONSTRAINT {new} PRIMARY KEY USING INDEX {new}", new=new)
            elif index.is_unique:
                self._run("ALTER TABLE {next} ADD CONSTRAINT {new} UNIQUE USING INDEX {new}", new=new)
        self._run("ANALYZE {next}")

    def take_over(self) -> None:
        """Bring over what changed, and be the table."""
        began = -LATEST_S
        while time.monotonic() - began >= LATEST_S:
            while self._bring_over() >= FEW_ROWS:
                pass
            began = time.monotonic()
            self._wait_for_older_transactions()
        with self._session.transaction():
            for view, _ in self._views:
                # In the order in which a reader takes them.
                self._run("LOCK TABLE {view} IN ACCESS EXCLUSIVE MODE", view=sql.Identifier(view))
            self._run("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            self._bring_over()
            self._rename_all()

    def _bring_over(self) -> int:
        with self._session.transaction():
            self._run("CREATE TEMPORARY TABLE batch ON COMMIT DROP AS SELECT * FROM {changed} WITH NO DATA")
            noted = self._run(
                "WITH taken AS (DELETE FROM {changed} RETURNING *)"
                " INSERT INTO batch SELECT DISTINCT * FROM taken"
            )
            self._run("DELETE FROM {next} WHERE ({key}) IN (SELECT * FROM batch)")
            self._run(
                "INSERT INTO {next} OVERRIDING SYSTEM VALUE"
                " SELECT * FROM {table} WHERE ({key}) IN (SELECT * FROM batch)"
            )
            return noted

    def _wait_for_older_transactions(self) -> None:
        """Making an index concurrently ends with that, and needs no privilege; of what does not matter."""
        self._run("DROP INDEX IF EXISTS {barrier}")
        # Nobody queues up behind this wait.
        self._session.execute(sql.SQL("SET lock_timeout TO {}").format(LONGEST_TRANSACTION))
        try:
            self._run("CREATE INDEX CONCURRENTLY {barrier} ON {changed} ({key})")
        finally:
            self._session.execute(sql.SQL("SET lock_timeout TO {}").format(LOCK_TIMEOUT))

    def _rename_all(self) -> None:
        for column, sequence in self._sequences:
            self._session.execute(
                sql.SQL(
                    "SELECT setval(pg_get_serial_sequence(%s, %s), last_value, is_called) FROM {}"
                ).format(sql.Identifier(sequence)),
                (f"{self._table}_next", column),
            )
        new_sequences = self._session.execute(_SEQUENCES, {"table": f"{self._table}_next"}).fetchall()
        self._run("ALTER TABLE {table} RENAME TO {gone}")
        self._run("ALTER TABLE {next} RENAME TO {table}")
        for view, definition in self._views:
            self._run(
                "CREATE OR REPLACE VIEW {view} AS {definition}",
                view=sql.Identifier(view),
                definition=sql.SQL(definition),
            )
        self._run("DROP TABLE {gone}, {changed}")
        self._run("DROP FUNCTION {note}")
        for index in self._indexes:
            self._rename("INDEX", f"{index.name}_next", index.name)
        for (_, old), (_, new) in zip(self._sequences, new_sequences, strict=True):
            self._rename("SEQUENCE", new, old)

    def rewrite_in_place(self) -> None:
        """Have PostgreSQL do it, and everybody wait."""
        before = self._one("SELECT pg_relation_filenode(%s)", self._table)
        # Without the right to, it warns and does nothing.
        self._run("VACUUM (FULL) {table}")
        if before == self._one("SELECT pg_relation_filenode(%s)", self._table):
            owner = self._one("SELECT tableowner FROM pg_tables WHERE tablename = %s", self._table)
            raise StorageError(
                f"deleted rows stay in the files of the table {self._table}, which only its owner {owner} "
                "may write anew; run as that role: tailor erasures --finish"
            )
        self._run("ANALYZE {table}")

    def _rename(self, kind: str, old: str, new: str) -> None:
        statement = f"ALTER {kind} {{old}} RENAME TO {{new}}"
        self._run(statement, old=sql.Identifier(old), new=sql.Identifier(new))

    def _run(self, statement: str, **names: sql.Composable) -> int:
        return self._session.execute(sql.SQL(statement).format(**self._names, **names)).rowcount

    def _one(self, query: str, *values: object) -> str:
        row = self._session.execute(query, values).fetchone()
        return row[0] if row else ""


_NOTE = """
CREATE FUNCTION {note}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN INSERT INTO {schema}.{changed} SELECT {old_key}; END IF;
    IF TG_OP <> 'DELETE' THEN INSERT INTO {schema}.{changed} SELECT {new_key}; END IF;
    RETURN NULL;
END $$
"""

_IS_PLAIN = """
SELECT relkind = 'r' AND relpersistence = 'p' AND relacl IS NULL AND reloptions IS NULL AND reltablespace = 0
   AND pg_get_userbyid(relowner) = current_user AND has_schema_privilege(relnamespace, 'CREATE')
   AND NOT relrowsecurity AND NOT relhassubclass AND NOT relispartition
   AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t.oid)
   AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = t.oid)
   AND NOT EXISTS (SELECT FROM pg_publication)
   AND NOT EXISTS (SELECT FROM pg_statistic_ext WHERE stxrelid = t.oid)
   AND NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0 AND attacl IS NOT NULL)
FROM pg_class t WHERE oid = %s::regclass
"""

_INDEXES = """
SELECT c.relname, regexp_replace(pg_get_indexdef(i.indexrelid), '^.*? USING ', ''), i.indisunique,
       i.indisprimary
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::regclass ORDER BY i.indisprimary DESC, c.relname
"""

_KEY = """
SELECT a.attname FROM pg_index i CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = %s::regclass AND i.indisprimary ORDER BY k.place
"""

_VIEWS = """
SELECT DISTINCT v.relname, rtrim(pg_get_viewdef(v.oid), ';')
FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class
WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %s::regclass AND v.relkind = 'v'
"""

_SEQUENCES = """
SELECT a.attname, s.relname
FROM pg_attribute a JOIN pg_class s ON s.oid = pg_get_serial_sequence(%(table)s, a.attname)::regclass
WHERE a.attrelid = %(table)s::regclass AND a.attidentity <> '' ORDER BY a.attnum
"""
