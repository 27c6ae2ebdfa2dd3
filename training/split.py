"""What to learn from and what to be asked afterwards.

Activity is held out by time, one thing per consumer where there are no times, or a whole second site.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.weights import KINDS
from training.errors import InvalidProtocol, NothingToEvaluate

COLUMNS = ("consumer_id", "site_id", "item_id", "kind", "occurred_at", "event_id")
_PAIR = ["consumer_id", "site_id", "item_id"]


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Activity in two parts.

    Attributes
    ----------
    protocol : str
        How it was split.
    train : pyarrow.Table
        Activity to learn from and to make histories of; the columns of `COLUMNS`.
    test : DataFrame
        What should be ranked high: consumer_id, site_id, item_id, each row once.
    mask_seen : bool
        Whether items of a consumer's history are no candidates. They are where serving would rank them too.
    """

    protocol: str
    train: pa.Table
    test: pd.DataFrame
    mask_seen: bool

    def __repr__(self) -> str:
        return (
            f"Split({self.protocol}: {self.train.num_rows} events to learn from, {len(self.test)} held out)"
        )


def read_activity(path: Path, *, also: Sequence[str] = ()) -> pa.Table:
    """The activity of a Parquet file that models learn from; columns that it lacks are empty.

    Parameters
    ----------
    also : sequence of str
        Columns of text wanted beside those of `COLUMNS`.
    """
    wanted = [*COLUMNS, *also]
    present = [name for name in wanted if name in pq.ParquetDataset(path).schema.names]
    table = pq.read_table(path, columns=present)
    table = table.filter(pc.and_(pc.is_in(table["kind"], pa.array(KINDS)), pc.is_valid(table["item_id"])))
    for name in wanted:
        if name not in present:
            type_ = pa.timestamp("us", tz="UTC") if name == "occurred_at" else pa.string()
            table = table.append_column(name, pa.nulls(table.num_rows, type_))
    return table.select(wanted)


def target_kind(activity: pa.Table) -> str:
    """The kind to predict: the most telling one that occurs (a purchase before a review before a view)."""
    kinds = set(pc.unique(activity["kind"]).to_pylist())
    for kind in reversed(KINDS):
        if kind in kinds:
            return kind
    raise NothingToEvaluate(f"there is no activity of the kinds {', '.join(KINDS)}; import some")


def split_by_time(activity: pa.Table, at: datetime) -> Split:
    """Learn from what happened before `at` (and from what has no time), be asked about what came after."""
    if at.tzinfo is None:
        raise InvalidProtocol(f"the cut {at.isoformat()} has no time zone; give an aware time")
    times = activity["occurred_at"].to_pandas()
    later = (times >= at).to_numpy()
    train, test = activity.filter(pa.array(~later)), activity.filter(pa.array(later))
    if train.num_rows == 0 or test.num_rows == 0:
        raise InvalidProtocol(
            f"the cut {at.isoformat()} leaves {train.num_rows} events before and {test.num_rows} after it; "
            f"the activity reaches from {times.min()} to {times.max()}"
        )
    return Split("time", train, _targets(test, target_kind(activity)), mask_seen=False)


def leave_one_out(activity: pa.Table, *, random_state: int = 0) -> Split:
    """Hold out one item of every consumer with two or more: the newest, or any where there are no times.

    All of the consumer's activity with that item is held out with it.
    """
    events = activity.to_pandas()
    targets = events[events["kind"] == target_kind(activity)]
    # In random order first: where times tie or are missing, chance decides.
    targets = targets.sort_values([*_PAIR, "occurred_at"], kind="stable")
    targets = targets.iloc[np.random.default_rng(random_state).permutation(len(targets))]
    targets = targets.sort_values("occurred_at", kind="stable", na_position="first")
    held_out = targets.drop_duplicates("consumer_id", keep="last")[_PAIR]
    n_items = events.drop_duplicates(_PAIR)["consumer_id"].value_counts()
    held_out = held_out[held_out["consumer_id"].map(n_items) > 1]
    train = activity.filter(pa.array(~_is_among(events[_PAIR], held_out)))
    return Split("leave_one_out", train, _sorted(held_out), mask_seen=True)


def split_first_to_second_site(activity: pa.Table, *, share: float = 0.2, random_state: int = 0) -> Split:
    """Forget all that some consumers did on one of their sites, and be asked about just that.

    Parameters
    ----------
    share : float
        Of the consumers with activity on two sites or more.
    """
    if not 0 < share <= 1:
        raise InvalidProtocol(f"share={share}; give a share above 0, up to 1")
    events = activity.to_pandas()
    kind = target_kind(activity)
    visits = events.drop_duplicates(["consumer_id", "site_id"])[["consumer_id", "site_id"]]
    visits = visits[visits["consumer_id"].duplicated(keep=False)]
    with_target = events.loc[events["kind"] == kind, ["consumer_id", "site_id"]].drop_duplicates()
    choice = _sorted(visits.merge(with_target))
    generator = np.random.default_rng(random_state)
    choice = choice.iloc[generator.permutation(len(choice))].drop_duplicates("consumer_id")
    choice = choice.head(round(share * len(choice)))
    second = _is_among(events[["consumer_id", "site_id"]], choice)
    train, test = activity.filter(pa.array(~second)), activity.filter(pa.array(second))
    return Split("second_site", train, _targets(test, kind), mask_seen=False)


def _targets(activity: pa.Table, kind: str) -> pd.DataFrame:
    events = activity.select([*_PAIR, "kind"]).to_pandas()
    return _sorted(events.loc[events["kind"] == kind, _PAIR].drop_duplicates())


def _sorted(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(list(rows.columns)).reset_index(drop=True)


def _is_among(rows: pd.DataFrame, wanted: pd.DataFrame) -> np.ndarray:
    columns = list(rows.columns)
    return np.asarray(pd.MultiIndex.from_frame(rows).isin(pd.MultiIndex.from_frame(wanted[columns])))
