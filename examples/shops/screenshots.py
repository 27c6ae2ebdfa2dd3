"""`make screenshots`: visit both shops as a customer would, and keep pictures of it in docs/images/.

Works on the demo's data in the home of the checkout (`TAILOR_HOME`); where there are none yet, it loads them
and trains first. What the visits leave behind is erased at the end.
"""

import functools
import io
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import BrowserContext, Locator, Page, expect, sync_playwright
from rich.console import Console

from examples.complete_journey.demo import run, serve
from examples.complete_journey.story import wait_until_ready
from examples.shops.shop import ShopFront
from examples.shops.street import open_shops
from storage.champions import current_champion
from storage.database import Database, open_database
from storage.schema import migrate
from storage.settings import Settings, read_settings

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES: Mapping[str, Any] = {
    "wide": {"viewport": {"width": 1280, "height": 860}},
    "narrow": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5},
}
LIKED = "taco-night"
LARGEST_BYTES = 300_000

console = Console(stderr=True)


def main() -> None:
    """Make all pictures."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"no browser: none of {', '.join(BROWSERS)} is on PATH")
    settings = read_settings()
    IMAGES.mkdir(parents=True, exist_ok=True)
    with open_database(settings) as database:
        migrate(database)
        _make_ready(database, settings)
        port = _free_port()
        with serve(port) as url, open_shops(database, service_port=port) as shops, sync_playwright() as p:
            wait_until_ready(url)
            chromium = p.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            for size, window in SIZES.items():
                context = chromium.new_context(**window, reduced_motion="reduce")
                visit(
                    context,
                    shops["grocery"],
                    shops["produce"],
                    keep=functools.partial(_keep, size),
                )
                context.close()
            chromium.close()


def visit(
    context: BrowserContext,
    larder: ShopFront,
    barrow: ShopFront,
    *,
    keep: Callable[[Page | Locator, str], None],
) -> None:
    """Go through both shops and the visitor's own page, keeping a picture of each stage."""
    page = context.new_page()
    page.goto(larder.origin)
    _settled(page)
    keep(page, "banner")
    page.get_by_role("button", name="Accept all").click()
    _settled(page)
    keep(page, "larder")
    liked = [product for product in larder.products if product.shelf.slug == LIKED]
    for product in liked[:3]:
        page.goto(f"{larder.origin}/product/{product.item_id}")
        _settled(page)
    keep(page, "product")
    page.get_by_role("link", name=barrow.brand.name).first.click()
    page.wait_for_url(f"{barrow.origin}/**")
    page.get_by_role("button", name="Accept all").click()
    expect(page.locator("[data-offer-note]")).to_have_text("Picked for you")
    _settled(page)
    keep(page, "barrow")
    page.get_by_text("Why this?").click()
    keep(page.locator(".offer"), "why")
    page.get_by_role("button", name="Your data").first.click()
    page.wait_for_url("**/me/**")
    keep(page, "me")
    page.get_by_role("checkbox").check()
    page.get_by_role("button", name="Erase").click()
    page.wait_for_load_state()


def _settled(page: Page) -> None:
    """Wait until the offer and all pictures in view are there."""
    page.locator(".tailor-title").wait_for()
    page.mouse.move(0, 0)
    page.wait_for_load_state("networkidle")


def _make_ready(database: Database, settings: Settings) -> None:
    with database.connection() as connection:
        ready = current_champion(connection) is not None
    if not ready:
        console.print("No champion in this home yet: loading the demo's data and training first.")
        run(database, settings, port=_free_port(), stay=False, say=console, progress=_quiet)


@contextmanager
def _quiet() -> Any:
    yield lambda _stage, _done, _total: None


def _keep(size: str, shown: Page | Locator, name: str) -> None:
    """Save what the window or a part of it shows, as small as it can be without loss."""
    picture = Image.open(io.BytesIO(shown.screenshot()))
    file = IMAGES / f"{name}-{size}.png"
    picture.convert("RGB").save(file, optimize=True)
    n_bytes = file.stat().st_size
    if n_bytes > LARGEST_BYTES:
        sys.exit(f"{file} has {n_bytes:,} bytes, more than {LARGEST_BYTES:,}")
    console.print(f"{file.relative_to(IMAGES.parents[1])}: {n_bytes:,} bytes", highlight=False)


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


if __name__ == "__main__":
    main()
