"""Metrics against plain loops over dense arrays."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.errors import InvalidProtocol
from training.metrics import (
    Interval,
    Rankings,
    bootstrap_intervals,
    coverage,
    hit_rate,
    ndcg,
    recall,
    reciprocal_rank,
    top_ranked,
)

DEPTH = 10


def random_case(seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], Rankings]:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 6, size=(40, 15)).astype(np.float64)
    relevant = generator.random((40, 15)) < 0.2
    relevant[np.arange(40), generator.integers(0, 15, size=40)] = True
    ranked = np.array([top_ranked(row, DEPTH) for row in scores])
    hits = np.take_along_axis(relevant, ranked, axis=1)
    return scores, relevant, Rankings(ranked, hits, relevant.sum(axis=1))


def bootstrap_interval(values: NDArray[np.float64], **options: Any) -> Interval:
    return bootstrap_intervals(values[:, np.newaxis], **options)[0]


def order_of(scores: NDArray[np.float64]) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: (-scores[place], place))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 3, 10])
def test_each_metric_equals_its_definition_written_as_a_loop(seed: int, k: int) -> None:
    scores, relevant, rankings = random_case(seed)
    for query in range(len(scores)):
        top = order_of(scores[query])[:k]
        hits = [bool(relevant[query, place]) for place in top]
        n_relevant = int(relevant[query].sum())
        best = sum(1 / math.log2(place + 2) for place in range(min(k, n_relevant)))
        gain = sum(1 / math.log2(place + 2) for place, hit in enumerate(hits) if hit)
        assert recall(rankings, k)[query] == pytest.approx(sum(hits) / n_relevant)
        assert ndcg(rankings, k)[query] == pytest.approx(gain / best)
        assert hit_rate(rankings, k)[query] == float(any(hits))
        assert reciprocal_rank(rankings, k)[query] == (1 / (hits.index(True) + 1) if any(hits) else 0)
    shown = {place for row in scores for place in order_of(row)[:k]}
    assert coverage(rankings, k, n_candidates=15) == len(shown) / 15


@pytest.mark.parametrize("depth", [1, 4, 15, 20])
def test_equal_scores_keep_their_order_and_missing_places_are_minus_one(depth: int) -> None:
    for row in random_case(7)[0]:
        expected = (order_of(row) + [-1] * depth)[:depth]
        assert top_ranked(row, depth).tolist() == expected


def test_a_perfect_ranking_scores_one_even_with_more_relevant_things_than_places() -> None:
    ranked = np.arange(3)[np.newaxis]
    rankings = Rankings(ranked, np.ones((1, 3), dtype=bool), np.array([5]))
    assert ndcg(rankings, 3)[0] == pytest.approx(1)
    assert recall(rankings, 3)[0] == pytest.approx(3 / 5)


def test_places_without_a_candidate_are_not_covered() -> None:
    ranked = np.array([[0, 1, -1]])
    rankings = Rankings(ranked, np.array([[True, False, False]]), np.array([1]))
    assert coverage(rankings, 3, n_candidates=4) == 0.5


def test_the_interval_holds_the_mean_and_repeats_with_its_seed() -> None:
    values = np.random.default_rng(0).random(500)
    interval = bootstrap_interval(values, random_state=3)
    assert interval.low < interval.mean < interval.high
    assert interval.mean == pytest.approx(values.mean())
    # The standard error of a mean, as the textbook has it.
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(500), rel=0.1)
    assert interval == bootstrap_interval(values, random_state=3)


def test_queries_of_one_consumer_do_not_make_the_interval_narrower() -> None:
    once = np.random.default_rng(0).random(100)
    consumers = np.arange(100)
    alone = bootstrap_interval(once, groups=consumers)
    repeated = bootstrap_interval(np.repeat(once, 20), groups=np.repeat(consumers, 20))
    assert (repeated.low, repeated.high) == pytest.approx((alone.low, alone.high))


@pytest.mark.parametrize("k", [0, 11])
def test_a_k_that_the_rankings_do_not_reach_is_refused(k: int) -> None:
    with pytest.raises(InvalidProtocol, match="10 deep"):
        recall(random_case(0)[2], k)


def test_a_query_without_anything_relevant_is_refused() -> None:
    with pytest.raises(InvalidProtocol, match="anything relevant"):
        Rankings(np.zeros((1, 1), dtype=np.int64), np.zeros((1, 1), dtype=bool), np.array([0]))


def test_columns_are_resampled_together() -> None:
    values = np.random.default_rng(0).random(200)
    model, same_model_better = values, values + 0.1
    difference = same_model_better - model
    interval = bootstrap_intervals(np.stack([model, same_model_better, difference], axis=1))[2]
    assert (interval.low, interval.high) == pytest.approx((0.1, 0.1))


def test_no_values_have_no_mean() -> None:
    with pytest.raises(InvalidProtocol, match="nothing was evaluated"):
        bootstrap_interval(np.array([]))
