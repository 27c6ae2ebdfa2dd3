"""Pictures of activity say what the rows say."""

import numpy as np
import pandas as pd
import pytest

from training.activity_plots import activity_over_time, consumer_flow, flow_shares
from training.errors import NothingToEvaluate

DAYS = pd.date_range("2026-01-05", periods=70, freq="D", tz="UTC")


def visits(*rows: tuple[str, str, int | None]) -> pd.DataFrame:
    """(consumer, site, day or no time) as activity."""
    table = pd.DataFrame([row[:2] for row in rows], columns=["consumer_id", "site_id"])
    moments = [None if row[2] is None else DAYS[row[2]] for row in rows]
    table["occurred_at"] = pd.Series(pd.to_datetime(moments, utc=True))
    table["kind"] = "page_view"
    return table


def test_flow_counts_those_who_came_to_the_second_site_later() -> None:
    activity = visits(
        ("u", "a", 0), ("u", "b", 3), ("v", "a", 2), ("v", "b", 1), ("w", "a", 0), ("w", "a", 9)
    )
    sites, share, n_consumers = flow_shares(activity)
    assert (sites, n_consumers) == (["a", "b"], [3, 2])
    assert share == pytest.approx(np.array([[0, 1 / 3], [1 / 2, 0]]))


def test_flow_without_times_counts_those_who_are_on_both() -> None:
    _, share, _ = flow_shares(visits(("u", "a", None), ("u", "b", None), ("v", "a", None)))
    assert share[0, 1] == pytest.approx(1 / 2)
    assert share[1, 0] == 1


def test_many_sites_are_drawn_as_the_busiest_and_the_rest() -> None:
    activity = visits(*((f"c{n}", f"s{site:02}", n) for site in range(20) for n in range(site + 1)))
    sites, _, _ = flow_shares(activity)
    assert "all others" in sites
    assert len(sites) == 9
    (axes, *_) = activity_over_time(activity).axes
    assert len(axes.get_lines()) == 9
    assert consumer_flow(activity).axes


def test_activity_without_times_cannot_be_drawn_over_time() -> None:
    with pytest.raises(NothingToEvaluate, match="no event has a time"):
        activity_over_time(visits(("u", "a", None)))
