"""Many histories made together are those that are made one by one, bit for bit."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.history import HistoryVector, history_vector
from features.history_block import HistoryBlock, history_block
from features.ids import ItemIds
from features.weights import KINDS, InteractionWeights
from storage.everyone import EventBlock
from storage.recent import Event, Events

NOW = datetime(2026, 3, 10, 1, tzinfo=UTC)
ITEMS = ItemIds({"books": ["1", "2", "3"], "music": ["1"]})

event = st.tuples(
    st.sampled_from(["books", "music", "toys"]),
    st.sampled_from(["1", "2", "3", "unknown"]),
    st.sampled_from(KINDS),
    st.none() | st.integers(-2000, 2000).map(lambda hours: NOW - timedelta(hours=hours)),
)
weightings = st.builds(
    InteractionWeights,
    page_view=st.sampled_from([0.0, 0.3]),
    half_life_days=st.none() | st.sampled_from([0.5, 7.0, 33.3]),
    window_days=st.none() | st.integers(0, 60),
)


def event_block(consumers: list[list[Event]]) -> EventBlock:
    events = [event for mine in consumers for event in mine]
    items = sorted({(site, item or "") for site, item, _, _ in events})
    return EventBlock(
        np.cumsum([0, *map(len, consumers)], dtype=np.int64),
        items,
        np.array([items.index((site, item or "")) for site, item, _, _ in events], dtype=np.int32),
        np.array([KINDS.index(kind) for _, _, kind, _ in events], dtype=np.int8),
        Events.of((site, item or "-", kind, at) for site, item, kind, at in events).times,
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(event, max_size=12), max_size=5), weightings)
def test_a_block_has_the_same_bits_as_each_vector(
    consumers: list[list[Event]], weights: InteractionWeights
) -> None:
    block = history_block(event_block(consumers), ITEMS, weights, now=NOW)
    assert len(block) == len(consumers)
    confidence = block.confidence(weights)
    for row, events in enumerate(consumers):
        alone = history_vector(events, ITEMS, weights, now=NOW)
        assert block[row].item_index.tobytes() == alone.item_index.tobytes()
        assert block[row].by_kind.tobytes() == alone.by_kind.tobytes()
        cells = slice(*block.indptr[row : row + 2].tolist())
        assert confidence[cells].tobytes() == alone.confidence(weights).tobytes()


def test_histories_are_put_side_by_side_and_taken_out_again() -> None:
    histories = [
        HistoryVector(np.array(items, dtype=np.int32), np.full((3, len(items)), row, dtype=np.float32))
        for row, items in enumerate([[0, 2], [], [1], [0, 1, 3]])
    ]
    block = HistoryBlock.of(histories)
    assert block.sizes.tolist() == [2, 0, 1, 3]
    assert block.rows().tolist() == [0, 0, 2, 3, 3, 3]
    some = block.take(np.array([True, False, False, True]))
    assert [some[row].item_index.tolist() for row in range(2)] == [[0, 2], [0, 1, 3]]
    assert some.by_kind[0].tolist() == [0, 0, 3, 3, 3]
    assert block.take(np.ones(4, dtype=np.bool_)) is block
    odd = block.cells(block.item_index % 2 == 1)
    assert [odd[row].item_index.tolist() for row in range(4)] == [[], [], [1], [1, 3]]
    assert repr(block) == "HistoryBlock(4 histories, 6 items)"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        history_block(event_block([]), ITEMS, InteractionWeights(), now=datetime(2026, 1, 1))  # noqa: DTZ001
