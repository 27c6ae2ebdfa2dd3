"""Pictures of an evaluation, for MLflow's page, the notebook and `tailor compare --plots`."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from training.compare import ComparedModel
from training.evaluate import SEGMENTS
from training.results import EVERYTHING, MAIN_K, POPULARITY, RECALL_AT, Result, find
from training.search import Trial

MOST_SITES = 12

_LABELS = {
    "redemptions": "promotions taken up, of all live",
    "redemptions_sent": "promotions taken up, of those sent",
    "time": "items, later in time",
    "leave_one_out": "items, one held out",
    "second_site": "items on a second site",
    "new_items": "new items, by their text",
    "new_items_without_text": "new items, without text",
}
_COLOURS = (
    "tab:blue",
    "tab:orange",
    "tab:green",
    "tab:red",
    "tab:purple",
    "tab:brown",
    "tab:pink",
    "tab:cyan",
)
_GREY = ("0.55", "0.35", "0.75")
_PANELS_A_ROW = 3
_DPI = 110


def recall_by_k(results: Sequence[Result]) -> Figure:
    """How recall grows with the number of places, one panel a protocol, one line a model."""

    def draw(axes: Any, protocol: str) -> None:
        for model, colour in _colours(results).items():
            points = [find(results, protocol=protocol, model=model, metric="recall", k=k) for k in RECALL_AT]
            known = [point for point in points if point is not None]
            ks = [point.k for point in known]
            axes.plot(ks, [point.mean for point in known], marker="o", label=model, color=colour)
            lows, highs = [point.low or 0 for point in known], [point.high or 0 for point in known]
            axes.fill_between(ks, lows, highs, alpha=0.15, color=colour, linewidth=0)
        axes.set(xlabel="places k", ylabel="recall@k", ylim=(0, None), xticks=RECALL_AT)

    return _panels(_protocols(results), draw, height=3.2)


def metric_by_model(results: Sequence[Result], *, metric: str = "ndcg", k: int = MAIN_K) -> Figure:
    """One metric of each model with its 95 % interval, one panel a protocol."""

    def draw(axes: Any, protocol: str) -> None:
        models = _colours(results)
        for place, (model, colour) in enumerate(models.items()):
            found = find(results, protocol=protocol, model=model, metric=metric, k=k)
            if found is not None:
                style = {"capsize": 4, "height": 0.6, "color": colour, "label": model}
                axes.barh(place, found.mean, xerr=_spread(found), **style)
        axes.set_yticks([])
        axes.invert_yaxis()
        axes.set(xlabel=f"{metric}@{k}", xlim=(0, None))

    return _panels(_protocols(results), draw, height=1.1 + 0.3 * len(_colours(results)))


def metric_by_segment(results: Sequence[Result], *, metric: str = "ndcg", k: int = MAIN_K) -> Figure:
    """One metric by what is known of the consumer: much (hot), little (warm) or nothing (cold)."""
    mine = [one for one in results if one.segment in SEGMENTS and (one.metric, one.k) == (metric, k)]
    return _dots(results, mine, lambda one: one.segment, list(SEGMENTS), xlabel=f"{metric}@{k}")


def metric_by_site(results: Sequence[Result], *, metric: str = "ndcg", k: int = MAIN_K) -> Figure:
    """One metric by site, those with most queries first."""
    mine = [one for one in results if one.site_id != EVERYTHING and (one.metric, one.k) == (metric, k)]
    asked: dict[str, int] = {}
    for one in mine:
        asked[one.site_id] = max(asked.get(one.site_id, 0), one.n_queries)
    sites = sorted(asked, key=lambda site_id: (-asked[site_id], site_id))[:MOST_SITES]
    return _dots(results, mine, lambda one: one.site_id, sites, xlabel=f"{metric}@{k}")


def coverage_and_bias(results: Sequence[Result], *, k: int = MAIN_K) -> Figure:
    """How many different things are shown, against how popular they are, one panel a protocol."""

    def draw(axes: Any, protocol: str) -> None:
        for model, colour in _colours(results).items():
            shown = find(results, protocol=protocol, model=model, metric="coverage", k=k)
            bias = find(results, protocol=protocol, model=model, metric="popularity_bias", k=k)
            if shown is not None and bias is not None:
                axes.scatter(bias.mean, shown.mean, s=70, color=colour, label=model, zorder=3)
        axes.axvline(0.5, linestyle=":", color="grey")
        axes.set(xlabel=f"popularity percentile of the first {k}", ylabel=f"shown to anybody @{k}")
        axes.set(xlim=(0, 1.05), ylim=(0, None))
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=None))
        axes.grid(alpha=0.3)

    return _panels(_protocols(results), draw, height=3.2)


def quality_against_cost(rows: Sequence[ComparedModel]) -> Figure:
    """NDCG@10 of each version against what it costs: to decide, to train, to keep."""
    costs: list[tuple[str, Callable[[ComparedModel], float | None]]] = [
        ("microseconds a decision", lambda row: row.decision_us),
        ("seconds to train", lambda row: row.train_seconds),
        ("megabytes of bundle", lambda row: None if row.bundle_bytes is None else row.bundle_bytes / 1e6),
    ]
    by_label = dict(costs)
    colours = _colours_of([row.name for row in rows])

    def draw(axes: Any, label: str) -> None:
        for row in rows:
            cost = by_label[label](row)
            if cost is not None and row.ndcg_at_10 is not None and None not in (row.low, row.high):
                spread = [[row.ndcg_at_10 - (row.low or 0)], [(row.high or 0) - row.ndcg_at_10]]
                style = {"color": colours[row.name], "label": row.name, "capsize": 3, "fmt": "o"}
                axes.errorbar(cost, row.ndcg_at_10, yerr=spread, **style)
        axes.set(xlabel=label, ylabel=f"ndcg@{MAIN_K}", xlim=(0, None), ylim=(0, None), title="")
        axes.grid(alpha=0.3)

    return _panels([label for label, _ in costs], draw, height=3.2)


def trials_by_family(trials: Sequence[Trial], *, chosen: float) -> Figure:
    """What a search tried: the metric of each try, on a part of the cut (small marks) or on all of it."""
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes: Any = figure.subplots()
    families = list(dict.fromkeys(trial.family for trial in trials))
    for family, colour in _colours_of(families).items():
        for whole, marker, size in ((False, "o", 18), (True, "D", 48)):
            points = [
                (place, trial.value)
                for place, trial in enumerate(trials)
                if (trial.family, trial.whole) == (family, whole)
            ]
            if points:
                axes.scatter(
                    *zip(*points, strict=True),
                    color=colour,
                    marker=marker,
                    s=size,
                    label=f"{family}, {'all of the cut' if whole else 'a part of it'}",
                )
    axes.axhline(chosen, color="black", linewidth=1, label="chosen blend, all of the cut")
    axes.set(xlabel="try", ylabel="validation metric", ylim=(0, None))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return figure


def save_plots(
    results: Sequence[Result], directory: Path, *, rows: Sequence[ComparedModel] = ()
) -> list[Path]:
    """Write the pictures that there is something to draw for, as PNG files into `directory`.

    Parameters
    ----------
    rows : sequence of ComparedModel
        For quality against cost.
    """
    directory.mkdir(parents=True, exist_ok=True)
    figures = {}
    if results:
        figures["ndcg_by_model.png"] = metric_by_model(results)
        figures["recall_by_k.png"] = recall_by_k(results)
        figures["coverage_and_bias.png"] = coverage_and_bias(results)
    if any(one.segment != EVERYTHING for one in results):
        figures["ndcg_by_segment.png"] = metric_by_segment(results)
    if any(one.site_id != EVERYTHING for one in results):
        figures["ndcg_by_site.png"] = metric_by_site(results)
    if any(row.decision_us is not None and row.ndcg_at_10 is not None for row in rows):
        figures["quality_against_cost.png"] = quality_against_cost(rows)
    for name, figure in figures.items():
        figure.savefig(directory / name, dpi=_DPI)
    return [directory / name for name in figures]


def _panels(names: Sequence[str], draw: Callable[[Any, str], None], *, height: float) -> Figure:
    """One panel a name, three a row, and one legend for all of them below."""
    n_columns = 2 if len(names) == 4 else min(len(names), _PANELS_A_ROW)
    n_rows = -(-len(names) // n_columns)
    figure = Figure(figsize=(max(4.2 * n_columns, 5), height * n_rows + 0.4), layout="constrained")
    every = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, name in zip(every, names, strict=False):
        axes.set_title(_LABELS.get(name, name), fontsize="medium")
        draw(axes, name)
    for axes in every[len(names) :]:
        axes.set_axis_off()
    entries: dict[str, Any] = {}
    for axes in every:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    figure.legend(entries.values(), entries, loc="outside lower center", ncols=min(len(entries), 4))
    return figure


def _dots(
    results: Sequence[Result],
    mine: Sequence[Result],
    row_of: Callable[[Result], str],
    order: Sequence[str],
    *,
    xlabel: str,
) -> Figure:
    """One row a slice, one dot a model with its interval, one panel a protocol."""
    colours = _colours(results)

    def draw(axes: Any, protocol: str) -> None:
        asked = {row_of(one): one.n_queries for one in mine if one.protocol == protocol}
        rows = [name for name in order if name in asked]
        for number, (model, colour) in enumerate(colours.items()):
            shift = 0.6 * ((number + 0.5) / len(colours) - 0.5)
            dots = {row_of(one): one for one in mine if (one.protocol, one.model) == (protocol, model)}
            for place, name in enumerate(rows):
                if name in dots:
                    style = {"color": colour, "label": model, "capsize": 3, "fmt": "o"}
                    axes.errorbar(dots[name].mean, place + shift, xerr=_spread(dots[name]), **style)
        axes.set_yticks(range(len(rows)), [f"{name} ({asked[name]:,})" for name in rows])
        axes.set(xlabel=xlabel, xlim=(0, None), ylim=(len(rows) - 0.5, -0.5))
        axes.grid(axis="x", alpha=0.3)

    protocols = [name for name in _protocols(results) if any(one.protocol == name for one in mine)]
    most = max(len({row_of(one) for one in mine if one.protocol == name}) for name in protocols)
    each = max(0.22, 0.16 * len(colours))
    return _panels(protocols, draw, height=1.0 + each * min(most, len(order)))


def _spread(one: Result) -> list[list[float]] | None:
    if one.low is None or one.high is None:
        return None
    return [[one.mean - one.low], [one.high - one.mean]]


def _protocols(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result.protocol for result in results if result.site_id == EVERYTHING))


def _colours(results: Sequence[Result]) -> dict[str, str]:
    return _colours_of(list(dict.fromkeys(result.model for result in results)))


def _colours_of(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model, in their order; popularity in grey."""
    grey = [model for model in models if POPULARITY in model]
    others = [model for model in models if POPULARITY not in model]
    colours = {model: _GREY[place % len(_GREY)] for place, model in enumerate(grey)}
    colours |= {model: _COLOURS[place % len(_COLOURS)] for place, model in enumerate(others)}
    return {model: colours[model] for model in models}
