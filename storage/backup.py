"""The whole database in one file, and back: `pg_dump` and `pg_restore` of the embedded server's wheel."""

import hashlib
import os
import subprocess
from pathlib import Path

from psycopg import sql

from storage.cluster import pg_ctl_path
from storage.database import Connection, Database
from storage.errors import AlreadyTaken, StorageError, UnreadableFile

ARCHIVE_START = b"PGDMP"
SEAL = b"tailor backup, sha256:"
SEAL_BYTES = len(SEAL) + hashlib.sha256().digest_size
BLOCK_BYTES = 1 << 20
MADE_BY_INIT = ("alembic_version", "signing_key")

_EMPTY = """
BEGIN;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
"""


def write_backup(database: Database, file: Path) -> int:
    """Write the database as of one moment to a file and return its size in bytes; others go on working.

    The file appears whole or not at all: it is written beside, and renamed when all of it is on the disk.
    It holds personal data and signing keys, and only its owner may read it.
    """
    partial = file.with_name(f".{file.name}.partial")
    try:
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as out:
            command = [_program("pg_dump"), "--format=custom", "--no-owner", "--no-privileges", database.url]
            _check(
                subprocess.run(command, check=False, stdout=out, stderr=subprocess.PIPE), f"back up to {file}"
            )
            # pg_restore does not always notice that an archive was cut off, nor that a byte was changed.
            out.seek(0, os.SEEK_END)
            out.write(SEAL + _digest(partial, until=out.tell()))
            out.flush()
            os.fsync(out.fileno())
        partial.replace(file)
    except OSError as error:
        raise StorageError(f"could not write the backup {file}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return file.stat().st_size


def restore_backup(database: Database, file: Path, *, force: bool = False) -> None:
    """Make the database what it was when the backup was written, in one transaction: wholly or not at all.

    Parameters
    ----------
    force
        Replace a database that holds something.

    Raises
    ------
    AlreadyTaken
        When the database holds something and `force` is not given.
    UnreadableFile
        When the file is no backup, or damaged; the database is as it was.
    """
    _check_archive(file)
    with database.connection() as connection:
        holds = _tables_with_rows(connection)
    if holds and not force:
        raise AlreadyTaken(
            f"the database is not empty: {', '.join(holds)}; add --force to replace all of it by {file}"
        )
    psql = [_program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={database.url}"]
    unpack = [_program("pg_restore"), "--no-owner", "--no-privileges", "--file=-", str(file)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with (
        subprocess.Popen(unpack, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as archive,
        subprocess.Popen(psql, stdin=subprocess.PIPE, **quiet) as server,  # type: ignore[call-overload]
    ):
        whole = _pump(archive, server)
        _, problem = server.communicate()
    if not whole:
        raise UnreadableFile(
            f"{file} is damaged or could not be restored, and nothing was changed: "
            f"{problem.decode(errors='replace').strip() or 'the archive ends too early'}"
        )
    _check(subprocess.CompletedProcess(psql, server.returncode, stderr=problem), f"restore {file}")


def _pump(archive: "subprocess.Popen[bytes]", server: "subprocess.Popen[bytes]") -> bool:
    """Feed the server; the COMMIT follows only when the archive was read to its end."""
    if archive.stdout is None or server.stdin is None:
        return False
    try:
        server.stdin.write(_EMPTY.encode())
        while block := archive.stdout.read(BLOCK_BYTES):
            server.stdin.write(block)
        whole = archive.wait() == 0
        server.stdin.write(b"COMMIT;\n" if whole else b"ROLLBACK;\n")
        server.stdin.flush()
    except BrokenPipeError:
        archive.kill()
        return False
    return whole


def _check_archive(file: Path) -> None:
    try:
        with file.open("rb") as archive:
            start = archive.read(len(ARCHIVE_START))
            length = file.stat().st_size - SEAL_BYTES
            archive.seek(max(length, 0))
            seal = archive.read()
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be read: {error}") from error
    if start != ARCHIVE_START:
        raise UnreadableFile(f"{file} is no backup; make one with: tailor backup FILE")
    if seal != SEAL + _digest(file, until=length):
        raise UnreadableFile(f"{file} is damaged; nothing was changed")


def _digest(file: Path, *, until: int) -> bytes:
    """SHA-256 of the first `until` bytes."""
    digest = hashlib.sha256()
    with file.open("rb") as archive:
        while until > 0 and (block := archive.read(min(BLOCK_BYTES, until))):
            digest.update(block)
            until -= len(block)
    return digest.digest()


def _tables_with_rows(connection: Connection) -> list[str]:
    names = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    ).fetchall()
    found = []
    for (name,) in names:
        query = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(name))
        row = connection.execute(query).fetchone()
        if name not in MADE_BY_INIT and row is not None and row[0]:
            found.append(name)
    return found


def _check(done: "subprocess.CompletedProcess[bytes]", what: str) -> None:
    if done.returncode != 0:
        raise StorageError(f"could not {what}: {done.stderr.decode(errors='replace').strip()}")


def _program(name: str) -> str:
    return str(pg_ctl_path().with_name(name))
