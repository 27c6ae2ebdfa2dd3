"""Counts of consumers, by hand and beside a count of the rows themselves."""

import numpy as np
import pyarrow as pa
import pytest

from features.interactions import build_interactions
from models.reach import count_reach


def count(rows):
    columns = zip(*rows, strict=True)
    names = ("consumer_id", "site_id", "item_id", "kind")
    return count_reach(build_interactions(pa.table(dict(zip(names, map(list, columns), strict=True)))))


def test_a_consumer_counts_once_for_an_item_and_once_for_a_site_whatever_they_did():
    reach = count(
        [
            ("ann", "books", "b1", "page_view"),
            ("ann", "books", "b1", "page_view"),
            ("ann", "books", "b1", "purchase"),
            ("ann", "books", "b2", "purchase"),
            ("bob", "books", "b2", "product_review"),
            ("bob", "music", "m1", "page_view"),
        ]
    )
    items = {("books", "b1"): 1, ("books", "b2"): 2, ("music", "m1"): 1, ("music", "b1"): 0, ("x", "b1"): 0}
    assert {pair: reach.of_item(*pair) for pair in items} == items
    assert {site: reach.of_site(site) for site in ("books", "music", "x", "a")} == {
        "books": 2,
        "music": 1,
        "x": 0,
        "a": 0,
    }


@pytest.mark.parametrize("seed", range(5))
def test_the_counts_are_those_of_the_rows(seed):
    random = np.random.default_rng(seed)
    drawn = random.integers((30, 4, 6, 3), size=(200, 4)).tolist()
    kinds = ("page_view", "product_review", "purchase")
    rows = [(f"c{c}", f"s{s}", f"i{i}", kinds[k]) for c, s, i, k in drawn]
    reach = count(rows)
    for site in {row[1] for row in rows}:
        assert reach.of_site(site) == len({row[0] for row in rows if row[1] == site})
    for pair in {row[1:3] for row in rows}:
        assert reach.of_item(*pair) == len({row[0] for row in rows if row[1:3] == pair})
