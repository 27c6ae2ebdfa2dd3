"""Items that are hidden from training: with text they are found, without it they are not."""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.ids import ItemIds
from features.weights import InteractionWeights
from models.alike import Likeness
from models.bundle import read_bundle
from models.unseen import FittedWithUnseen, with_unseen
from storage.database import Database
from storage.imports import import_items
from storage.settings import Settings
from training.compare import results_of
from training.fitting import fit
from training.new_items import (
    NEW_ITEMS,
    WITHOUT_TEXT,
    Descriptions,
    ask_new_items,
    hide,
    learn_text,
    read_descriptions,
    score_with_new,
    score_without_new,
)
from training.pipeline import train
from training.promotion import promote
from training.ranking import score_model
from training.results import KNOWN, NEW, POPULARITY, Result, find

TASTES = ("cooking", "fiction", "music", "sailing")
N_ITEMS, N_CONSUMERS = 200, 160
SITES = ("books", "garden")


def many_tastes() -> pa.Table:
    """Each consumer does something with a third of the items of their taste, on both sites."""
    generator = np.random.default_rng(0)
    rows = [
        (f"c{consumer:03}", SITES[item % 8 // 4], f"i{item:03}", "purchase")
        for consumer in range(N_CONSUMERS)
        for item in range(N_ITEMS)
        if item % 4 == consumer % 4 and generator.random() < 0.35
    ]
    names = ("consumer_id", "site_id", "item_id", "kind")
    table = pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
    moment = pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * len(rows), pa.timestamp("us", tz="UTC"))
    return table.append_column("occurred_at", moment)


DESCRIBED: Descriptions = {
    (SITES[item % 8 // 4], f"i{item:03}"): {"title": f"{TASTES[item % 4]} number {item}", "category": None}
    for item in range(N_ITEMS)
}


@pytest.fixture(scope="module")
def activity() -> pa.Table:
    return many_tastes()


@pytest.mark.parametrize("kind", ["als", "graph", "popularity"])
def test_text_finds_hidden_items_that_nothing_else_finds(activity: pa.Table, kind: str) -> None:
    asked = ask_new_items(
        partial(fit, kind), activity, DESCRIBED, weights=InteractionWeights(), random_state=1
    )
    assert asked is not None

    def mean(protocol: str, segment: str) -> float:
        found = find(asked.results, protocol=protocol, model=kind, segment=segment)
        assert found is not None
        return found.mean

    assert mean(WITHOUT_TEXT, NEW) == 0
    # As popular as the mean of what it is like, a new item does not come among the most popular ones.
    if kind != "popularity":
        assert mean(NEW_ITEMS, NEW) > 0.1
        assert mean(NEW_ITEMS, "all") > mean(WITHOUT_TEXT, "all")
        beside = find(asked.results, protocol=NEW_ITEMS, model=POPULARITY, segment=NEW)
        assert beside is not None
        assert mean(NEW_ITEMS, NEW) > beside.mean
    assert mean(NEW_ITEMS, KNOWN) <= mean(WITHOUT_TEXT, KNOWN) + 1e-9


def test_what_is_hidden_is_gone_and_both_halves_ask_about_other_items(activity: pa.Table) -> None:
    hidden = hide(activity, DESCRIBED, random_state=3)
    assert hidden is not None
    new = {item for _, item in hidden.new}
    assert len(new) == 20
    assert not new & set(hidden.train["item_id"].to_pylist())
    choose, judge = (set(part["item_id"].to_pylist()) for part in (hidden.choose, hidden.judge))
    assert not choose & judge
    assert choose & new
    assert judge & new
    assert choose - new
    assert judge - new
    pairs = [
        set(zip(part["consumer_id"].to_pylist(), part["item_id"].to_pylist(), strict=True))
        for part in (hidden.train, hidden.choose, hidden.judge)
    ]
    assert not pairs[0] & (pairs[1] | pairs[2])
    assert len(set.union(*pairs)) == activity.num_rows


def test_few_items_or_none_that_say_something_tell_nothing(activity: pa.Table) -> None:
    few = dict(list(DESCRIBED.items())[:40])
    for described in ({}, few):
        assert (
            ask_new_items(
                partial(fit, "als"), activity, described, weights=InteractionWeights(), random_state=1
            )
            is None
        )
    items = ItemIds({"books": ["1", "2"]})
    assert learn_text(items, {}) is None
    assert learn_text(items, {("books", "1"): {"title": "a"}, ("books", "2"): {"title": "b"}}) is None
    assert learn_text(items, {("books", "1"): {"title": "a"}, ("books", "2"): {"title": "a"}}) is not None


@pytest.mark.parametrize("kind", ["als", "graph", "ials", "popularity"])
def test_many_are_scored_at_once_as_each_alone(activity: pa.Table, kind: str) -> None:
    hidden = hide(activity, DESCRIBED, random_state=1)
    assert hidden is not None
    from features.interactions import build_interactions

    interactions = build_interactions(hidden.train)
    model = fit(kind, interactions)
    text = learn_text(interactions.items, DESCRIBED, Likeness(3, 0.7))
    assert text is not None
    # One of a site that nothing is known of is like items of other sites.
    new = [*hidden.new, ("zoo", "z")]
    extended = with_unseen(model, text, new, [*map(DESCRIBED.get, hidden.new), {"title": "music"}])  # type: ignore[list-item]
    assert isinstance(extended, FittedWithUnseen)
    rows = np.arange(5)
    scored = score_with_new(score_model(model, interactions), extended)
    without = score_without_new(score_model(model, interactions), extended)
    for site_id in extended.items.site_ids:
        site = extended.items.site_slice(site_id)
        many, bare = scored(rows, site), without(rows, site)
        for row in rows.tolist():
            history = interactions.row(row)
            moved = type(history)(extended.places[history.item_index].astype(np.int32), history.by_kind)
            alone = extended.score(moved, site)
            assert many[row] == pytest.approx(alone, rel=1e-4, abs=1e-5)
            known = extended.column[site] >= 0
            assert bare[row][known] == pytest.approx(alone[known], rel=1e-4, abs=1e-5)
            assert np.isneginf(bare[row][~known]).all()


@pytest.fixture
def described(filled: Database, activity: pa.Table, tmp_path: Path) -> Database:
    from storage.imports import import_activity

    rows = [
        {"site_id": site_id, "item_id": item_id, "title": said["title"]}
        for (site_id, item_id), said in DESCRIBED.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    pq.write_table(activity, tmp_path / "more.parquet")
    import_items(filled, [tmp_path / "items.parquet"], source="test")
    import_activity(filled, [tmp_path / "more.parquet"], source="test", legal_basis="contract")
    return filled


def test_a_training_measures_new_items_and_a_retraining_keeps_what_it_chose(
    described: Database, settings: Settings
) -> None:
    report = train(described, settings, model="als")
    results = results_of(settings, report.version)
    assert {one.protocol for one in results} >= {NEW_ITEMS, WITHOUT_TEXT}
    promote(described, settings, report.version)
    bundle = read_bundle(settings.home / "bundles" / report.digest)
    assert bundle.text is not None
    assert bundle.text.items == bundle.items
    again = train(described, settings, model="champion")
    assert NEW_ITEMS not in {one.protocol for one in results_of(settings, again.version)}
    promote(described, settings, again.version)
    kept = read_bundle(settings.home / "bundles" / again.digest)
    assert kept.text is not None
    assert kept.text.likeness == bundle.text.likeness


def test_descriptions_leave_out_what_says_nothing(tmp_path: Path) -> None:
    rows = [
        {"site_id": "a", "item_id": "1", "title": "x", "category": None, "attributes": None},
        {"site_id": "a", "item_id": "2", "title": None, "category": "", "attributes": "{}"},
        {"site_id": "a", "item_id": "3", "title": None, "category": None, "attributes": '{"b": 1}'},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
    assert set(read_descriptions(tmp_path / "items.parquet")) == {("a", "1"), ("a", "3")}


def test_new_and_known_items_are_rows_of_the_slice_table() -> None:
    from training.slices import slice_table

    results = [
        Result(NEW_ITEMS, "als", "all", segment, "ndcg", 10, 0.1, 0.0, 0.2, 5)
        for segment in ("known", "all", "new")
    ]
    assert [key[2] for key in slice_table(results).index] == ["all", "new", "known"]
