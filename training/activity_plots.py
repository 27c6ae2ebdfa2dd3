"""Pictures of activity: when and where people are active, where they go next, what fills the matrix."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.dates import ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from features.interactions import Interactions
from features.weights import KINDS
from training.errors import NothingToEvaluate

MOST_SITES = 8
_OTHERS = "all others"


def activity_over_time(activity: pd.DataFrame, *, every: str = "W") -> Figure:
    """Events by week (or another pandas period), one panel a kind, one line a site.

    Parameters
    ----------
    activity : DataFrame
        Columns site_id, kind, occurred_at. Events without a time are left out.
    """
    timed = activity.dropna(subset=["occurred_at"])
    kinds = [kind for kind in KINDS if (timed["kind"] == kind).any()]
    if not kinds:
        raise NothingToEvaluate("no event has a time: there is nothing to draw over time")
    days = pd.DataFrame(
        {
            "kind": timed["kind"],
            "site": _busiest(timed["site_id"]),
            "period": timed["occurred_at"].dt.tz_localize(None).dt.to_period(every),
        }
    )
    figure = Figure(figsize=(9, 0.6 + 2.6 * len(kinds)), layout="constrained")
    for axes, kind in zip(figure.subplots(len(kinds), 1, squeeze=False)[:, 0], kinds, strict=True):
        counts = days[days["kind"] == kind].groupby(["period", "site"]).size().unstack(fill_value=0)
        # The first and last period are rarely whole, and would look like a rise and a fall.
        whole = counts.iloc[1:-1] if len(counts) > 4 else counts
        for site in whole.sum().sort_values(ascending=False).index:
            axes.plot(whole.index.to_timestamp(), whole[site], label=site)
        axes.set(title=kind.replace("_", " "), ylabel="events a period", yscale="log")
        axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def consumer_flow(activity: pd.DataFrame) -> Figure:
    """Of those active on a first site, the share that came to a second for the first time later.

    Without times: the share that is active on both.

    Parameters
    ----------
    activity : DataFrame
        Columns consumer_id, site_id, occurred_at.
    """
    sites, share, n_consumers = flow_shares(activity)
    figure = Figure(figsize=(2.6 + 0.75 * len(sites), 1.6 + 0.6 * len(sites)), layout="constrained")
    axes = figure.subplots()
    shown = np.ma.masked_where(np.eye(len(sites), dtype=bool), share)
    image = axes.imshow(shown, cmap="Blues", vmin=0)
    middle = float(np.nanmax(shown.filled(0))) / 2
    for row, column in np.ndindex(*share.shape):
        if row != column:
            colour = "white" if share[row, column] > middle else "black"
            axes.text(column, row, f"{share[row, column]:.0%}", ha="center", va="center", color=colour)
    places = range(len(sites))
    axes.set_xticks(places, sites, rotation=35, ha="right")
    axes.set_yticks(places, [f"{site} ({count:,})" for site, count in zip(sites, n_consumers, strict=True)])
    axes.set(xlabel="second site", ylabel="first site (consumers)", title="who comes to which site later")
    figure.colorbar(image, ax=axes, format="{x:.0%}", shrink=0.8)
    return figure


def flow_shares(activity: pd.DataFrame) -> tuple[list[str], NDArray[np.float64], list[int]]:
    """Sites, busiest first; share[first, second] as `consumer_flow` draws it; consumers of each site."""
    seen = pd.DataFrame({"consumer": activity["consumer_id"], "site": _busiest(activity["site_id"])})
    seen["at"] = activity["occurred_at"]
    timed = seen["at"].notna().any()
    firsts = seen.groupby(["consumer", "site"])["at"].min().unstack() if timed else None
    active = seen.groupby(["consumer", "site"]).size().unstack(fill_value=0) > 0
    sites = [str(site) for site in active.sum().sort_values(ascending=False, kind="stable").index]
    active = active[sites]
    share = np.zeros((len(sites), len(sites)))
    for row, first in enumerate(sites):
        for column, second in enumerate(sites):
            both = active[first] & active[second]
            if firsts is not None:
                both &= firsts[second] > firsts[first]
            share[row, column] = both.sum() / active[first].sum()
    return sites, share, [int(count) for count in active.sum()]


def matrix_density(interactions: Interactions) -> Figure:
    """How full the consumer-item matrix is: its long tails on both sides."""
    cells = interactions.confidence()
    n_consumers, n_items = cells.shape
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _tail(left, cells.getnnz(axis=1), "items of a consumer", "consumers with at least so many")
    _tail(right, cells.getnnz(axis=0), "consumers of an item", "items with at least so many")
    density = cells.nnz / (n_consumers * n_items)
    shape = f"{n_consumers:,} consumers × {n_items:,} items"
    figure.suptitle(f"{shape}, {cells.nnz:,} cells: {density:.3%} filled")
    return figure


def _tail(axes: Any, counts: NDArray[np.int32], what: str, share: str) -> None:
    ordered = np.sort(counts[counts > 0])
    axes.step(ordered, 1 - np.arange(len(ordered)) / len(ordered), where="post")
    median = float(np.median(ordered))
    axes.axvline(median, linestyle=":", color="grey", label=f"median {median:g}")
    axes.set(xscale="log", yscale="log", xlabel=what, ylabel=share)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{100 * value:g}%"))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _busiest(site_ids: pd.Series) -> pd.Series:
    """Site ids, those beyond the busiest few as one."""
    busiest = site_ids.value_counts().index[:MOST_SITES]
    return site_ids.where(site_ids.isin(busiest), _OTHERS)
