"""The log of which model served when; what rollback reads and workers follow."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from storage.database import Connection

Action = Literal["promote", "rollback"]
CHAMPION_LOCK = 0x6368616D70  # "champ": one change of champion at a time


@dataclass(frozen=True, slots=True)
class Champion:
    """A model version that may serve: where its bundle lies and the digest that the bundle must have."""

    version: str
    model_kind: str
    digest: str
    location: str


@dataclass(frozen=True, slots=True)
class ChampionEntry:
    """One change of champion."""

    entry_id: int
    champion: Champion
    action: Action
    actor: str
    at: datetime

    def columns(self) -> dict[str, Any]:
        """What a table tells of it, as narrow as a terminal."""
        return {
            "version": self.champion.version,
            "model": self.champion.model_kind,
            "digest": self.champion.digest[:12],
            "by": self.action,
            "who": self.actor,
            "live since": self.at,
        }


def record_champion(connection: Connection, champion: Champion, *, action: Action, actor: str) -> bool:
    """Note that `champion` serves from now on; False when the newest entry says so already.

    Several may notice the same change (a command and the watcher): it is noted once.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (CHAMPION_LOCK,))
    current = current_champion(connection)
    if current is not None and (current.version, current.digest) == (champion.version, champion.digest):
        return False
    connection.execute(
        "INSERT INTO champion_log (version, model_kind, digest, location, action, actor)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (champion.version, champion.model_kind, champion.digest, champion.location, action, actor),
    )
    return True


def current_champion(connection: Connection) -> Champion | None:
    """The model that serves now; None before the first promotion."""
    row = connection.execute(
        "SELECT version, model_kind, digest, location FROM champion_log ORDER BY entry_id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Champion(*row)


def previous_champion(connection: Connection) -> Champion | None:
    """The model that a rollback brings back; None when there is none left."""
    stack = serving_stack(champion_history(connection))
    return stack[-2] if len(stack) > 1 else None


def champion_history(connection: Connection) -> list[ChampionEntry]:
    """Every change, oldest first."""
    rows = connection.execute(
        "SELECT entry_id, version, model_kind, digest, location, action, actor, at"
        " FROM champion_log ORDER BY entry_id"
    )
    return [ChampionEntry(row[0], Champion(*row[1:5]), *row[5:]) for row in rows]


def serving_stack(history: Iterable[ChampionEntry]) -> list[Champion]:
    """The champions one can go back through, the current one last.

    A promotion puts its model on top and a rollback takes the top away, so two rollbacks in a row go back two
    steps instead of to and fro.
    """
    stack: list[Champion] = []
    for entry in history:
        if entry.action == "promote":
            stack.append(entry.champion)
            continue
        if stack:
            stack.pop()
        if not stack or stack[-1] != entry.champion:
            stack.append(entry.champion)  # the log began in the middle: believe what it says served
    return stack
