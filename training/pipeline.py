"""One training: snapshot → interactions → judge → fit → bundle → MLflow."""

import json
import logging
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from features.interactions import Interactions, build_interactions
from features.snapshot import Snapshot, take_snapshot
from features.weights import InteractionWeights
from models.als import Als
from models.pooling import Pooling
from models.recommender import FittedRecommender
from storage.database import Database
from storage.schema import check_schema
from storage.settings import Settings
from training.cuts import choose_cut
from training.errors import InvalidProtocol
from training.fitting import DEFAULT_POOLING, MODEL_KINDS, Progress, fit, write_model
from training.judging import Judgement, evaluate, judge
from training.plots import save_plots
from training.redemptions import PromotionRecords
from training.results import EVALUATION_FOLDER, EVERYTHING, RESULTS_FILE, Result
from training.split import read_activity
from training.tracking import Tracker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What came out of a training.

    Attributes
    ----------
    version : str
        Its number in MLflow's registry; `tailor promote` makes it the champion.
    judged_by : str or None
        The protocol of the figures: `redemptions` where promotions were taken up. None: nothing to ask about.
    ndcg_at_10, low, high, popularity
        Mean over the queries, its 95 % interval, and popularity beside it.
    """

    version: str
    model: str
    judged_by: str | None
    ndcg_at_10: float | None
    low: float | None
    high: float | None
    popularity: float | None
    recall_at_10: float | None
    n_queries: int
    digest: str
    run_id: str
    seconds: float


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """What to train, and how to judge it.

    Parameters
    ----------
    model : str
        `als` or `popularity`.
    cut : datetime, optional
        Judge by what came after this moment, having learned from what was before. Default: a fitting one is
        chosen, see `training.cuts`.
    parameters, weights, pooling : optional
        Instead of the defaults.
    """

    model: str = "als"
    random_state: int = 42
    cut: datetime | None = None
    parameters: Als | None = None
    weights: InteractionWeights | None = None
    pooling: Pooling | None = None

    def __post_init__(self) -> None:
        if self.model not in MODEL_KINDS:
            raise InvalidProtocol(f"unknown model {self.model!r}; known: {', '.join(MODEL_KINDS)}")

    def fit(self, interactions: Interactions, *, progress: Any = None) -> FittedRecommender:
        """Fit the model on interactions."""
        return fit(
            self.model,
            interactions,
            random_state=self.random_state,
            parameters=self.parameters,
            progress=progress,
        )


def train(
    database: Database,
    settings: Settings,
    *,
    model: str = "als",
    random_state: int = 42,
    cut: datetime | None = None,
    progress: Progress | None = None,
) -> TrainingReport:
    """Train a model on what is stored now, judge it and register it. See `train_snapshot`."""
    plan = Plan(model, random_state=random_state, cut=cut)
    report = progress or _silent
    check_schema(database)
    report("snapshot", 0, None)
    snapshot = take_snapshot(database, settings.home / "snapshots")
    report("snapshot", 1, 1)
    return train_snapshot(snapshot, settings, plan=plan, progress=progress)


def train_snapshot(
    snapshot: Snapshot, settings: Settings, *, plan: Plan, progress: Progress | None = None
) -> TrainingReport:
    """Judge a model on a part of a snapshot, fit it on all of it, and register the bundle in MLflow.

    Interrupted or failed, it leaves a run that says so, no version and no file of its own.
    """
    report = progress or _silent
    started = time.perf_counter()
    weights = plan.weights or InteractionWeights()
    pooling = plan.pooling or DEFAULT_POOLING[plan.model]
    tracker = Tracker(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".training-", dir=settings.home) as work,
        tracker.run(f"{plan.model} {snapshot.as_of:%Y-%m-%d %H:%M}", tags={"model_kind": plan.model}) as run,
    ):
        results, cut = _judge(snapshot, plan, weights=weights, pooling=pooling, report=report)
        judgement = judge(results, plan.model)
        interactions = build_interactions(snapshot, weights)
        model = plan.fit(interactions, progress=lambda done, total: report("fit", done, total))
        data = _about_data(snapshot, interactions, cut)
        metrics = _metrics(results, judgement)
        bundle = Path(work) / "bundle"
        digest = write_model(
            bundle,
            model,
            interactions=interactions,
            pooling=pooling,
            metrics=metrics,
            data=data,
            code_revision=code_revision(),
        )
        report("register", 0, None)
        run.log(
            parameters=_parameters(plan, model, pooling, data),
            metrics={**metrics, "seconds": time.perf_counter() - started},
        )
        run.log_folder(_write_evaluation(results, Path(work) / EVALUATION_FOLDER), EVALUATION_FOLDER)
        version = run.register(bundle, tags=_tags(plan, judgement, digest, data))
        report("register", 1, 1)
    seconds = time.perf_counter() - started
    logger.info("version %s: %s trained and registered in %.1f s", version, plan.model, seconds)
    return _report(version, plan, judgement, digest=digest, run_id=run.run_id, seconds=seconds)


def code_revision() -> str:
    """The git commit this code is of, `+changes` if it was edited since; `unknown` outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        said = subprocess.run(
            [
                "git",
                "-C",
                str(root),
                "describe",
                "--always",
                "--abbrev=40",
                "--dirty=+changes",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()


def _judge(
    snapshot: Snapshot, plan: Plan, *, weights: InteractionWeights, pooling: Pooling, report: Progress
) -> tuple[list[Result], datetime | None]:
    activity = read_activity(snapshot.activity)
    records = PromotionRecords.from_snapshot(snapshot)
    cut = plan.cut or choose_cut(activity, records.conversions)
    results = evaluate(
        activity,
        records,
        fit=plan.fit,
        cut=cut,
        weights=weights,
        pooling=pooling,
        random_state=plan.random_state,
        progress=lambda done, total: report("evaluate", done, total),
    )
    return results, cut


def _about_data(snapshot: Snapshot, interactions: Interactions, cut: datetime | None) -> dict[str, Any]:
    return {
        "snapshot_digest": snapshot.digest,
        "interactions_digest": interactions.digest,
        "as_of": snapshot.as_of.isoformat(),
        "judged_from": None if cut is None else cut.isoformat(),
        "n_consumers": len(interactions.consumers),
        "n_items": len(interactions.items),
        "n_sites": len(interactions.items.site_ids),
        "n_cells": int(interactions.confidence().nnz),
    }


def _metrics(results: list[Result], judgement: Judgement | None) -> dict[str, float]:
    """Names such as `redemptions.als.ndcg_at_10` and `time.cold.popularity.recall_at_10`; `_low`, `_high`."""
    metrics: dict[str, float] = {}
    for one in results:
        if one.site_id != EVERYTHING:
            continue
        place = one.protocol if one.segment == EVERYTHING else f"{one.protocol}.{one.segment}"
        name = f"{place}.{one.model}.{one.metric}_at_{one.k}"
        metrics[name] = one.mean
        if one.low is not None and one.high is not None:
            metrics[f"{name}_low"], metrics[f"{name}_high"] = one.low, one.high
    if judgement is not None:
        metrics["ndcg_at_10"] = judgement.ndcg_at_10
        metrics["recall_at_10"] = judgement.recall_at_10
        metrics["popularity_ndcg_at_10"] = judgement.popularity
    return metrics


def _parameters(
    plan: Plan, model: FittedRecommender, pooling: Pooling, data: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "model": plan.model,
        "random_state": plan.random_state,
        **model.parameters(),
        **{f"weights.{name}": value for name, value in model.weights.to_json().items()},
        **{f"pooling.{name}": value for name, value in pooling.to_json().items()},
        **{f"data.{name}": value for name, value in data.items()},
        "code_revision": code_revision(),
    }


def _tags(plan: Plan, judgement: Judgement | None, digest: str, data: Mapping[str, Any]) -> dict[str, str]:
    tags = {
        "model_kind": plan.model,
        "digest": digest,
        "snapshot_digest": str(data["snapshot_digest"]),
        "as_of": str(data["as_of"]),
        "judged_from": str(data["judged_from"] or ""),
    }
    if judgement is not None:
        tags |= {
            "judged_by": judgement.protocol,
            "n_queries": str(judgement.n_queries),
            "low": str(judgement.low),
            "high": str(judgement.high),
        }
    return tags


def _write_evaluation(results: list[Result], directory: Path) -> Path:
    directory.mkdir()
    rows = [asdict(result) for result in results]
    (directory / RESULTS_FILE).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if results:
        save_plots(results, directory)
    return directory


def _report(
    version: str, plan: Plan, judgement: Judgement | None, *, digest: str, run_id: str, seconds: float
) -> TrainingReport:
    return TrainingReport(
        version=version,
        model=plan.model,
        judged_by=judgement.protocol if judgement else None,
        ndcg_at_10=judgement.ndcg_at_10 if judgement else None,
        low=judgement.low if judgement else None,
        high=judgement.high if judgement else None,
        popularity=judgement.popularity if judgement else None,
        recall_at_10=judgement.recall_at_10 if judgement else None,
        n_queries=judgement.n_queries if judgement else 0,
        digest=digest,
        run_id=run_id,
        seconds=seconds,
    )


def _silent(_stage: str, _done: int, _total: int | None) -> None:
    pass
