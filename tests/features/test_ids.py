"""Maps between external ids and rows and columns."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import InvalidIds
from features.ids import ConsumerIds, ItemIds

ids = st.text(min_size=1, max_size=5)


@given(st.sets(st.tuples(ids, ids)))
def test_every_item_finds_its_column_and_back(pairs: set[tuple[str, str]]) -> None:
    items = ItemIds.from_pairs(pairs)
    assert [items.index(*items.pair(index)) for index in range(len(items))] == list(range(len(pairs)))
    assert [items.pair(index) for index in range(len(items))] == sorted(pairs)


@given(st.sets(st.tuples(ids, ids)))
def test_a_sites_items_are_one_slice(pairs: set[tuple[str, str]]) -> None:
    items = ItemIds.from_pairs(pairs)
    site_index = items.site_index()
    for place, site_id in enumerate(items.site_ids):
        columns = np.arange(len(items))[items.site_slice(site_id)]
        assert np.array_equal(columns, np.flatnonzero(site_index == place))
        assert {items.pair(index)[0] for index in columns.tolist()} == {site_id}


@given(st.sets(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), ids)))
def test_item_ids_survive_json(pairs: set[tuple[str, str]]) -> None:
    items = ItemIds.from_pairs(pairs)
    assert ItemIds.from_json(json.loads(json.dumps(items.to_json()))) == items


def test_the_same_item_id_on_two_sites_is_two_items() -> None:
    items = ItemIds({"books": ["1"], "music": ["1"]})
    assert (items.index("books", "1"), items.index("music", "1")) == (0, 1)


def test_an_unknown_item_or_site_has_no_column() -> None:
    items = ItemIds({"books": ["1"]})
    assert items.index("books", "2") is None
    assert items.index("music", "1") is None
    assert items.site_slice("music") == slice(0, 0)
    with pytest.raises(IndexError, match="item index 1; there are 1 items"):
        items.pair(1)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"b": ["1"], "a": ["1"]}, "site ids are not sorted"),
        ({"a": ["2", "1"]}, "item ids of site 'a' are not sorted"),
        ({"a": ["1", "1"]}, "not sorted and unique"),
        ({"a": []}, "site 'a' has no items"),
        ({"a": [1]}, "1 is not text"),
        ({"a": "12"}, "are a str"),
        (["a"], "are a list"),
    ],
)
def test_ids_that_make_no_map_are_refused(values: object, reason: str) -> None:
    with pytest.raises(InvalidIds, match=reason):
        ItemIds.from_json(values)


def test_a_consumer_finds_its_row_and_a_stranger_none() -> None:
    consumers = ConsumerIds(["ada", "zoë"])
    assert [consumers.row(one) for one in ("ada", "zoë", "bob")] == [0, 1, None]
    assert list(consumers) == ["ada", "zoë"]
