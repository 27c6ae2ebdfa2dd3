"""The decision by itself: what the shortlist leaves out must still be shown where nothing else may be."""

from dataclasses import replace

import numpy as np

from benchmarks.decision import NOW, make_als, make_counter, make_items, make_records
from features.history import history_vector
from serving.answer import Decision
from serving.shelf import Shelf

N_PROMOTIONS = 6000


def with_only(shelf: Shelf, places: list[int]) -> Shelf:
    ends_s = np.full(N_PROMOTIONS, NOW.timestamp() - 1)
    ends_s[places] = np.inf
    return replace(shelf, ends_s=ends_s)


def shown(decision: Decision) -> str | None:
    return None if decision.promotion is None else decision.promotion.promotion_id


def test_the_shortlist_decides_like_all_promotions_and_gives_way_where_too_few_may_be_shown() -> None:
    items = make_items(N_PROMOTIONS, n_sites=2)
    counter = make_counter(make_als(items, 400), N_PROMOTIONS)
    projection = counter.shelf.projection
    assert projection is not None
    (record,) = make_records(items, 1)
    bundle = counter.model.bundle
    reading = bundle.model.read(history_vector(record.events, items, bundle.weights, now=NOW))
    few = projection.shortlist(reading, bundle.weights, n=1)
    assert few is not None
    left_out = sorted(set(range(N_PROMOTIONS)) - set(np.asarray(few.places).tolist()))
    scores = reading.score(projection.within)
    everything = projection.pool(scores, history=reading.history, weights=bundle.weights)
    best = int(everything.score.argmax())
    assert shown(counter.decide(record)) == counter.shelf.promotions[best].promotion_id
    narrow = replace(counter, shelf=with_only(counter.shelf, left_out[:2]))
    better = max(left_out[:2], key=lambda place: float(everything.score[place]))
    decision = narrow.decide(record)
    assert decision.strategy == "tailored"
    assert shown(decision) == counter.shelf.promotions[better].promotion_id
    nothing = replace(counter, shelf=with_only(counter.shelf, [])).decide(record)
    assert shown(nothing) is None
    assert "is live at" in (nothing.reason or "")
