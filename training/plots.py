"""Pictures of an evaluation, for MLflow's page and the notebook."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from training.results import EVERYTHING, MAIN_K, RECALL_AT, Result, find

_LABELS = {
    "redemptions": "promotions taken up, of all live",
    "redemptions_sent": "promotions taken up, of those sent",
    "time": "items, later in time",
    "leave_one_out": "items, one held out",
    "second_site": "items on a second site",
}


def recall_by_k(results: Sequence[Result]) -> Figure:
    """How recall grows with the number of places, one panel a protocol, one line a model."""
    protocols = _protocols(results)
    figure = Figure(figsize=(4 * len(protocols), 3.4), layout="constrained")
    for axes, protocol in zip(figure.subplots(1, len(protocols), squeeze=False)[0], protocols, strict=True):
        for model in _models(results):
            points = [find(results, protocol=protocol, model=model, metric="recall", k=k) for k in RECALL_AT]
            known = [point for point in points if point is not None]
            ks = [point.k for point in known]
            (line,) = axes.plot(ks, [point.mean for point in known], marker="o", label=model)
            lows, highs = [point.low or 0 for point in known], [point.high or 0 for point in known]
            axes.fill_between(ks, lows, highs, alpha=0.15, color=line.get_color())
        axes.set(title=_LABELS.get(protocol, protocol), xlabel="places k", ylabel="recall@k", ylim=(0, None))
        axes.legend()
    return figure


def metric_by_model(results: Sequence[Result], *, metric: str = "ndcg", k: int = MAIN_K) -> Figure:
    """One metric of each model with its 95 % interval, one panel a protocol."""
    protocols = _protocols(results)
    figure = Figure(figsize=(4 * len(protocols), 2.4), layout="constrained")
    for axes, protocol in zip(figure.subplots(1, len(protocols), squeeze=False)[0], protocols, strict=True):
        for model in _models(results):
            found = find(results, protocol=protocol, model=model, metric=metric, k=k)
            if found is not None and found.low is not None and found.high is not None:
                spread = [[found.mean - found.low], [found.high - found.mean]]
                axes.barh([model], [found.mean], xerr=spread, capsize=4, height=0.5)
        axes.set(title=_LABELS.get(protocol, protocol), xlabel=f"{metric}@{k}", xlim=(0, None))
    return figure


def save_plots(results: Sequence[Result], directory: Path) -> list[Path]:
    """Write the pictures as PNG files into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    figures = {"recall_by_k.png": recall_by_k(results), "ndcg_by_model.png": metric_by_model(results)}
    for name, figure in figures.items():
        figure.savefig(directory / name, dpi=110)
    return [directory / name for name in figures]


def _protocols(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result.protocol for result in results if result.site_id == EVERYTHING))


def _models(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(result.model for result in results))
