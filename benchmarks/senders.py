"""Clients that send batches of events to a server until each is acknowledged, whatever happens to it."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import numpy as np

from benchmarks.numbered import Numbers, as_requests

N_CONNECTIONS = 4
_AGAIN_EVERY = 20
_PAUSE_S = 0.02
_TIMEOUT_S = 30.0


class Ledger:
    """What is to be sent, and what the server has said about it.

    Attributes
    ----------
    acknowledged, told_stored
        How often each number was answered, and how often with "stored".
    n_sent
        Events that reached the server or may have, again and again.
    n_unanswered
        Of those, how many were cut off from their answer: stored or not, nobody knows.
    """

    def __init__(self, batches: Sequence[Numbers], n_numbers: int) -> None:
        self.acknowledged = np.zeros(n_numbers, dtype=np.int64)
        self.told_stored = np.zeros(n_numbers, dtype=np.int64)
        self.n_sent = self.n_unanswered = self.n_batches_acknowledged = 0
        self.problem: str | None = None
        self._waiting = deque(batches)
        self._on_the_way = 0
        self._lock = threading.Lock()

    @property
    def all_acknowledged(self) -> bool:
        """Whether there is nothing left to send."""
        with self._lock:
            return not self._waiting and self._on_the_way == 0

    def take(self) -> Numbers | None:
        """The next batch, if there is one."""
        with self._lock:
            if not self._waiting:
                return None
            self._on_the_way += 1
            return self._waiting.popleft()

    def give_back(self, batch: Numbers, *, reached: bool) -> None:
        """It was not acknowledged; if it may have reached the server, perhaps it was stored."""
        with self._lock:
            self._on_the_way -= 1
            self.n_sent += len(batch) * reached
            self.n_unanswered += len(batch) * reached
            self._waiting.appendleft(batch)

    def acknowledge(self, batch: Numbers, statuses: Sequence[str]) -> None:
        """Every event of the batch was answered. Now and then a client misses that, and sends it again."""
        with self._lock:
            self._on_the_way -= 1
            self.n_sent += len(batch)
            np.add.at(self.acknowledged, batch, 1)
            np.add.at(self.told_stored, batch[np.array(statuses) == "stored"], 1)
            self.n_batches_acknowledged += 1
            if self.n_batches_acknowledged % _AGAIN_EVERY == 0:
                self._waiting.append(batch)


@contextmanager
def sending(ledger: Ledger, url: str, *, key: str) -> Iterator[None]:
    """Send what is in the ledger over several connections while the block runs.

    Raises
    ------
    RuntimeError
        At the end, when the server refused a batch or quarantined an event.
    """
    stop = threading.Event()
    threads = [
        threading.Thread(target=_send, args=(ledger, url, key, stop), daemon=True)
        for _ in range(N_CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if ledger.problem is not None:
        raise RuntimeError(ledger.problem)


def _send(ledger: Ledger, url: str, key: str, stop: threading.Event) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(timeout=_TIMEOUT_S, headers=headers) as client:
        while ledger.problem is None and not stop.is_set():
            if (batch := ledger.take()) is None:
                stop.wait(_PAUSE_S)
            else:
                _post(ledger, client, url, batch)


def _post(ledger: Ledger, client: httpx.Client, url: str, batch: Numbers) -> None:
    """Send one batch and enter what became of it."""
    try:
        answer = client.post(f"{url}/v1/activity", json={"events": as_requests(batch)})
    except httpx.TransportError as error:
        ledger.give_back(batch, reached=not isinstance(error, httpx.ConnectError))
        time.sleep(_PAUSE_S)
        return
    if answer.status_code == 503:
        ledger.give_back(batch, reached=True)
        time.sleep(_PAUSE_S)
        return
    statuses = [str(event["status"]) for event in answer.json().get("events", [])]
    if len(statuses) != len(batch) or "quarantined" in statuses:
        ledger.problem = f"{len(batch)} good events were answered {answer.status_code}: {answer.text[:500]}"
        return
    ledger.acknowledge(batch, statuses)
