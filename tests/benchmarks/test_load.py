"""The load that decisions are measured with."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.load import NoGenerator, post, post_at_rate, post_each
from benchmarks.report import run


@pytest.fixture
def answering():
    """A server that answers what it is told to; (URL, how to say it)."""
    told = {"status": 200, "asked": 0, "bodies": [], "patience_s": None}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            self.timeout = told["patience_s"]
            super().setup()

        def do_POST(self):
            told["bodies"].append(self.rfile.read(int(self.headers["content-length"])))
            told["asked"] += 1
            self.send_response(told["status"])
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/x", told
        server.shutdown()
        thread.join()


def test_a_rate_is_kept_and_every_answer_timed(answering):
    url, told = answering
    load = post_at_rate(url, b"{}", headers={}, per_second=200, seconds=0.5)
    assert told["asked"] == len(load.milliseconds) == 100
    assert 0 < load.percentile(50) <= load.percentile(99)


def test_who_was_hung_up_on_for_asking_nothing_calls_again(answering):
    url, told = answering
    told["patience_s"] = 0.02
    load = post_at_rate(url, b"{}", headers={}, per_second=10, seconds=1)
    assert told["asked"] == len(load.milliseconds) == 10


def test_an_answer_that_is_no_success_ends_it(answering):
    url, told = answering
    told["status"] = 503
    with pytest.raises(ExceptionGroup) as raised:
        post_at_rate(url, b"{}", headers={}, per_second=200, seconds=0.1)
    assert "503 Service Unavailable" in str(raised.value.exceptions[0])


def test_each_body_is_sent_once_over_few_connections(answering):
    url, told = answering
    bodies = [b"%d" % number for number in range(50)]
    load, answers = post_each(url, bodies, headers={}, connections=3)
    assert sorted(told["bodies"]) == sorted(bodies)
    assert answers == [b"{}"] * len(load.milliseconds) == [b"{}"] * 50


def test_an_answer_to_one_of_many_bodies_that_is_no_success_ends_it(answering):
    url, told = answering
    told["status"] = 503
    with pytest.raises(RuntimeError, match="503 Service Unavailable"):
        post_each(url, [b"{}"], headers={}, connections=1)


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
