"""The secrets that decisions are signed with; made by `storage.schema.migrate`, shared by all workers."""

import secrets

from storage.database import Connection

SECRET_BYTES = 32


def signing_keys(connection: Connection) -> list[bytes]:
    """Secrets that still count, oldest first: sign with the last, accept any."""
    rows = connection.execute("SELECT secret FROM signing_key WHERE retired_at IS NULL ORDER BY key_id")
    return [bytes(row[0]) for row in rows]


def add_signing_key(connection: Connection) -> None:
    """Sign with a new secret from now on; what older ones signed still counts."""
    connection.execute("INSERT INTO signing_key (secret) VALUES (%s)", (secrets.token_bytes(SECRET_BYTES),))


def retire_signing_keys(connection: Connection) -> int:
    """Stop accepting all secrets but the newest; returns how many."""
    return connection.execute(
        "UPDATE signing_key SET retired_at = now() WHERE retired_at IS NULL"
        " AND key_id < (SELECT max(key_id) FROM signing_key)"
    ).rowcount
