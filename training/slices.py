"""Figures as tables: a row for each slice or metric, a column for each model."""

from collections.abc import Sequence

import pandas as pd

from training.evaluate import SEGMENTS
from training.results import EVERYTHING, KNOWN, MAIN_K, NEW, Result

_GAP = 2
OVERALL_METRICS = ("ndcg", "recall", "mrr", "hit_rate", "coverage", "popularity_bias")


def slice_table(results: Sequence[Result], *, metric: str = "ndcg", k: int = MAIN_K) -> pd.DataFrame:
    """One metric of each model, slice by slice: mean ± half of its 95 % interval.

    Returns
    -------
    DataFrame
        Rows (asked, site, who, queries): all queries, then by what is known of the consumer (where new items
        are asked about, by which items are to be found), then by site.
        Columns: the models. Empty text where it was not measured.
    """
    mine = [one for one in results if (one.metric, one.k) == (metric, k)]
    order = {name: place for place, name in enumerate((EVERYTHING, *SEGMENTS, NEW, KNOWN))}
    protocols = list(dict.fromkeys(one.protocol for one in mine))
    mine.sort(
        key=lambda one: (
            protocols.index(one.protocol),
            one.site_id != EVERYTHING,
            one.site_id,
            order[one.segment],
        )
    )
    rows = [((one.protocol, one.site_id, one.segment, one.n_queries), one) for one in mine]
    return _table(rows, ["asked", "site", "who", "queries"], _models(results))


def metric_table(results: Sequence[Result]) -> pd.DataFrame:
    """Every metric of each model over all queries: rows (asked, metric), columns the models."""
    mine = [
        one
        for one in results
        if (one.site_id, one.segment) == (EVERYTHING, EVERYTHING)
        and one.k == MAIN_K
        and one.metric in OVERALL_METRICS
    ]
    rows = [((one.protocol, f"{one.metric.replace('_', ' ')}@{one.k}"), one) for one in mine]
    return _table(rows, ["asked", "metric"], _models(results))


def parts_as_wide_as(table: pd.DataFrame, width: int) -> list[pd.DataFrame]:
    """A table in parts, each with all rows and as many models as fit beside them: at least one.

    Parameters
    ----------
    width : int
        Characters of a line; two part one column from the next.
    """
    told = table.reset_index().astype(str)
    widths = {name: max(len(str(name)), *told[name].str.len()) + _GAP if len(told) else 0 for name in told}
    left = width + _GAP - sum(widths[name] for name in table.index.names)
    parts: list[list[str]] = [[]]
    room = left
    for model in table.columns:
        if parts[-1] and widths[model] > room:
            parts.append([])
            room = left
        parts[-1].append(model)
        room -= widths[model]
    return [table[models] for models in parts]


def _models(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(one.model for one in results))


def _table(
    rows: Sequence[tuple[tuple[str | int, ...], Result]], names: list[str], models: list[str]
) -> pd.DataFrame:
    cells: dict[tuple[str | int, ...], dict[str, str]] = {}
    for key, one in rows:
        cells.setdefault(key, {})[one.model] = _cell(one)
    index = pd.MultiIndex.from_tuples(cells, names=names)
    return pd.DataFrame([[row.get(model, "") for model in models] for row in cells.values()], index, models)


def _cell(one: Result) -> str:
    if one.low is None or one.high is None:
        return f"{one.mean:.3f}"
    return f"{one.mean:.3f}±{(one.high - one.low) / 2:.3f}"
