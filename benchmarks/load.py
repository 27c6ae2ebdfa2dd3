"""Load, by h2load (Debian: nghttp2-client; macOS: nghttp2) or from here. Not a benchmark itself."""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import uvloop

from benchmarks.report import NotMeasured

_DONE = re.compile(r"finished in [\d.]+m?s, ([\d.]+) req/s")
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_CODES = re.compile(r"status codes: \d+ 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx")
_GRACE_S = 60.0


class NoGenerator(NotMeasured):
    """h2load is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "h2load is not installed; it comes with nghttp2 (Debian: apt install nghttp2-client)"
        )


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it: answers a second, and of each answer the milliseconds, float64[n]."""

    per_second: float
    milliseconds: np.ndarray

    def percentile(self, q: float) -> float:
        """Milliseconds that q of 100 answers took at most."""
        return float(np.percentile(self.milliseconds, q))


def find_generator() -> str:
    """Where h2load is; raises `NoGenerator`."""
    h2load = shutil.which("h2load")
    if h2load is None:
        raise NoGenerator
    return h2load


def post(url: str, body: bytes, *, headers: Mapping[str, str], connections: int, seconds: float) -> Load:
    """POST the same body over kept connections, on each again as soon as there is an answer.

    Raises
    ------
    NoGenerator, or RuntimeError when a single answer was not a 2xx.
    """
    h2load = find_generator()
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder) / "body", Path(folder) / "log"
        data.write_bytes(body)
        command = [h2load, "--h1", f"-c{connections}", f"-d{data}", f"--log-file={log}"]
        command += [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
        command += [f"-D{max(1, round(seconds))}", url]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + _GRACE_S)
        answers = np.loadtxt(log, usecols=(1, 2), ndmin=2)
    rate, codes = _DONE.search(done.stdout), _CODES.search(done.stdout)
    if rate is None or codes is None:
        raise RuntimeError(f"h2load says something unknown: {done.stdout}")
    # The log lacks an answer that came while h2load stopped, so that the two are not compared.
    if not len(answers) or (answers[:, 0] // 100 != 2).any() or any(map(int, codes.groups())):
        raise RuntimeError(f"not every answer of {url} was a success: {codes[0]} of {len(answers)}")
    return Load(float(rate[1]), answers[:, 1] / 1000)


def post_at_rate(
    url: str, body: bytes, *, headers: Mapping[str, str], per_second: float, seconds: float
) -> Load:
    """POST the same body at random moments, so many a second whatever the answers take (open loop).

    An answer's time is counted from when it was due to be asked for. h2load's `--rps` is not this: all of its
    connections ask in the same moments.

    Raises
    ------
    RuntimeError when a single answer was not a 200.
    """
    return uvloop.run(_post_at_rate(url, body, headers=headers, per_second=per_second, seconds=seconds))


def post_each(
    url: str, bodies: Sequence[bytes], *, headers: Mapping[str, str], connections: int
) -> tuple[Load, list[bytes]]:
    """POST each of the bodies once over kept connections, on each the next as soon as there is an answer.

    Returns
    -------
    The load, and the bodies of the answers in the order in which they came.

    Raises
    ------
    RuntimeError when a single answer was not a 200.
    """
    return uvloop.run(_post_each(url, bodies, headers=headers, connections=connections))


async def _post_at_rate(
    url: str, body: bytes, *, headers: Mapping[str, str], per_second: float, seconds: float
) -> Load:
    loop, question = asyncio.get_running_loop(), _question(url, body, headers)
    gaps = np.random.default_rng(0).exponential(1 / per_second, size=max(1, round(per_second * seconds)))
    free: list[_Connection] = []
    opened: list[_Connection] = []
    milliseconds: list[float] = []

    async def ask(due: float) -> None:
        # Servers hang up on who asks nothing for some seconds.
        while free and free[-1].is_closed:
            free.pop()
        connection = free.pop() if free else await _connect(url, opened)
        await connection.ask(question)
        milliseconds.append(1000 * (loop.time() - due))
        free.append(connection)

    started = loop.time()
    try:
        async with asyncio.TaskGroup() as tasks:
            for due in (started + gaps.cumsum()).tolist():
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                tasks.create_task(ask(due))
    finally:
        for connection in opened:
            connection.hang_up()
    return Load(len(milliseconds) / (loop.time() - started), np.array(milliseconds))


async def _post_each(
    url: str, bodies: Sequence[bytes], *, headers: Mapping[str, str], connections: int
) -> tuple[Load, list[bytes]]:
    questions = iter([_question(url, body, headers) for body in bodies])
    answers: list[bytes] = []
    milliseconds: list[float] = []
    opened: list[_Connection] = []

    async def ask(connection: _Connection) -> None:
        for question in questions:
            asked = time.perf_counter()
            answers.append(await connection.ask(question))
            milliseconds.append(1000 * (time.perf_counter() - asked))

    try:
        for _ in range(connections):
            await _connect(url, opened)
        started = time.perf_counter()
        await asyncio.gather(*map(ask, opened))
        seconds = time.perf_counter() - started
    finally:
        for connection in opened:
            connection.hang_up()
    return Load(len(answers) / seconds, np.array(milliseconds)), answers


async def _connect(url: str, opened: "list[_Connection]") -> "_Connection":
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    _, connection = await loop.create_connection(_Connection, parts.hostname or "", parts.port or 80)
    opened.append(connection)
    return connection


class _Connection(asyncio.Protocol):
    """One kept connection, with one question at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._told: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def ask(self, question: bytes) -> "asyncio.Future[bytes]":
        """The body of the answer; RuntimeError where it is no 200."""
        self._told = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        return self._told

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length is not None and len(body) < int(length[1])):
            return
        self._received = b""
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            self._fail(f"not a success: {head.decode()} {body.decode()}")
        elif self._told is not None and not self._told.done():
            self._told.set_result(body)

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be asked any more."""
        return bool(self._transport.is_closing())

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server hung up: {exc}")

    def hang_up(self) -> None:
        self._transport.close()

    def _fail(self, why: str) -> None:
        if self._told is not None and not self._told.done():
            self._told.set_exception(RuntimeError(why))


def _question(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    head = {"Host": parts.netloc, "Content-Length": str(len(body)), **headers}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
