"""A real Chromium, and two sites for it: pages of `books` and `kitchen` with the tag of the real service."""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from string import Template
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.service import Service

PATIENCE_S = 15.0
NAMES = ("chromium", "chromium-browser", "google-chrome")
SITES = ("books", "kitchen")
NewPerson = Callable[..., BrowserContext]
OWNERS = {"books": "pages", "kitchen": "pans"}


def find_chromium() -> str | None:
    """The browser to test in: CHROMIUM_PATH, or the first of the usual names."""
    return os.environ.get("CHROMIUM_PATH") or next(filter(None, map(shutil.which, NAMES)), None)


# Of a module, not of the session: while Playwright runs, no other test could start an event loop.
@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What drives the browser; without one the tests are skipped, unless the environment forbids it."""
    if find_chromium() is None:
        reason = f"no Chromium: none of {', '.join(NAMES)} is on PATH; install one or set CHROMIUM_PATH"
        if os.environ.get("CI_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{reason} (CI_REQUIRE_BROWSER=1)")
        pytest.skip(reason)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """A browser whose profiles are private windows, which keep third parties' cookies from pages."""
    browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def new_person(playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewPerson]:
    """Makes browsers of their own, as people have them: a fresh profile, no cookies, no cache."""
    opened: list[BrowserContext] = []

    def make(*, gpc: bool = False) -> BrowserContext:
        profile = tmp_path_factory.mktemp("profile")
        # As Chromium has it; Debian's blocks the cookies of third parties.
        preferences = {"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}}
        (profile / "Default").mkdir()
        (profile / "Default" / "Preferences").write_text(json.dumps(preferences))
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=find_chromium(),
            args=["--no-sandbox"],
            extra_http_headers={"Sec-GPC": "1"} if gpc else {},
        )
        context.set_default_timeout(PATIENCE_S * 1000)
        if gpc:
            context.add_init_script(
                "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', { get: () => true })"
            )
        opened.append(context)
        return context

    yield make
    for context in opened:
        context.close()


@pytest.fixture
def context(new_person: NewPerson) -> BrowserContext:
    """One profile."""
    return new_person()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """An empty page."""
    return context.new_page()


@dataclass
class Shops:
    """The two sites, as people see them."""

    service: Service
    port: int
    tag: str

    def url(self, site: str, item: str = "") -> str:
        """The address of a page."""
        return f"http://{site}.localhost:{self.port}/{item}"

    def visit(self, page: Page, site: str, item: str = "") -> None:
        """Open a page and wait until the tag has asked for a promotion."""
        with page.expect_response(lambda answer: answer.url.endswith("/v1/decisions")):
            page.goto(self.url(site, item))

    def say(self, page: Page, *purposes: str) -> None:
        """Answer the banner, and wait until the service knows."""
        with page.expect_response(lambda answer: answer.url.endswith("/v1/decisions")):
            page.evaluate("purposes => tailor('consent', purposes)", list(purposes))

    def agree(self, page: Page) -> None:
        """Agree to everything."""
        self.say(page, "same_site", "cross_site")

    def shown(self, page: Page) -> str:
        """The text of the promotion that is shown."""
        title = page.locator(".tailor-title")
        title.wait_for()
        return title.inner_text()

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What a query finds in the service's database."""
        with psycopg.connect(self.service.database_url) as connection:
            return connection.execute(query, values or None).fetchall()

    def until(self, what: Callable[[], Any], page: Page) -> Any:
        """Wait until `what` is true, letting the page go on."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := what()):
            assert time.monotonic() < deadline, f"did not come true\n{self.service.log.read_text()}"
            page.wait_for_timeout(20)
        return found

    def visitor(self, page: Page) -> str:
        """The visitor id in the cookie of the site that the page is of."""
        return str(
            page.evaluate(
                "JSON.parse(atob(document.cookie.match(/tailor_activity=([^;]*)/)[1]"
                ".replace(/-/g, '+').replace(/_/g, '/'))).id"
            )
        )


PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$site</title>$meta
<link rel="icon" href="data:,">
<script>
window.tailor = window.tailor || function () { (tailor.q = tailor.q || []).push(arguments); };
</script>
<script async src="$tag" data-site="$site" data-key="$key" data-placement="hero"></script>
</head><body>
<h1>$site</h1>
<div data-tailor="hero">Nothing for you</div>
<a id="other" href="$other_url" data-tailor-site="$other">the other shop</a>
</body></html>
""")


@pytest.fixture(scope="module")
def shops(service: Service) -> Iterator[Shops]:
    """The two sites on origins of their own, known to the service."""
    tag = f"http://tailor.localhost:{urlsplit(service.url).port}/v1/tag.js"
    keys = {"books": service.keys.pages_public, "kitchen": service.keys.pans_public}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            site = self.headers["Host"].split(".")[0]
            other = next(one for one in SITES if one != site)
            item = urlsplit(self.path).path.strip("/")
            body = PAGE.substitute(
                site=site,
                key=keys[site],
                tag=tag,
                meta=f'<meta name="tailor:item" content="{item}">' if item else "",
                other=other,
                other_url=shops.url(other),
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    shops = Shops(service, server.server_address[1], tag)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with psycopg.connect(service.database_url, autocommit=True) as connection:
        for site, owner in OWNERS.items():
            connection.execute(
                "UPDATE subscriber SET allowed_origins = allowed_origins || %s WHERE subscriber_id = %s",
                ([shops.url(site).rstrip("/")], owner),
            )
    for site, key in keys.items():
        origin = shops.url(site).rstrip("/")

        def is_known(key: str = key, site: str = site, origin: str = origin) -> bool:
            asked = service.call(
                "POST", "/v1/decisions", key=key, json={"site_id": site}, headers={"Origin": origin}
            )
            return asked.status_code == 200

        service.until(is_known)
    yield shops
    server.shutdown()
    server.server_close()
    thread.join()
