"""The model that chooses itself: search on a cut, mix what was found, and fit that on everything."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.interactions import Interactions
from models.blend import Blend, FittedBlend, Member, assemble, standing
from models.pooling import Pooling
from models.popularity import Popularity
from training.cost import decision_us
from training.families import MODEST
from training.mixing import Rules, ScoreTable, mix, tabulate
from training.ranking import Score
from training.search import Finalist, Limits, Told, make_first, search
from training.validation import Validation

logger = logging.getLogger(__name__)

STRENGTHS: Final = (1.0, 5.0, 25.0)
"""With so many items in the history popularity counts half: one of these is chosen."""


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """What was chosen, and why.

    Attributes
    ----------
    blend : Blend
        Unfitted.
    fitted : FittedBlend
        Fitted on what comes before the validation's cut.
    value : float
        The validation's metric with it.
    finalists : list of Finalist
        What it was chosen from, best first.
    """

    blend: Blend
    fitted: FittedBlend
    value: float
    finalists: list[Finalist]


def choose(
    validation: Validation,
    *,
    limits: Limits,
    random_state: int,
    studies: Path | None = None,
    on_trial: Told = lambda _trial: None,
    on_progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None,
) -> Choice:
    """Choose a blend that ranks the validation's questions best; see `search` and `mix`."""
    finalists = search(
        validation,
        limits=limits,
        random_state=random_state,
        studies=studies,
        on_trial=on_trial,
        on_progress=lambda done, total: on_progress("search", done, total),
    )
    left_us, costs = np.inf, [0.0] * len(finalists)
    if limits.max_decision_us is not None:
        rest = decision_us(Popularity().fit(validation.interactions), Pooling(), validation.interactions)
        left_us = limits.max_decision_us - rest
        costs = [_cost(one, validation.interactions, rest) for one in finalists]
        if min(costs) > left_us:
            finalists.append(make_first(MODEST, validation, random_state=random_state))
            costs.append(_cost(finalists[-1], validation.interactions, rest))
    crowds = [_crowd(validation, strength) for strength in STRENGTHS]
    table = tabulate(
        [*(finalist.score for finalist in finalists), *crowds],
        validation.questions,
        validation.interactions,
        masked=validation.masked,
        progress=lambda done, total: on_progress("mix", done, total),
    )
    rules = _rules(costs, left_us)
    weights, value = mix(table, validation.metric.of, depth=validation.metric.k, rules=rules)
    blend = _blend([finalist.member for finalist in finalists], weights / _height(table, weights))
    logger.info("chosen: %s, %s %.4f", blend, validation.metric.name, value)
    made = [finalist.fitted for finalist, weight in zip(finalists, weights, strict=False) if weight > 0]
    fitted = assemble(blend, made or [finalists[0].fitted], validation.interactions)
    return Choice(blend, fitted, value, finalists)


def _cost(finalist: Finalist, interactions: Interactions, rest: float) -> float:
    """What a model adds to the rest of a decision, in microseconds."""
    cost = max(0.1, decision_us(finalist.fitted, Pooling(), interactions) - rest)
    logger.info("%s: %.0f us a decision, beside %.0f for the rest", finalist.trial.family, cost, rest)
    return cost


def _rules(costs: list[float], left_us: float) -> Rules:
    """At most one strength of popularity, and all of it within what a decision may cost."""
    groups = np.array([*range(len(costs)), *(len(costs) for _ in STRENGTHS)])
    return Rules(groups, np.array([*costs, *(0.0 for _ in STRENGTHS)]), left_us)


def _height(table: ScoreTable, weights: NDArray[np.float64]) -> float:
    """What the best candidate of a question scores on average: 1 after dividing by it."""
    total = np.tensordot(weights.astype(np.float32), np.nan_to_num(table.scores, neginf=0.0), axes=1)
    return max(float(total.max(axis=1).mean()), 1e-9)


def _blend(members: list[Member], weights: NDArray[np.float64]) -> Blend:
    shares, crowd = weights[: len(members)], weights[len(members) :]
    chosen = tuple(
        replace(member, share=float(share))
        for member, share in zip(members, shares, strict=True)
        if share > 0
    )
    if not chosen:
        # Popularity alone won: the best model stays, and counts next to nothing.
        chosen = (replace(members[0], share=1e-6),)
    counts = int(np.argmax(crowd))
    return Blend(chosen, popularity=float(crowd[counts]), strength=STRENGTHS[counts])


def _crowd(validation: Validation, strength: float) -> Score:
    counts = standing(validation.interactions.history_lengths, strength)
    return lambda rows, site: counts[rows, np.newaxis] * validation.crowd[site]
