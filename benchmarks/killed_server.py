"""`tailor serve` under ingestion over several connections, killed at random moments and started again."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.kills import kill_database, kill_family
from benchmarks.numbered import SITES, Count, Numbers, compare
from benchmarks.senders import Ledger, sending
from benchmarks.stage import server
from storage.database import open_database
from storage.settings import Settings
from storage.subscribers import add_subscriber, issue_key

EVENTS_A_BATCH = 200
_PATIENCE_S = 120.0
_LONGEST_PAUSE_S = 0.1
SERVER, WITH_DATABASE = "server", "server and database"
#: The server lives on until it has started its database again.
AFTER_DATABASE = "database, then server"


@dataclass(frozen=True)
class Answered:
    """How often what was killed, what the clients were told, and what is there.

    Attributes
    ----------
    sent, unanswered
        Events, again and again; and how many of them were cut off from their answer.
    acknowledged
        Distinct events that were answered "stored" or "duplicate".
    lost_after_kill
        Of those acknowledged before a kill, how many were not there after it; all kills together.
    told_stored_twice
        Events that were answered "stored" more than once.
    """

    kills: int
    database_kills: int
    sent: int
    unanswered: int
    acknowledged: int
    lost_after_kill: int
    told_stored_twice: int
    count: Count


def killed_server(
    home: Path,
    rows: Numbers,
    random: np.random.Generator,
    *,
    kills: Sequence[str],
    expected: Numbers,
    killed: Callable[[], object] = lambda: None,
) -> Answered:
    """Send events to a server that is killed now and then, what was not acknowledged again; then look.

    Parameters
    ----------
    home
        Where the embedded database is; with our tables.
    rows
        Numbers of the events in the order in which they are sent.
    kills
        What is killed each time: `SERVER`, `WITH_DATABASE` or `AFTER_DATABASE`.
    expected
        How often each number should be there in the end.
    killed
        Called after each kill.
    """
    batches = np.array_split(rows, -(-len(rows) // EVENTS_A_BATCH))
    ledger, key = Ledger(batches, len(expected)), _key(home)
    n_database_kills = lost = 0
    moments = sorted(random.integers(0, len(batches), len(kills)).tolist())
    for victims, moment in zip(kills, moments, strict=True):
        with serving(home) as (process, url):
            lost += _compare(home, np.minimum(ledger.acknowledged, 1)).lost
            with sending(ledger, url, key=key):
                _wait(ledger, process, n_batches=moment)
                time.sleep(random.uniform(0, _LONGEST_PAUSE_S))
                n_database_kills += _kill(home, process, ledger, victims=victims)
        killed()
    with serving(home) as (process, url):
        lost += _compare(home, np.minimum(ledger.acknowledged, 1)).lost
        with sending(ledger, url, key=key):
            _wait(ledger, process)
    return Answered(
        kills=len(kills),
        database_kills=n_database_kills,
        sent=ledger.n_sent,
        unanswered=ledger.n_unanswered,
        acknowledged=int((ledger.acknowledged > 0).sum()),
        lost_after_kill=lost,
        told_stored_twice=int(np.maximum(ledger.told_stored - 1, 0).sum()),
        count=_compare(home, expected),
    )


def serving(home: Path) -> AbstractContextManager[tuple["subprocess.Popen[bytes]", str]]:
    """`tailor serve`, as soon as it has its database."""
    return server(home, is_ready=lambda answer: bool(answer.json()["database"]))


def _kill(home: Path, process: "subprocess.Popen[bytes]", ledger: Ledger, *, victims: str) -> bool:
    """Kill them; returns whether a database was among them."""
    database = victims != SERVER and kill_database(home)
    if victims == AFTER_DATABASE:
        _wait(ledger, process, n_batches=ledger.n_batches_acknowledged + 1)
    if not kill_family(process):
        raise RuntimeError(f"the server ended by itself with exit code {process.returncode}")
    return database


def _wait(ledger: Ledger, process: "subprocess.Popen[bytes]", *, n_batches: int = sys.maxsize) -> None:
    """Until so many batches or all of them are acknowledged, as long as one or another is."""
    before, deadline = -1, 0.0
    while ledger.n_batches_acknowledged < n_batches and not ledger.all_acknowledged:
        if ledger.problem is not None or process.poll() is not None:
            raise RuntimeError(ledger.problem or f"the server ended with exit code {process.returncode}")
        if ledger.n_batches_acknowledged > before:
            before, deadline = ledger.n_batches_acknowledged, time.monotonic() + _PATIENCE_S
        elif time.monotonic() > deadline:
            raise RuntimeError(f"no batch was acknowledged for {_PATIENCE_S:g} s")
        time.sleep(0.002)


def _key(home: Path) -> str:
    with open_database(Settings(TAILOR_HOME=home)) as database, database.connection() as connection:
        add_subscriber(connection, "clicks", name="Clicks", sites=SITES, legal_basis="contract")
        return issue_key(connection, "clicks", kind="secret")


def _compare(home: Path, expected: Numbers) -> Count:
    with open_database(Settings(TAILOR_HOME=home)) as database:
        return compare(database, expected)
