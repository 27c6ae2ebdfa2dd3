"""Redemptions by hand: who took up what, on a day, among what was live."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from features.interactions import build_interactions
from models.pooling import Pooling
from models.popularity import Popularity
from tests.training.conftest import evaluate_redemptions
from training.errors import NothingToEvaluate
from training.redemptions import PromotionRecords, redemption_queries
from training.results import find

NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 5, 10, tzinfo=UTC)


def records(
    conversions: list[tuple[str, str, datetime]], *, codes: dict[str, str] | None = None
) -> PromotionRecords:
    """`early` ends as the day begins, `late` starts with the next day; the others are live."""
    day = timedelta(days=1)
    spans = {
        "early": (MIDNIGHT - 5 * day, MIDNIGHT),
        "late": (MIDNIGHT + day, None),
        "novels": (MIDNIGHT, MIDNIGHT + day),
        "novels again": (None, None),
        "spades": (MIDNIGHT - day, None),
    }
    covered = {
        "early": "novel",
        "late": "novel",
        "novels": "novel",
        "novels again": "novel",
        "spades": "spade",
    }
    names = list(spans)
    return PromotionRecords(
        promotions=pd.DataFrame(
            {
                "promotion_id": names,
                "code": [(codes or {}).get(name) for name in names],
                "audience_id": [None, None, None, None, "gardeners"],
                "starts_at": pd.to_datetime([spans[name][0] for name in names], utc=True),
                "ends_at": pd.to_datetime([spans[name][1] for name in names], utc=True),
            }
        ),
        coverage=pd.DataFrame(
            {"promotion_id": names, "site_id": "shop", "item_id": [covered[name] for name in names]}
        ),
        audience=pd.DataFrame({"audience_id": ["gardeners"], "consumer_id": ["ann"]}),
        conversions=pd.DataFrame(
            {
                "consumer_id": [row[0] for row in conversions],
                "promotion_id": [row[1] for row in conversions],
                "occurred_at": pd.to_datetime([row[2] for row in conversions], utc=True),
            }
        ),
    )


def names_of(data: PromotionRecords, rows: np.ndarray) -> list[str]:
    return data.promotions["promotion_id"].to_numpy()[rows].tolist()


def test_a_query_is_a_consumer_on_a_day_and_its_candidates_were_live_then() -> None:
    hour = timedelta(hours=1)
    data = records([("ann", "spades", NOON), ("ann", "novels", NOON + hour), ("bob", "novels", NOON)])
    ann, bob = redemption_queries(data, since=MIDNIGHT)
    assert (ann.consumer_id, bob.consumer_id) == ("ann", "bob")
    assert names_of(data, ann.candidates) == ["novels", "novels again", "spades"]
    assert len(ann.relevant) == 2
    assert len(bob.relevant) == 1


def test_only_redemptions_of_the_time_asked_for_are_queries() -> None:
    data = records([("ann", "spades", NOON), ("ann", "spades", NOON + timedelta(days=1))])
    assert len(redemption_queries(data, since=MIDNIGHT)) == 2
    assert len(redemption_queries(data, since=MIDNIGHT, until=MIDNIGHT + timedelta(days=1))) == 1
    with pytest.raises(NothingToEvaluate, match="earlier cut"):
        redemption_queries(data, since=MIDNIGHT + timedelta(days=9))


def test_promotions_with_the_same_code_are_one_offer() -> None:
    data = records([("ann", "novels", NOON)], codes={"novels": "X1", "novels again": "X1"})
    (query,) = redemption_queries(data, since=MIDNIGHT)
    assert len(query.candidates) == 3
    assert len(np.unique(query.offer)) == 2


def test_serving_ranks_only_what_is_for_the_consumer() -> None:
    data = records([("ann", "spades", NOON), ("bob", "novels", NOON)])
    ann, bob = redemption_queries(data, since=MIDNIGHT, sent_only=True)
    assert names_of(data, ann.candidates) == ["novels", "novels again", "spades"]
    assert names_of(data, bob.candidates) == ["novels", "novels again"]


def test_popularity_is_right_about_the_popular_and_wrong_about_the_rest() -> None:
    data = records(
        [("ann", "spades", NOON), ("bob", "novels", NOON)], codes={"novels": "X", "novels again": "X"}
    )
    bought = [("ann", "novel"), ("bob", "novel"), ("bob", "spade")]
    interactions = build_interactions(
        pa.table(
            {
                "consumer_id": [consumer for consumer, _ in bought],
                "site_id": ["shop"] * 3,
                "item_id": [item for _, item in bought],
                "kind": ["purchase"] * 3,
            }
        )
    )
    popularity = Popularity().fit(interactions)
    results = evaluate_redemptions(
        [popularity],
        interactions,
        data,
        popularity=popularity,
        poolings={"popularity": Pooling(kind="max")},
        since=MIDNIGHT,
    )
    ndcg = find(results, protocol="redemptions", model="popularity")
    mrr = find(results, protocol="redemptions", model="popularity", metric="mrr")
    assert ndcg is not None
    assert mrr is not None
    # ann's spades come second of two offers, bob's novels first.
    assert ndcg.mean == pytest.approx((1 / np.log2(3) + 1) / 2)
    assert mrr.mean == pytest.approx((1 / 2 + 1) / 2)
    assert ndcg.n_queries == 2
    sent = find(results, protocol="redemptions_sent", model="popularity")
    assert sent is not None
    assert sent.mean == ndcg.mean
