"""One training: snapshot → interactions → judge → fit → bundle → MLflow."""

import logging
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from features.interactions import build_interactions
from features.snapshot import Snapshot
from models.alike import Likeness
from storage.database import Database
from storage.schema import check_schema
from storage.settings import Settings
from training.errors import InvalidProtocol
from training.fitting import AUTO, Progress
from training.incumbent import Incumbent, answers_of, find_incumbent
from training.judging import Evaluation, Judgement, evaluate, judge
from training.new_items import AskedNewItems, Descriptions, ask_new_items, learn_text, read_descriptions
from training.plan import Plan
from training.registration import about_data, register_model
from training.resolve import Known, resolve
from training.snapshots import fresh_snapshot, kept_snapshot
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
    seconds : float
        From the start of the training, which may be of several models.
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


def train(
    database: Database,
    settings: Settings,
    *,
    model: str = AUTO,
    random_state: int = 42,
    cut: datetime | None = None,
    progress: Progress | None = None,
) -> TrainingReport:
    """Train a model on what is stored now, judge it and register it. See `train_models`."""
    plan = Plan(model, random_state=random_state, cut=cut)
    return train_models(database, settings, plans=[plan], progress=progress)[0]


def train_again(
    settings: Settings, digest: str, *, plans: Sequence[Plan], progress: Progress | None = None
) -> list[TrainingReport]:
    """Train on the snapshot of an earlier training, as its run names it. See `train_snapshot`."""
    with kept_snapshot(settings, digest) as snapshot:
        return train_snapshot(snapshot, settings, plans=plans, progress=progress)


def train_models(
    database: Database, settings: Settings, *, plans: Sequence[Plan], progress: Progress | None = None
) -> list[TrainingReport]:
    """Train several models on one snapshot of what is stored now. See `train_snapshot`."""
    check_schema(database)
    with fresh_snapshot(database, settings, progress=progress) as snapshot:
        return train_snapshot(snapshot, settings, plans=plans, progress=progress)


def train_snapshot(
    snapshot: Snapshot, settings: Settings, *, plans: Sequence[Plan], progress: Progress | None = None
) -> list[TrainingReport]:
    """Judge models on a part of a snapshot, fit them on all of it, and register their bundles in MLflow.

    Interrupted or failed, it leaves runs that say so, no version of an unfinished one and no file of its own.

    Parameters
    ----------
    plans : sequence of Plan
        Of different models; they are asked the same questions, so seed, cut and weights are the same.
    """
    _check(plans)
    report = progress or _silent
    started = time.perf_counter()
    tracker = Tracker(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    reports = []
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".training-", dir=settings.home)))
        runs = [
            stack.enter_context(
                tracker.run(f"{plan.model} {snapshot.as_of:%Y-%m-%d %H:%M}", tags={"model_kind": plan.model})
            )
            for plan in plans
        ]
        incumbent = find_incumbent(tracker, settings)
        known = Known.of(snapshot, plans[0])
        plans = [
            resolve(plan, known, settings, incumbent=incumbent, run=run, directory=work, progress=report)
            for plan, run in zip(plans, runs, strict=True)
        ]
        evaluation = _judge(snapshot, known, plans, incumbent, report=report)
        interactions = build_interactions(snapshot, plans[0].weights)
        data = about_data(snapshot, interactions, known.cut)
        described = read_descriptions(snapshot.items)
        for plan, run in zip(plans, runs, strict=True):
            began = time.perf_counter()
            model = plan.fit_all(interactions, progress=partial(report, f"fit {plan.model}"))
            train_seconds = time.perf_counter() - began
            asked = _ask_new_items(plan, known, described, report=report)
            likeness = plan.likeness or (asked.likeness if asked else Likeness())
            judgement = judge(evaluation.of(plan.model), plan.model)
            report(f"register {plan.model}", 0, None)
            version, digest = register_model(
                run,
                model,
                plan=plan,
                interactions=interactions,
                text=learn_text(interactions.items, described, likeness),
                results=[*evaluation.of(plan.model), *(asked.results if asked else [])],
                answers=evaluation.answers_of(plan.model, *([incumbent.digest] if incumbent else [])),
                judgement=judgement,
                train_seconds=train_seconds,
                data=data,
                directory=work / plan.model,
            )
            report(f"register {plan.model}", 1, 1)
            seconds = time.perf_counter() - started
            logger.info("version %s: %s trained and registered in %.1f s", version, plan.model, seconds)
            reports.append(
                _report(version, plan, judgement, digest=digest, run_id=run.run_id, seconds=seconds)
            )
    return reports


def _ask_new_items(
    plan: Plan, known: Known, described: Descriptions, *, report: Progress
) -> AskedNewItems | None:
    """How new items are to be scored, and how well that ranks; None where the plan says it already."""
    if plan.likeness is not None:
        return None
    report(f"new items {plan.model}", 0, None)
    asked = ask_new_items(
        plan.fit, known.activity, described, weights=plan.weights, random_state=plan.random_state
    )
    report(f"new items {plan.model}", 1, 1)
    return asked


def _check(plans: Sequence[Plan]) -> None:
    if len({plan.model for plan in plans}) != len(plans) or not plans:
        raise InvalidProtocol(
            f"models {[plan.model for plan in plans]}; give one plan or more, each of another"
        )
    for plan in plans:
        if (plan.cut, plan.weights, plan.random_state) != (
            plans[0].cut,
            plans[0].weights,
            plans[0].random_state,
        ):
            raise InvalidProtocol(
                "plans with different cuts, weights or seeds do not compare; train them apart"
            )


def _judge(
    snapshot: Snapshot,
    known: Known,
    plans: Sequence[Plan],
    incumbent: Incumbent | None,
    *,
    report: Progress,
) -> Evaluation:
    first, cut = plans[0], known.cut
    same = partial(evaluate, known.activity, known.records, cut=cut, random_state=first.random_state)
    evaluation = same(
        fits=[plan.fit for plan in plans],
        poolings={plan.model: plan.pools_by for plan in plans},
        weights=first.weights,
        progress=partial(report, "evaluate"),
    )
    if incumbent is not None and not incumbent.was_asked(snapshot.content_digest, cut, first.random_state):
        beside = answers_of(
            incumbent,
            evaluation,
            plans=plans,
            ask=lambda champion: same(
                fits=[champion.fit],
                poolings={champion.kind: champion.pooling},
                weights=champion.weights,
                progress=partial(report, "evaluate the champion"),
            ),
        )
        for protocol, answers in beside.items():
            evaluation.answers.get(protocol, {})[incumbent.digest] = answers
    return evaluation


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
