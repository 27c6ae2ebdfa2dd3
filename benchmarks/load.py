"""Load, by h2load (Debian: nghttp2-client; macOS: nghttp2) or from here. Not a benchmark itself."""

import asyncio
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
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
    return asyncio.run(_post_at_rate(url, body, headers=headers, per_second=per_second, seconds=seconds))


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
    parts = urlsplit(url)
    question = _question(url, body, headers)
    gaps = np.random.default_rng(0).exponential(1 / per_second, size=max(1, round(per_second * seconds)))
    opened: list[asyncio.StreamWriter] = []
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    milliseconds: list[float] = []

    async def ask(due: float) -> None:
        if free:
            reader, writer = free.pop()
        else:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            opened.append(writer)
        writer.write(question)
        status = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(status)
        if not status.startswith(b"HTTP/1.1 200 ") or length is None:
            raise RuntimeError(f"{url} answered {status.decode()}")
        await reader.readexactly(int(length[1]))
        milliseconds.append(1000 * (time.perf_counter() - due))
        free.append((reader, writer))

    started = time.perf_counter()
    try:
        async with asyncio.TaskGroup() as tasks:
            for due in (started + gaps.cumsum()).tolist():
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                tasks.create_task(ask(due))
    finally:
        for writer in opened:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in opened), return_exceptions=True)
    return Load(len(milliseconds) / (time.perf_counter() - started), np.array(milliseconds))


async def _post_each(
    url: str, bodies: Sequence[bytes], *, headers: Mapping[str, str], connections: int
) -> tuple[Load, list[bytes]]:
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    questions = iter([_question(url, body, headers) for body in bodies])
    opened = [
        await loop.create_connection(partial(_Sender, questions), parts.hostname or "", parts.port or 80)
        for _ in range(connections)
    ]
    senders = [sender for _, sender in opened]
    started = time.perf_counter()
    for sender in senders:
        sender.ask()
    try:
        await asyncio.gather(*(sender.done for sender in senders))
        seconds = time.perf_counter() - started
    finally:
        for sender in senders:
            sender.hang_up()
    milliseconds = np.concatenate([sender.milliseconds for sender in senders])
    answers = [answer for sender in senders for answer in sender.answers]
    return Load(len(answers) / seconds, milliseconds), answers


class _Sender(asyncio.Protocol):
    """One connection that takes question after question; `done` when none is left."""

    def __init__(self, questions: Iterator[bytes]) -> None:
        self.done = asyncio.get_running_loop().create_future()
        self.milliseconds: list[float] = []
        self.answers: list[bytes] = []
        self._questions = questions
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def ask(self) -> None:
        question = next(self._questions, None)
        if question is None:
            self.done.set_result(None)
            return
        self._asked = time.perf_counter()
        self._transport.write(question)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or (length is not None and len(body) < int(length[1])):
            return
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            self._fail(f"not a success: {head.decode()} {body.decode()}")
            return
        self.milliseconds.append(1000 * (time.perf_counter() - self._asked))
        self.answers.append(body)
        self._received = b""
        self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the server hung up: {exc}")

    def hang_up(self) -> None:
        self._transport.close()

    def _fail(self, why: str) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(why))


def _question(url: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    head = {"Host": parts.netloc, "Content-Length": str(len(body)), **headers}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
