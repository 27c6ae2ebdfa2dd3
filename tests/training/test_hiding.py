"""What is hidden of each consumer, with data where it is plain what goes together."""

import numpy as np
import pyarrow as pa

from training.hiding import hide_together


def trips(*, seed: int = 0) -> pa.Table:
    """Forty travellers who saw ten places in each of two of four towns, and looked at one of them before."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(40):
        towns = random.choice(4, size=2, replace=False)
        for town in towns:
            places = random.choice(12, size=10, replace=False)
            rows += [(f"c{number:02}", "a", f"{town}-{place:02}", "purchase") for place in places]
            rows.append((f"c{number:02}", "a", f"{town}-{places[0]:02}", "page_view"))
    names = ["consumer_id", "site_id", "item_id", "kind"]
    return pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=names)


def hidden_of(table: pa.Table, *, seed: int = 0) -> pa.Table:
    target = np.array(table["kind"].to_pylist()) == "purchase"
    return table.filter(pa.array(hide_together(table, target, np.random.default_rng(seed))))


def test_a_fifth_of_each_consumers_targets_is_hidden_and_it_goes_together() -> None:
    hidden = hidden_of(trips()).to_pandas()
    assert set(hidden["kind"]) == {"purchase"}
    assert (hidden.groupby("consumer_id").size() == 4).all()
    towns = hidden["item_id"].str[0].groupby(hidden["consumer_id"]).nunique()
    assert len(towns) == 40
    assert (towns == 1).mean() > 0.9


def test_one_of_few_is_hidden_and_of_one_nothing() -> None:
    few = trips().filter(pa.array([place in (0, 1, 2, 22) for place in range(44)] * 20))
    hidden = hidden_of(few).to_pandas()
    assert set(hidden.groupby("consumer_id").size()) == {1}
    alone = pa.table({"consumer_id": ["c"], "site_id": ["a"], "item_id": ["i"], "kind": ["purchase"]})
    assert hidden_of(alone).num_rows == 0


def test_what_was_bought_twice_is_hidden_twice() -> None:
    once = trips()
    twice = pa.concat_tables([once, once])
    hidden = hidden_of(twice).to_pandas()
    assert (hidden.groupby(["consumer_id", "item_id"]).size() == 2).all()


def test_the_same_seed_hides_the_same() -> None:
    assert hidden_of(trips(), seed=3).equals(hidden_of(trips(), seed=3))
    assert not hidden_of(trips(), seed=3).equals(hidden_of(trips(), seed=4))
