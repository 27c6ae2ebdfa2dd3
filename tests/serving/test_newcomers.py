"""Items that came after the training: their promotions rank by what the items say."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from features.ids import ItemIds
from features.weights import InteractionWeights
from models.als import Als, FittedAls
from models.bundle import Bundle
from models.factors import principal_axes
from models.pooling import Pooling
from models.popularity import FittedPopularity
from models.unseen import FittedWithUnseen
from serving.answer import ModelInfo
from serving.catalog import Catalogue, make_catalogue
from serving.live_model import LiveModel
from serving.newcomers import knowing_the_new
from serving.shelf import coverage_matrix
from storage.catalogue import CatalogueRows, ItemRow, MemberRows, PromotionRow
from training.new_items import learn_text

ITEMS = ItemIds({"kitchen": ["lamp1", "lamp2", "pan1", "pan2"]})
SAYS = {("kitchen", item): {"title": item[:-1]} for item in ("lamp1", "lamp2", "pan1", "pan2")}


def live(*, with_text: bool = True) -> LiveModel:
    weights = InteractionWeights()
    factors = principal_axes(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], dtype=np.float32))
    model = FittedAls(ITEMS, weights, factors, Als(factors=2))
    popularity = FittedPopularity(ITEMS, weights, np.array([0.1, 0.1, 0.5, 0.3], dtype=np.float32))
    text = learn_text(ITEMS, SAYS) if with_text else None
    return LiveModel(
        ModelInfo(version="1", kind="als", digest="d"),
        Bundle(model, popularity, Pooling(), {}, "d", text=text),
    )


def catalogue(covered: dict[str, list[str]], *items: ItemRow, **attributes: str) -> Catalogue:
    nothing = dict.fromkeys(PromotionRow._fields[3:])
    return make_catalogue(
        CatalogueRows(
            members=MemberRows(sites=[], subscribers=[], keys=[]),
            promotions=[PromotionRow(name, "pans", name, **nothing) for name in sorted(covered)],
            promotion_sites=[],
            coverage=[(name, "kitchen", item) for name, mine in sorted(covered.items()) for item in mine],
            items=list(items),
            attributes={("kitchen", item): text for item, text in attributes.items()},
        ),
        read_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def item(item_id: str, title: str | None) -> ItemRow:
    return ItemRow("kitchen", item_id, title, None, None, None)


def test_only_items_of_promotions_that_cover_nothing_known_are_taken_in() -> None:
    made = catalogue(
        {"both": ["pan1", "pan8"], "new": ["lamp8", "pan9"], "silent": ["x"]},
        *(item(name, title) for name, title in (("pan8", "pan"), ("pan9", "Pan"), ("lamp8", "lamp"))),
    )
    model = knowing_the_new(live(), made)
    assert isinstance(model.bundle.model, FittedWithUnseen)
    assert list(model.bundle.items.to_json()["kitchen"]) == [
        "lamp1",
        "lamp2",
        "lamp8",
        "pan1",
        "pan2",
        "pan9",
    ]
    assert coverage_matrix(made.coverage, model).toarray().astype(int).tolist() == [
        [0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ]
    assert model.bundle.popularity.prior[[2, 5]] == pytest.approx([0.1, 0.4])


def test_an_item_of_two_promotions_counts_where_nothing_else_is_known() -> None:
    made = catalogue({"both": ["pan1", "pan9"], "new": ["pan9"]}, item("pan9", "pan"))
    covered = coverage_matrix(made.coverage, knowing_the_new(live(), made)).toarray()
    assert covered.astype(int).tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]


def test_attributes_are_read_too() -> None:
    model = replace(live(), bundle=replace(live().bundle, text=learn_text(ITEMS, {
        pair: {"attributes": {"kind": said["title"]}} for pair, said in SAYS.items()
    })))  # fmt: skip
    made = catalogue({"new": ["mystery"]}, mystery='{"kind": "lamp"}')
    extended = knowing_the_new(model, made).bundle.model
    assert isinstance(extended, FittedWithUnseen)
    assert extended.alike.index[0, :2].tolist() in ([0, 1], [1, 0])


def test_each_view_begins_with_the_bundle_as_it_was_loaded() -> None:
    first = catalogue({"new": ["pan9"]}, item("pan9", "pan"))
    second = catalogue({"new": ["lamp9"]}, item("lamp9", "lamp"))
    model = live()
    again = knowing_the_new(knowing_the_new(model, first), second)
    assert again.bundle.items.index("kitchen", "lamp9") is not None
    assert again.bundle.items.index("kitchen", "pan9") is None
    nothing = knowing_the_new(again, catalogue({"old": ["pan1"]}))
    assert nothing.bundle is model.bundle


def test_a_bundle_without_text_serves_as_before() -> None:
    model = live(with_text=False)
    assert knowing_the_new(model, catalogue({"new": ["pan9"]}, item("pan9", "pan"))) is model


def test_a_promotion_of_an_item_nobody_has_seen_ranks_at_once_and_says_by_text(service, world):
    service.send(*(world.event("cook", f"cook{n}") for n in (1, 2, 3)))
    for item_id, category in (("pan9", "pan"), ("lamp9", "lamp")):
        path = f"/v1/items/kitchen/{item_id}"
        said = {"title": f"Brand new {category}", "category": f"{category}-new", "attributes": {"a": 1}}
        assert service.call("PUT", path, key=service.keys.pans, json=said).status_code in (200, 201)
        promotion = {
            "promotion_id": f"first-{category}",
            "title": "{item.title}",
            "sites": ["kitchen"],
            "items": [{"site_id": "kitchen", "item_id": item_id}],
            "placements": ["novelties"],
        }
        made = service.call("POST", "/v1/promotions", key=service.keys.pans, json=promotion)
        assert made.status_code == 201, made.text

    def ranked():
        shown = service.decide("cook", placement="novelties", n=9)["promotions"]
        return {one["promotion_id"]: one for one in shown if one["promotion_id"].startswith("first-")}

    service.until(lambda: len(ranked()) == 2 and None not in [one["score"] for one in ranked().values()])
    pan, lamp = ranked()["first-pan"], ranked()["first-lamp"]
    assert pan["rank"] < lamp["rank"]
    assert pan["score"] > lamp["score"]
    assert pan["title"] == "Brand new pan"
    assert set(pan["signals"]) == {"text"}
    assert sum(one["share"] for one in pan["reasons"]) == pytest.approx(1.0, abs=1e-6)
    assert {one["site_id"] for one in pan["reasons"]} == {"books"}
    stranger = service.decide("nobody-yet", placement="novelties", n=9)
    assert stranger["strategy"] == "popularity"
    assert None not in [
        one["score"] for one in stranger["promotions"] if one["promotion_id"].startswith("first-")
    ]
    for category in ("pan", "lamp"):
        service.call("DELETE", f"/v1/promotions/first-{category}", key=service.keys.pans)
