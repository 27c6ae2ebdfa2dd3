"""How much one event counts."""

import json
import math

import pytest

from features.errors import InvalidWeights
from features.weights import FIXED_POINT_ONE, InteractionWeights


def test_an_event_counts_half_after_one_half_life() -> None:
    decay = InteractionWeights(half_life_days=10).decay_table
    assert (decay[0], decay[10], decay[20]) == (FIXED_POINT_ONE, FIXED_POINT_ONE // 2, FIXED_POINT_ONE // 4)


def test_events_do_not_decay_without_a_half_life() -> None:
    assert InteractionWeights().decay_table.tolist() == [FIXED_POINT_ONE]


@pytest.mark.parametrize("half_life_days", [0.01, 1, 30.5, 365])
def test_decay_only_ever_falls_and_ends_at_nothing(half_life_days: float) -> None:
    decay = InteractionWeights(half_life_days=half_life_days).decay_table
    assert list(decay) == sorted(decay, reverse=True)
    assert decay[-1] == 0


def test_a_very_long_half_life_keeps_the_table_short() -> None:
    assert len(InteractionWeights(half_life_days=1e9).decay_table) <= 40_000


def test_weights_survive_json() -> None:
    weights = InteractionWeights(page_view=0.5, half_life_days=30.5, window_days=90, min_item_consumers=2)
    assert InteractionWeights.from_json(json.loads(json.dumps(weights.to_json()))) == weights


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"page_view": -1}, "page_view=-1"),
        ({"purchase": math.nan}, "purchase=nan"),
        ({"page_view": 0, "product_review": 0, "purchase": 0}, "every kind has weight 0"),
        ({"purchase": 10**400}, "purchase=1000"),
        ({"half_life_days": 0}, "half_life_days=0"),
        ({"half_life_days": 10**400}, "half_life_days=1000"),
        ({"window_days": -3}, "window_days=-3"),
        ({"max_events_per_consumer": 0}, "max_events_per_consumer=0"),
        ({"min_item_consumers": 1.5}, "min_item_consumers=1.5: give a whole number"),
        ({"purchase": "4"}, "purchase='4'"),
        ({"purchase": True}, "purchase=True"),
        ({"purchases": 4}, r"unknown weights \['purchases'\]; known: half_life_days"),
    ],
)
def test_weights_that_make_no_sense_are_refused_with_their_value(values: dict, reason: str) -> None:
    with pytest.raises(InvalidWeights, match=reason):
        InteractionWeights.from_json(values)
