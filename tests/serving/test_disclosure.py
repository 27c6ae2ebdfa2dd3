"""What a caller is told of what a consumer did, and what would point at somebody."""

from datetime import UTC, datetime

import numpy as np
import pytest

from features.ids import ItemIds
from models.reach import Reach
from serving.guard.access import Caller
from serving.guard.disclosure import Disclosure
from serving.members import Members
from serving.reasons import Carried
from storage.subscribers import Site

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SITES = {"own": "us", "crowded": "them", "lonely": "them", "loose": None}
ITEMS = ItemIds({"crowded": ["many", "one"], "lonely": ["few"], "loose": ["many"], "own": ["one"]})
REACH = Reach(ITEMS, np.array([5, 4, 4, 5, 1], np.int32), np.array([5, 4, 5, 1], np.int32))
MEMBERS = Members(
    sites={site_id: Site(site_id, site_id, owner) for site_id, owner in SITES.items()},
    subscribers={},
    keys={},
    origins=frozenset(),
    unusable={},
    read_at=NOW,
)


def tell(site_id, item_id, *, kind="secret", reach=REACH):
    disclosure = Disclosure(Caller("us", kind), MEMBERS, 5)
    one = Carried(site_id, item_id, "page_view", 0.25, NOW)
    return disclosure.tell(one, title="title", reach=reach)


@pytest.mark.parametrize(
    ("site_id", "item_id", "secret", "public"),
    [
        ("own", "one", True, True),
        ("crowded", "many", True, False),
        ("crowded", "one", False, False),
        ("crowded", "unknown", False, False),
        ("lonely", "few", None, None),
        ("loose", "many", True, False),
        ("unknown", "unknown", None, None),
    ],
)
def test_a_reason_names_the_item_or_the_site_or_nothing(site_id, item_id, secret, public):
    for kind, whole in (("secret", secret), ("public", public)):
        told = tell(site_id, item_id, kind=kind)
        if whole is None:
            assert told is None
            continue
        assert (told.site_id, told.kind, told.share) == (site_id, "page_view", 0.25)
        assert told.shared_by == (None if site_id == "own" else SITES[site_id])
        expected = (item_id, "title", NOW) if whole else (None, None, None)
        assert (told.item_id, told.title, told.occurred_at) == expected


def test_where_nobody_counted_only_the_own_sites_are_told():
    assert tell("crowded", "many", reach=None) is None
    assert tell("own", "one", reach=None).item_id == "one"


def test_reasons_of_few_consumers_are_withheld_and_the_rest_keeps_its_share(
    server_url, template, world, tmp_path
):
    # Forty consumers have been on books, about fifteen with each of its items.
    with world.fresh_database(server_url, template) as url:
        keys = world.furnish(url)
        bundles = tmp_path / "home" / "bundles"
        world.promote(url, world.make_bundle(bundles))
        with world.serving(url, tmp_path, keys=keys, TAILOR_SERVING_MIN_CONSUMERS="30") as service:
            service.until(service.is_ready)
            service.send(world.event("told", "cook1"))
            service.send(world.event("told", "pan2", site_id="kitchen"), key=keys.pans)
            before = service.decide("told")["promotion"]["reasons"]
            assert {(one["site_id"], one["item_id"]) for one in before} == {
                ("books", None),
                ("kitchen", "pan2"),
            }
            assert sum(one["share"] for one in before) == pytest.approx(1.0)
            # The same model as it was before anybody counted consumers.
            world.promote(url, world.make_bundle(bundles, with_reach=False))
            after = service.until(
                lambda: (
                    reasons if len(reasons := service.decide("told")["promotion"]["reasons"]) == 1 else None
                )
            )
            assert after == [one for one in before if one["site_id"] == "kitchen"]
            assert service.decide("told")["strategy"] == "tailored"
