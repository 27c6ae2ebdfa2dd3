"""What MLflow and the bundle are told about a training."""

import json
import logging
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from features.interactions import Interactions
from features.snapshot import Snapshot
from models.alike import ItemText
from models.recommender import FittedRecommender
from training.answers import ANSWERS_FILE, Answered, write_answers
from training.cost import Cost, decision_us, folder_bytes
from training.fitting import write_model
from training.judging import Judgement
from training.plan import Plan
from training.plots import save_plots
from training.results import EVALUATION_FOLDER, EVERYTHING, RESULTS_FILE, Result
from training.tracking import Run

logger = logging.getLogger(__name__)


def register_model(
    run: Run,
    model: FittedRecommender,
    *,
    plan: Plan,
    interactions: Interactions,
    text: ItemText | None,
    results: Sequence[Result],
    answers: Answered,
    judgement: Judgement | None,
    train_seconds: float,
    data: Mapping[str, Any],
    directory: Path,
) -> tuple[str, str]:
    """Write bundle and evaluation below `directory`, keep both in MLflow; return version and digest."""
    metrics = metrics_of(results, judgement)
    revision = code_revision()
    bundle = directory / "bundle"
    digest = write_model(
        bundle,
        model,
        interactions=interactions,
        pooling=plan.pools_by,
        text=text,
        metrics=metrics,
        data=data,
        code_revision=revision,
    )
    cost = Cost(train_seconds, folder_bytes(bundle), decision_us(model, plan.pools_by, interactions))
    parameters = {
        "model": plan.model,
        "random_state": plan.random_state,
        "code_revision": revision,
        **model.parameters(),
        **{f"weights.{name}": value for name, value in model.weights.to_json().items()},
        **{f"pooling.{name}": value for name, value in plan.pools_by.to_json().items()},
        **({} if text is None else {f"text.{name}": value for name, value in asdict(text.likeness).items()}),
        **{f"data.{name}": value for name, value in data.items()},
    }
    run.log(parameters=parameters, metrics={**metrics, **asdict(cost)})
    run.log_folder(_write_evaluation(results, answers, directory / EVALUATION_FOLDER), EVALUATION_FOLDER)
    version = run.register(bundle, tags=_tags(plan, judgement, digest, data, cost))
    return version, digest


def about_data(snapshot: Snapshot, interactions: Interactions, cut: datetime | None) -> dict[str, Any]:
    """What was learned from: digests, moments, counts."""
    return {
        "snapshot_digest": snapshot.digest,
        "content_digest": snapshot.content_digest,
        "interactions_digest": interactions.digest,
        "as_of": snapshot.as_of.isoformat(),
        "judged_from": None if cut is None else cut.isoformat(),
        "n_consumers": len(interactions.consumers),
        "n_items": len(interactions.items),
        "n_sites": len(interactions.items.site_ids),
        "n_cells": int(interactions.confidence().nnz),
    }


def metrics_of(results: Sequence[Result], judgement: Judgement | None) -> dict[str, float]:
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


def code_revision() -> str:
    """The git commit this code is of, `+changes` if it was edited since; `unknown` outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    describe = ["describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"]
    try:
        said = subprocess.run(
            ["git", "-C", str(root), *describe], capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.debug("no code revision: %s", error)
        return "unknown"
    return said.stdout.strip()


def _tags(
    plan: Plan, judgement: Judgement | None, digest: str, data: Mapping[str, Any], cost: Cost
) -> dict[str, str]:
    tags = {
        "model_kind": plan.model,
        "digest": digest,
        "snapshot_digest": str(data["snapshot_digest"]),
        "content_digest": str(data["content_digest"]),
        "as_of": str(data["as_of"]),
        "judged_from": str(data["judged_from"] or ""),
        "random_state": str(plan.random_state),
        **{name: f"{value:.6g}" for name, value in asdict(cost).items()},
    }
    if judgement is not None:
        tags |= {
            "judged_by": judgement.protocol,
            "n_queries": str(judgement.n_queries),
            "low": str(judgement.low),
            "high": str(judgement.high),
        }
    return tags


def _write_evaluation(results: Sequence[Result], answers: Answered, directory: Path) -> Path:
    directory.mkdir()
    write_answers(answers, directory / ANSWERS_FILE)
    rows = [asdict(result) for result in results]
    (directory / RESULTS_FILE).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if results:
        save_plots(results, directory)
    return directory
