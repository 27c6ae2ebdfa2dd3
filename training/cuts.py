"""Where to cut time when nobody says: late enough to learn from most, with enough left to be asked about."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow as pa

_LEAST_CONVERSIONS = 50
_SHARE_TO_LEARN_FROM = 0.8


def choose_cut(activity: pa.Table, conversions: pd.DataFrame) -> datetime | None:
    """A UTC midnight after which a fifth of the conversions lie, or of the activity where those are few.

    Returns
    -------
    datetime or None
        None when the activity has no times, or all of them are of one day.
    """
    times = activity["occurred_at"].to_pandas().dropna()
    if times.empty:
        return None
    converted = conversions["occurred_at"].dropna()
    judged_by = converted if len(converted) >= _LEAST_CONVERSIONS else times
    at = judged_by.quantile(_SHARE_TO_LEARN_FROM, interpolation="nearest")
    cut = datetime(at.year, at.month, at.day, tzinfo=UTC)
    for midnight in (cut, cut + timedelta(days=1)):
        if times.min() < midnight <= times.max():
            return midnight
    return None
