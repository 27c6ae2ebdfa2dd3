"""Items are ranked among all of their site, and each consumer is counted where they belong."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.interactions import Interactions, build_interactions
from models.als import Als
from models.popularity import FittedPopularity, Popularity
from tests.training.conftest import evaluate_items
from training.errors import NothingToEvaluate
from training.judging import judge
from training.metrics import top_ranked
from training.results import Result, find
from training.split import Split, leave_one_out, split_first_to_second_site


def checkerboard(n_consumers: int = 30, n_items: int = 16) -> pa.Table:
    """Odd consumers buy odd items, even ones even items, each leaving some out; on both sites alike."""
    table = pa.Table.from_pylist(
        [
            {
                "consumer_id": f"c{consumer:02}",
                "site_id": site_id,
                "item_id": f"i{item:02}",
                "kind": "purchase",
                "event_id": f"{consumer}-{site_id}-{item}",
            }
            for consumer in range(n_consumers)
            for site_id in ("books", "garden")
            for item in range(n_items)
            if (consumer + item) % 2 == 0 and (consumer // 2 + item // 2) % 8 != 0
        ]
    )
    return table.append_column("occurred_at", pa.nulls(table.num_rows, pa.timestamp("us", tz="UTC")))


def fitted(split: Split) -> tuple[Interactions, FittedPopularity, list[Result]]:
    interactions = build_interactions(split.train)
    popularity = Popularity().fit(interactions)
    model = Als(factors=2, regularization=1.0, iterations=10, random_state=1).fit(interactions)
    return interactions, popularity, evaluate_items([model], interactions, split, popularity=popularity)


def mean(results: list[Result], protocol: str, model: str, **which: str) -> float:
    found = find(results, protocol=protocol, model=model, **which)
    assert found is not None
    return found.mean


def test_als_finds_the_taste_that_popularity_cannot_see() -> None:
    _, _, results = fitted(leave_one_out(checkerboard(), random_state=3))
    assert mean(results, "leave_one_out", "als", metric="hit_rate") == 1.0
    assert mean(results, "leave_one_out", "als") > 1.3 * mean(results, "leave_one_out", "popularity")


def test_a_second_site_is_answered_from_the_first() -> None:
    _, _, results = fitted(split_first_to_second_site(checkerboard(), share=0.3, random_state=3))
    assert mean(results, "second_site", "als") > 0.9
    assert mean(results, "second_site", "als", segment="cold") == mean(results, "second_site", "als")
    assert find(results, protocol="second_site", model="als", segment="hot") is None


def test_popularity_ranks_all_items_of_the_site_and_nothing_else() -> None:
    split = split_first_to_second_site(checkerboard(), share=0.3, random_state=3)
    interactions, popularity, results = fitted(split)
    site = interactions.items.site_slice
    expected = []
    for (_, site_id), rows in split.test.groupby(["consumer_id", "site_id"])["item_id"]:
        top = top_ranked(popularity.prior[site(site_id)], 10) + site(site_id).start
        wanted = [interactions.items.index(site_id, item_id) for item_id in rows]
        expected.append(np.isin(top, wanted).sum() / len(rows))
    assert mean(results, "second_site", "popularity", metric="recall") == pytest.approx(np.mean(expected))


def test_strangers_are_cold_and_get_what_is_popular_and_new_items_count_as_missed() -> None:
    train = checkerboard()
    test = pd.DataFrame(
        {"consumer_id": ["stranger"] * 2, "site_id": "books", "item_id": ["i01", "brand new"]}
    )
    _, _, results = fitted(Split("time", train, test, mask_seen=False))
    als = find(results, protocol="time", model="als", metric="recall", segment="cold")
    popular = find(results, protocol="time", model="popularity", metric="recall", segment="cold")
    assert als is not None
    assert popular is not None
    assert als.mean == popular.mean <= 0.5


def test_what_a_consumer_has_seen_is_no_candidate_when_it_is_masked() -> None:
    train = checkerboard()
    bought = train.to_pandas().query("consumer_id == 'c04' and site_id == 'books'")["item_id"].tolist()
    test = pd.DataFrame({"consumer_id": "c04", "site_id": "books", "item_id": bought})
    seen_again = {
        mask: mean(fitted(Split("time", train, test, mask_seen=mask))[2], "time", "als", metric="recall")
        for mask in (True, False)
    }
    assert seen_again[True] == 0
    assert seen_again[False] > 0.5


def test_nothing_held_out_is_nothing_to_evaluate() -> None:
    train = checkerboard()
    with pytest.raises(NothingToEvaluate, match="earlier cut"):
        fitted(Split("time", train, pd.DataFrame(columns=["consumer_id", "site_id", "item_id"]), False))


def test_redemptions_decide_before_anything_else() -> None:
    def results(protocol: str, value: float) -> list[Result]:
        return [
            Result(protocol, model, "all", "all", metric, 10, value, value, value, 5)
            for model in ("als", "popularity")
            for metric in ("ndcg", "recall")
        ]

    judgement = judge([*results("time", 0.9), *results("redemptions", 0.3)], "als")
    assert judgement is not None
    assert (judgement.protocol, judgement.ndcg_at_10, judgement.lift) == ("redemptions", 0.3, 1.0)
    assert judge([], "als") is None
