"""The load that decisions are measured with."""

import asyncio
import threading

import pytest

from benchmarks.load import NoGenerator, post, post_at_rate
from benchmarks.report import run


@pytest.fixture
def answering():
    """A server that answers what it is told to; (URL, how to say it)."""
    told = {"status": "200 OK", "asked": 0}

    async def answer(reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                told["asked"] += 1
                writer.write(f"HTTP/1.1 {told['status']}\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        except asyncio.IncompleteReadError:
            writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    port = server.sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/x", told
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    server.close()
    loop.close()


def test_a_rate_is_kept_and_every_answer_timed(answering):
    url, told = answering
    load = post_at_rate(url, b"{}", headers={}, per_second=200, seconds=0.5)
    assert told["asked"] == len(load.milliseconds) == 100
    assert 0 < load.percentile(50) <= load.percentile(99)


def test_an_answer_that_is_no_success_ends_it(answering):
    url, told = answering
    told["status"] = "503 Busy"
    with pytest.raises(ExceptionGroup) as raised:
        post_at_rate(url, b"{}", headers={}, per_second=200, seconds=0.1)
    assert "503 Busy" in str(raised.value.exceptions[0])


def test_without_a_generator_a_benchmark_says_that_it_was_not_measured(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoGenerator, match="nghttp2"):
        post("http://127.0.0.1:9", b"", headers={}, connections=1, seconds=1)
    figures = run(
        "example",
        [],
        about=None,
        options=lambda _: None,
        measure=lambda _: post("http://127.0.0.1:9", b"", headers={}, connections=1, seconds=1),
        table=lambda _: (),
    )
    assert figures == {}
    assert "was NOT measured: h2load is not installed" in capsys.readouterr().err
