"""Rows read as whole columns are stored exactly like rows read one by one."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.activity_columns import TO_BE_DERIVED, read_columns
from storage.activity_import import content_digest
from storage.events import BOTH_PURPOSES, Rejection, parse_event
from storage.files import _parquet_fields

NOW = datetime(2026, 6, 1, tzinfo=UTC)
ID = st.sampled_from(
    ["a", "b1", "ü", "o'x", "back\\slash", 'q"', " ", "", "x" * 257, "n\0l", "-", "~d", "né", None]
)
TIMES = [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 5, 6, 7, 890, tzinfo=UTC), None]
TIMES += [datetime(1980, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)]
ISO = ["2026-01-01T00:00:00Z", "2026-01-01 01:02:03.5+00:00", "2026-01-01T01:00:00+02:00", "2026-01-01"]
ISO += ["2026-02-30T00:00:00Z", "yesterday", "", None]
NUMBERS = [0.1, 1e-7, -3.0, 1e13, float("nan"), float("inf"), None]
ROW = {
    "event_id": ID,
    "consumer_id": ID,
    "identifier": st.one_of(st.none(), ID),
    "namespace": st.sampled_from([None, "login", "network", "site", "site:a", "else"]),
    "site_id": ID,
    "kind": st.sampled_from(["page_view", "Add To Cart", "click", "stare", "", None]),
    "item_id": ID,
    "promotion_id": ID,
    "value": st.sampled_from(NUMBERS),
    "currency": st.sampled_from(["EUR", "eur", "", None]),
}
COMMON = {
    "consumer_id": st.sampled_from(["a", "o'x"]),
    "identifier": st.none(),
    "namespace": st.none(),
    "site_id": st.just("s"),
    "kind": st.sampled_from(["page_view", "purchase"]),
    "item_id": st.sampled_from(["i", "back\\slash"]),
}
TIME = {
    "times": (st.sampled_from(TIMES), pa.timestamp("us", tz="UTC")),
    "texts": (st.sampled_from(ISO), pa.string()),
}
CONSENT = {
    "lists": (
        st.sampled_from([None, [], ["same_site"], ["cross_site", "same_site"], ["ads"], [None]]),
        pa.list_(pa.string()),
    ),
    "texts": (
        st.sampled_from([None, "", "same_site", "same_site cross_site", '["cross_site"]', "[x"]),
        pa.string(),
    ),
}


@pytest.mark.parametrize("default", [None, BOTH_PURPOSES])
@pytest.mark.parametrize("times", TIME)
@pytest.mark.parametrize("consents", CONSENT)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_columns_say_what_the_rows_say_one_by_one(data, default, times, consents):
    time, time_type = TIME[times]
    consent, consent_type = CONSENT[consents]
    row = {**ROW, **data.draw(st.sampled_from([{}, COMMON])), "occurred_at": time, "consent": consent}
    rows = data.draw(st.lists(st.fixed_dictionaries(row), min_size=1, max_size=6))
    types = {"value": pa.float64(), "occurred_at": time_type, "consent": consent_type}
    columns = [pa.array([one[name] for one in rows], types.get(name, pa.string())) for name in row]
    batch = pa.record_batch(columns, names=list(row))
    plain = read_columns(batch, numbers=range(len(rows)), source="vendor", default_consent=default, now=NOW)
    if plain is None:
        return
    for taken in plain.table.to_pylist():
        fields = _parquet_fields(batch, [taken["row_number"]])[0]
        event = parse_event(fields, source="vendor", default_consent=default, now=NOW, event_id=TO_BE_DERIVED)
        assert not isinstance(event, Rejection), (event, fields)
        del taken["row_number"]
        digest = taken.pop("content_digest", None)
        assert taken == {name: getattr(event, name) for name in taken}
        derived = event.event_id == TO_BE_DERIVED
        assert digest == ("\\x" + content_digest(event).hex() if derived else None)


def test_usual_rows_are_taken_as_columns():
    rows = [{"consumer_id": str(n), "site_id": "s", "kind": "page_view", "item_id": n} for n in range(10)]
    batch = pa.RecordBatch.from_pylist(rows)
    plain = read_columns(batch, numbers=range(10), source="v", default_consent=BOTH_PURPOSES, now=NOW)
    assert plain.odd == []
    assert plain.table.num_rows == 10
