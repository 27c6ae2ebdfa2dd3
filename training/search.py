"""Which parameters rank a validation cut best: a study for each family of models. The only module that knows
`optuna`.

Every trial is first made on a small part of the data; only the best of a family are made on all of it
(successive halving). A study is kept in a file and goes on where it stopped.
"""

import hashlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.blend import Member
from models.recommender import FittedRecommender
from training.errors import InvalidProtocol
from training.families import FAMILIES, Family, Setting, Values
from training.questions import answer
from training.ranking import Score, score_model
from training.validation import Validation, small

logger = logging.getLogger(__name__)

SMALL_ITEMS: Final = 4_000
SMALL_CONSUMERS: Final = 20_000
MOST_TRIALS: Final = 40
"""Of each family, however much time there is: more find little."""

FINALISTS: Final = 2
"""So many of each family are made on all of the cut; the starting points follow as long as there is time."""

_SHARE_OF_TRIALS: Final = 0.33
_SHARE_OF_FINALS: Final = 0.9
_WORTH_MORE_TRIALS: Final = 0.75
_WORTH_ALL: Final = 0.6


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop.

    Parameters
    ----------
    budget_s : float
        Seconds for the whole search.
    n_trials : int or None
        So many trials of each family, however long they take: then a seed gives the same choice again.
    max_decision_us : float or None
        What ranking 10,000 promotions may take, see `training.cost.decision_us`. None: as long as it likes.
    """

    budget_s: float = 300.0
    n_trials: int | None = None
    max_decision_us: float | None = 300.0

    def __post_init__(self) -> None:
        for name in ("budget_s", "n_trials", "max_decision_us"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InvalidProtocol(f"{name}={value!r}: give a number above 0")


@dataclass(frozen=True, slots=True)
class Trial:
    """One try.

    Attributes
    ----------
    value : float
        Mean of the validation's metric.
    whole : bool
        Made on all of the cut, not on a small part.
    """

    family: str
    number: int
    values: Values
    value: float
    seconds: float
    whole: bool


@dataclass(frozen=True, eq=False, slots=True)
class Finalist:
    """A model made on all of the cut."""

    trial: Trial
    member: Member
    fitted: FittedRecommender
    score: Score


Told = Callable[[Trial], None]


def search(
    validation: Validation,
    *,
    limits: Limits,
    random_state: int,
    families: Sequence[Family] = FAMILIES,
    studies: Path | None = None,
    on_trial: Told = lambda _trial: None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[Finalist]:
    """Try models; the best of each family on all of the cut, best first.

    Parameters
    ----------
    studies : Path, optional
        A folder where studies are kept, so that a search that was interrupted goes on. Default: memory.
    """
    started = time.perf_counter()
    part = small(validation, n_items=SMALL_ITEMS, n_consumers=SMALL_CONSUMERS)
    setting = Setting.of(validation.interactions, random_state)
    tried = [
        _Study(family, part, random_state=random_state, folder=studies)
        for family in families
        if family.suits(setting)
    ]
    # Half of the progress is trials, half is finals.
    total = 2 * len(tried)
    until = started + limits.budget_s * _SHARE_OF_TRIALS
    _run_trials(
        tried, limits, until=until, on_trial=on_trial, on_done=lambda done: on_progress(done, 2 * total)
    )
    until = started + limits.budget_s * _SHARE_OF_FINALS
    finals = _finals(_promising(tried, _WORTH_ALL), also_starts=part is not validation)
    finalists: list[Finalist] = []
    for place, (family, trial) in enumerate(finals):
        on_progress(total + total * place // len(finals), 2 * total)
        if finalists and limits.n_trials is None and time.perf_counter() > until:
            logger.info("no time for %s %s on all of the cut", family.name, trial.values)
            continue
        finalists.append(_make(family, replace(trial, whole=True), validation, setting))
        on_trial(finalists[-1].trial)
    on_progress(2 * total, 2 * total)
    return sorted(finalists, key=lambda finalist: -finalist.trial.value)


def _finals(studies: Sequence["_Study"], *, also_starts: bool) -> list[tuple[Family, Trial]]:
    """What to make on all of the cut, in this order: the best of each family, and its other starting points.

    What is best among the most active items need not be best among all. The starting points were found on
    whole data, and are less alike than what a study draws last.
    """
    rounds = [[(study.family, trial) for study in studies for trial in study.best(FINALISTS)]]
    if also_starts:
        rounds.append([(study.family, trial) for study in studies for trial in study.started()])
    finals: list[tuple[Family, Trial]] = []
    for entries in rounds:
        entries.sort(key=lambda entry: -entry[1].value)
        finals += [entry for entry in entries if not _is_among(entry, finals)]
    return finals


def _is_among(entry: tuple[Family, Trial], others: Sequence[tuple[Family, Trial]]) -> bool:
    family, trial = entry
    return any(other is family and made.values == trial.values for other, made in others)


def _run_trials(
    studies: Sequence["_Study"],
    limits: Limits,
    *,
    until: float,
    on_trial: Told,
    on_done: Callable[[int], None],
) -> None:
    """Every family's starting points, and then more of those that promise most."""
    for place, study in enumerate(studies):
        on_done(place)
        # Out of time, each family still shows what its first starting point is worth.
        in_time = limits.n_trials is not None or time.perf_counter() < until
        study.run(study.n_starts if in_time else 1, on_trial=on_trial)
    promising = _promising(studies, _WORTH_MORE_TRIALS)
    for place, study in enumerate(promising):
        on_done(len(studies) + place * len(studies) // len(promising))
        left = (until - time.perf_counter()) / (len(promising) - place)
        study.run(limits.n_trials, until=time.perf_counter() + left, on_trial=on_trial)


def make_first(family: Family, validation: Validation, *, random_state: int) -> Finalist:
    """A family's first starting point, made on all of the cut."""
    setting = Setting.of(validation.interactions, random_state)
    return _make(family, _begun(family, 0, family.starts_in(setting)[0], whole=True), validation, setting)


def _promising(studies: Sequence["_Study"], share: float) -> list["_Study"]:
    """Those whose best is at least this share of the best of all, best first."""
    best = {study: study.best(1)[0].value for study in studies}
    enough = share * max(best.values())
    return sorted((one for one in studies if best[one] >= enough), key=lambda one: -best[one])


def measure(score: Score, validation: Validation) -> float:
    """The mean of the validation's metric."""
    rankings = answer(
        score,
        validation.questions,
        validation.interactions,
        prior=validation.crowd,
        masked=validation.masked,
        depth=validation.metric.k,
    )
    return float(validation.metric.of(rankings).mean())


def _begun(family: Family, number: int, values: Values, *, whole: bool) -> Trial:
    return Trial(family.name, number, values, value=0.0, seconds=0.0, whole=whole)


def _make(family: Family, trial: Trial, validation: Validation, setting: Setting) -> Finalist:
    started = time.perf_counter()
    member = family.member(trial.values, setting)
    fitted = member.model.fit(member.weighed(validation.interactions))
    score = score_model(fitted, validation.interactions)
    value = measure(score, validation)
    seconds = time.perf_counter() - started
    logger.info("%s: %.4f in %.1f s, %s", family.name, value, seconds, trial.values)
    return Finalist(replace(trial, value=value, seconds=seconds), member, fitted, score)


class _Study:
    """The trials of one family on a small part of the cut."""

    def __init__(
        self, family: Family, validation: Validation, *, random_state: int, folder: Path | None
    ) -> None:
        self.family, self._validation = family, validation
        self._setting = Setting.of(validation.interactions, random_state)
        self._study = _open_study(f"{family.name}-{_key(validation, random_state)}", folder)
        starts = family.starts_in(self._setting)
        self.n_starts = len(starts)
        if not self._study.trials:
            for start in starts:
                self._study.enqueue_trial(dict(start))

    def run(self, n_trials: int | None, *, until: float = np.inf, on_trial: Told) -> None:
        """Go on until there are so many trials, or until a moment."""
        for number in self._numbers(n_trials, until):
            # A sampler for each trial: one that is resumed draws what it would have drawn.
            self._study.sampler = _sampler(self._setting.random_state + number)
            trial = self._study.ask()
            begun = _begun(self.family, number, self.family.drawn(trial, self._setting), whole=False)
            made = _make(self.family, begun, self._validation, self._setting).trial
            trial.set_user_attr("seconds", made.seconds)
            self._study.tell(trial, made.value)
            on_trial(made)

    def best(self, n_trials: int) -> list[Trial]:
        """The best finished trials, best first."""
        return sorted(self._finished(), key=lambda trial: (-trial.value, trial.number))[:n_trials]

    def started(self) -> list[Trial]:
        """The starting points that were tried."""
        return [trial for trial in self._finished() if trial.number < self.n_starts]

    def _numbers(self, n_trials: int | None, until: float) -> Iterator[int]:
        while True:
            done = len(self._finished())
            late = time.perf_counter() > until or done >= MOST_TRIALS
            enough = late if n_trials is None else done >= n_trials
            if enough:
                return
            yield done

    def _finished(self) -> list[Trial]:
        return [
            Trial(
                self.family.name,
                trial.number,
                self.family.drawn(_Again(trial.params), self._setting),
                float(trial.value),
                float(trial.user_attrs.get("seconds", 0.0)),
                False,
            )
            for trial in self._study.trials
            if trial.value is not None
        ]


@dataclass(frozen=True, slots=True)
class _Again:
    """Draws what was drawn before."""

    values: Mapping[str, Any]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:  # noqa: ARG002
        return float(self.values[name])

    def suggest_categorical(self, name: str, choices: Any) -> Any:  # noqa: ARG002
        return self.values[name]


def _open_study(name: str, folder: Path | None) -> Any:
    # Importing it takes a second, and only a search needs it.
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = None
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            storage = JournalStorage(JournalFileBackend(str(folder / f"{name}.journal")))
    return optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)


def _sampler(seed: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, n_startup_trials=4)


def _key(validation: Validation, random_state: int) -> str:
    told = [
        validation.interactions.digest,
        validation.metric.name,
        random_state,
        validation.questions.n_relevant.tolist(),
    ]
    asked = np.ascontiguousarray(validation.questions.relevant.indices).tobytes()
    return hashlib.sha256(json.dumps(told).encode() + asked).hexdigest()[:16]
