"""From the plans `auto` and `champion` to the plan of one model.

What is chosen has seen nothing of what it will be judged by.
"""

import json
import logging
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from features.errors import NoInteractions
from features.snapshot import Snapshot
from models.als import Als
from models.blend import Blend, Member
from storage.settings import Settings
from training.auto import Choice, choose
from training.cuts import choose_cut
from training.errors import InvalidProtocol, NothingToEvaluate
from training.fitting import AUTO, CHAMPION, Progress
from training.incumbent import Incumbent
from training.offers import Offered, choose_by_promotions
from training.plan import Plan
from training.plots import trials_by_family
from training.redemptions import PromotionRecords
from training.search import Trial
from training.split import leave_one_out, read_activity, split_by_time
from training.tracking import Run
from training.validation import Validation, validation_of

logger = logging.getLogger(__name__)

CHOICE_FOLDER = "choice"
STUDIES_FOLDER = "studies"


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """What a snapshot tells, read once for choosing and for judging.

    Attributes
    ----------
    cut : datetime or None
        The moment from which on plans are judged; None where there are no times.
    """

    activity: pa.Table
    records: PromotionRecords
    cut: datetime | None

    @classmethod
    def of(cls, snapshot: Snapshot, plan: Plan) -> "Known":
        """Read a snapshot for plans that are judged like this one."""
        activity, records = read_activity(snapshot.activity), PromotionRecords.from_snapshot(snapshot)
        return cls(activity, records, plan.cut or choose_cut(activity, records.conversions))


def resolve(
    plan: Plan,
    known: Known,
    settings: Settings,
    *,
    incumbent: Incumbent | None,
    run: Run,
    directory: Path,
    progress: Progress,
) -> Plan:
    """The plan itself; for `champion` its recipe and factors, for `auto` the blend that was chosen.

    Why that was chosen is kept in MLflow. Data too thin to choose by gives ALS with its defaults.

    Raises
    ------
    InvalidProtocol
        There is no champion.
    """
    if plan.model == CHAMPION:
        if incumbent is None:
            raise InvalidProtocol(
                "there is no champion whose recipe could be trained again; tailor train, then tailor promote"
            )
        return incumbent.plan(plan)
    if plan.model != AUTO:
        return plan
    trials: list[Trial] = []

    def on_trial(trial: Trial) -> None:
        trials.append(trial)
        _note(trial, run)

    try:
        validation = _before(known, plan)
        choice = choose(
            validation,
            limits=plan.limits,
            random_state=plan.random_state,
            studies=settings.home / STUDIES_FOLDER,
            on_trial=on_trial,
            on_progress=lambda stage, done, total: progress(f"choose: {stage}", done, total),
        )
    except (NothingToEvaluate, NoInteractions) as error:
        logger.warning("too little to choose a model by, so it is ALS with its defaults: %s", error)
        als = Member(Als(random_state=plan.random_state), 1.0, *plan.weights.by_kind.tolist())
        return replace(plan, model="blend", parameters=Blend((als,)))
    offered = choose_by_promotions(
        choice, validation, known.records, until=known.cut, random_state=plan.random_state
    )
    run.log(metrics={"validation": choice.value})
    run.log_folder(_written(choice, offered, trials, directory / CHOICE_FOLDER), CHOICE_FOLDER)
    if offered is None:
        return replace(plan, model="blend", parameters=choice.blend)
    pooling = plan.pooling or offered.pooling
    return replace(plan, model="blend", parameters=offered.blend, pooling=pooling)


def _before(known: Known, plan: Plan) -> Validation:
    """A cut of what comes before the one that judges."""
    judged = (
        leave_one_out(known.activity, random_state=plan.random_state)
        if known.cut is None
        else split_by_time(known.activity, known.cut)
    )
    return validation_of(judged.train, plan.weights, random_state=plan.random_state)


def _note(trial: Trial, run: Run) -> None:
    stage = "all of the cut" if trial.whole else "a part"
    run.log_trial(
        f"{trial.family} {trial.number}, {stage}",
        parameters={"family": trial.family, "stage": stage, **trial.values},
        metrics={"validation": trial.value, "seconds": trial.seconds},
    )


def _written(choice: Choice, offered: Offered | None, trials: list[Trial], directory: Path) -> Path:
    """Why it was chosen, as JSON and as a picture."""
    directory.mkdir()
    told = {
        "validation": choice.value,
        "popularity": choice.blend.popularity,
        "strength": choice.blend.strength,
        "members": [
            {"model": repr(member.model), "share": member.share, "page_view": member.page_view,
             "product_review": member.product_review, "purchase": member.purchase}
            for member in choice.blend.members
        ],
        "by promotions": None if offered is None else offered.values,
        "finalists": [asdict(finalist.trial) for finalist in choice.finalists],
        "trials": [asdict(trial) for trial in trials],
    }  # fmt: skip
    (directory / "choice.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    trials_by_family(trials, chosen=choice.value).savefig(directory / "trials.png", dpi=110)
    return directory
