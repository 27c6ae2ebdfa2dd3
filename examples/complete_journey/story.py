"""The story over HTTP: a promotion on one site, activity on another, and the promotion it turns into."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import uuid4

import httpx
from rich.markup import escape

READY_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Story:
    """Who visits what: a real household, and products of one kind on the first site."""

    consumer_id: str
    shown_on: str
    acts_on: str
    what: str
    item_ids: tuple[str, ...]


STORY = Story(
    consumer_id="1460",
    shown_on="grocery",
    acts_on="drug-gm",
    what="diapers",
    item_ids=("7147145", "7154535", "879194", "964717", "1061228", "1072086"),
)


class Say(Protocol):
    """What the story needs of a console."""

    def print(self, *parts: Any, **options: Any) -> None: ...


def wait_until_ready(url: str, *, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Wait until the service decides with a champion.

    Raises
    ------
    TimeoutError
        With what the service last said about itself.
    """
    last = "no answer"
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            health = httpx.get(f"{url}/v1/health", timeout=2).json()
            if health.get("ready") and health.get("champion"):
                return
            last = "; ".join(health.get("reasons", [])) or str(health)
        except (httpx.HTTPError, ValueError) as error:
            last = str(error)
        time.sleep(0.1)
    raise TimeoutError(f"the service at {url} was not ready after {timeout_s:g} s: {last}")


def play(url: str, keys: Mapping[str, str], *, say: Say) -> dict[str, Any]:
    """Ask, act, ask again; returns the second decision as the service gave it."""
    with httpx.Client(base_url=url, timeout=10) as http:
        say.print(f"Household {STORY.consumer_id} visits the site [bold]{STORY.shown_on}[/]:")
        before = _ask(http, keys)
        _tell(before, say=say)
        say.print(
            f"\nThe same household visits [bold]{STORY.acts_on}[/], another site: "
            f"views {len(STORY.item_ids)} pages of {STORY.what} and looks into the products."
        )
        _act(http, keys)
        say.print(f"\nA moment later it is back on [bold]{STORY.shown_on}[/]:")
        after = _ask(http, keys)
        _tell(after, say=say)
        _compare(before, after, say=say)
    return after


def _ask(http: httpx.Client, keys: Mapping[str, str]) -> dict[str, Any]:
    answer = http.post(
        "/v1/decisions",
        json={"consumer_id": STORY.consumer_id, "site_id": STORY.shown_on},
        headers={"Authorization": f"Bearer {keys[STORY.shown_on]}"},
    )
    return dict(answer.raise_for_status().json())


def _act(http: httpx.Client, keys: Mapping[str, str]) -> None:
    now = datetime.now(UTC).isoformat()
    events = [
        {
            "event_id": str(uuid4()),
            "consumer_id": STORY.consumer_id,
            "site_id": STORY.acts_on,
            "item_id": item_id,
            "kind": kind,
            "occurred_at": now,
            "consent": ["same_site", "cross_site"],
        }
        for item_id in STORY.item_ids
        for kind in ("page_view", "product_review")
    ]
    answer = http.post(
        "/v1/activity", json={"events": events}, headers={"Authorization": f"Bearer {keys[STORY.acts_on]}"}
    )
    answer.raise_for_status()


def _tell(decision: Mapping[str, Any], *, say: Say) -> None:
    promotion = decision["promotion"]
    if promotion is None:
        say.print(f"  no promotion: {decision['reason']}")
        return
    what, how = escape(promotion["title"]), escape(f"{decision['strategy']}, {promotion['promotion_id']}")
    say.print(f"  [bold green]{what}[/]  [dim]({how})[/]")
    for reason in promotion["reasons"][:3]:
        # Of an item that few have seen another subscriber is told nothing more.
        what = reason["title"] or reason["item_id"]
        say.print(
            f"    {reason['share']:>4.0%} because of the {reason['kind'].replace('_', ' ')}"
            f"{f' of {what}' if what else ''} on {reason['site_id']}",
            markup=False,
            highlight=False,
        )


def _compare(before: Mapping[str, Any], after: Mapping[str, Any], *, say: Say) -> None:
    first, second = before["promotion"], after["promotion"]
    if first is None or second is None:
        return
    if first["promotion_id"] == second["promotion_id"]:
        say.print("\nThe promotion is the same: what it did on the other site did not outweigh its past.")
        return
    carried = sum(reason["share"] for reason in second["reasons"] if reason["site_id"] == STORY.acts_on)
    say.print(
        f"\nThe promotion changed, and {carried:.0%} of the told reasons' weight is activity on"
        f" [bold]{STORY.acts_on}[/]: tailored by one site, presented on another.",
        highlight=False,
    )
