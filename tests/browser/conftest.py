"""A small network of the tests: pages of sites, and a service that records calls."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page

from serving.browser.tag import tag_source
from tests.browsing import PATIENCE_S


@dataclass
class Call:
    """One call to the service."""

    path: str
    body: Any
    headers: dict[str, str] = field(repr=False)


@dataclass
class Network:
    """Pages by host and path, and the service's answers; `down` means that the service hangs up."""

    port: int = 0
    pages: dict[tuple[str, str], str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Callable[[Any], Any]] = field(default_factory=dict)
    csp: str | None = None
    down: bool = False
    slow_s: float = 0.0
    calls: list[Call] = field(default_factory=list)

    @property
    def service(self) -> str:
        """The service's base."""
        return f"http://service.localhost:{self.port}/v1"

    def url(self, path: str = "/", host: str = "shop") -> str:
        """The address of a page."""
        return f"http://{host}.localhost:{self.port}{path}"

    def called(self, path: str) -> list[Call]:
        """Calls of one kind so far."""
        return [call for call in self.calls if call.path == f"/v1{path}"]

    def events(self) -> list[dict[str, Any]]:
        """All events that arrived."""
        return [event for call in self.called("/activity") for event in call.body["events"]]

    def until(self, what: Callable[[], Any], page: Page) -> Any:
        """Wait until `what` is true, letting the page go on."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := what()):
            assert time.monotonic() < deadline, f"did not come true; calls: {self.calls}"
            page.wait_for_timeout(20)
        return found


class _Handler(BaseHTTPRequestHandler):
    network: Network
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        host = self.headers["Host"].split(".")[0]
        path = self.path.split("?")[0]
        if path == "/v1/tag.js":
            self._answer(200, tag_source(), "text/javascript")
        elif path in self.network.scripts:
            self._answer(200, self.network.scripts[path].encode(), "text/javascript")
        elif (html := self.network.pages.get((host, path))) is not None:
            self._answer(200, html.encode(), "text/html; charset=utf-8")
        elif path.endswith(".svg"):
            self._answer(200, SVG, "image/svg+xml")
        else:
            self._answer(404, b"", "text/plain")

    def do_OPTIONS(self) -> None:
        if self.network.down:
            return self._hang_up()
        return self._answer(204, b"", "text/plain")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        if self.network.down:
            return self._hang_up()
        time.sleep(self.network.slow_s)
        body = json.loads(raw)
        self.network.calls.append(Call(self.path, body, {k.lower(): v for k, v in self.headers.items()}))
        answer = self.network.answers[self.path.removeprefix("/v1")](body)
        status, answer = answer if isinstance(answer, tuple) else (200, answer)
        return self._answer(status, json.dumps(answer).encode(), "application/json")

    def _hang_up(self) -> None:
        self.close_connection = True

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if content_type.startswith("text/html"):
            if self.network.csp:
                self.send_header("Content-Security-Policy", self.network.csp)
        elif origin := self.headers.get("Origin"):
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header("Access-Control-Allow-Credentials", "true")
            self.send_header("Access-Control-Allow-Headers", "authorization, content-type")
        self.end_headers()
        self.wfile.write(body)


SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="320" height="90"><rect width="320" height="90" '
    b'fill="teal"/></svg>'
)


@pytest.fixture
def network() -> Iterator[Network]:
    """The network, with a service that stores everything and has nothing to offer."""
    network = Network()
    network.answers = {
        "/activity": lambda body: {
            "stored": len(body["events"]),
            "events": [{"event_id": one["event_id"], "status": "stored"} for one in body["events"]],
        },
        "/decisions": lambda _: {"strategy": "none", "promotion": None, "reason": "nothing to offer"},
        "/consent": lambda body: {"purposes": body["purposes"], "identifier": body.get("identifier")},
        "/links": lambda _: {"token": uuid4().hex, "expires_at": "2099-01-01T00:00:00Z"},
        "/identities": lambda _: {"merged": True},
        "/me/links": lambda _: {"url": network.url("/me", host="service"), "expires_at": None},
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"network": network}))
    server.daemon_threads = True
    network.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield network
    server.shutdown()
    server.server_close()
    thread.join()
