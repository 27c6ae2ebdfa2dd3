"""The gate before the champion: whether a version ranks worse than what serves now.

Two versions compare when they were asked the very same questions: their answers are then paired query by
query. So are versions of the same content, cut and seed, and a version and the champion of the day it was
trained (see `training.incumbent`).
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from storage.champions import Champion
from training.answers import ANSWERS_FILE, Answers, Gain, gain, read_answers
from training.results import EVALUATION_FOLDER
from training.tracking import ModelVersion, Tracker

NOT_COMPARED = "not compared"

_ASKED = ("content_digest", "judged_by", "judged_from", "random_state", "n_queries")


@dataclass(frozen=True, slots=True)
class Finding:
    """What the gate found.

    Attributes
    ----------
    verdict : str
        Of the version against the champion: `better`, `worse`, `no difference seen`, `not compared`.
    why : str
        The difference in NDCG@10 with its interval, or why there is none.
    """

    verdict: str
    why: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.why}"


def compare_with_champion(tracker: Tracker, version: ModelVersion, champion: Champion | None) -> Finding:
    """Compare a version with what serves now.

    Raises
    ------
    AnswersRefused, RegistryUnavailable
        When what was kept for this cannot be read.
    """
    if champion is None:
        return Finding(NOT_COMPARED, "there is no champion yet")
    if version.tags.get("digest") == champion.digest:
        return Finding(NOT_COMPARED, "it is the champion already")
    found = _gain(tracker, version, champion)
    if isinstance(found, str):
        return Finding(NOT_COMPARED, found)
    return Finding(found.verdict, in_words(found))


def in_words(found: Gain) -> str:
    """Such as `NDCG@10 lower by .012 (.004 to .020)`."""
    difference = found.difference
    if difference.mean < 0:
        return f"NDCG@10 lower by {_short(-difference.mean, -difference.high, -difference.low)}"
    return f"NDCG@10 higher by {_short(difference.mean, difference.low, difference.high)}"


def _gain(tracker: Tracker, version: ModelVersion, champion: Champion) -> Gain | str:
    mine = _kept(tracker, version)
    if mine is None:
        return "it was not judged"
    if champion.digest in mine:
        return gain(mine[champion.digest], mine[_kind(version)])
    registered = next((one for one in tracker.versions() if one.tags.get("digest") == champion.digest), None)
    theirs = None if registered is None else _kept(tracker, registered)
    if registered is None or theirs is None:
        return "the champion's answers were not kept"
    if (digest := version.tags.get("digest", "")) in theirs:
        return gain(theirs[_kind(registered)], theirs[digest])
    if [version.tags.get(name) for name in _ASKED] == [registered.tags.get(name) for name in _ASKED]:
        return gain(theirs[_kind(registered)], mine[_kind(version)])
    return "judged on other data"


def _kept(tracker: Tracker, version: ModelVersion) -> dict[str, Answers] | None:
    """Answers to the version's main protocol, by model kind or by the digest of the champion beside it."""
    # Versions from before answers were kept have no seed among their tags.
    protocol = version.tags.get("judged_by")
    if protocol is None or "random_state" not in version.tags:
        return None
    with tempfile.TemporaryDirectory() as directory:
        name = f"{EVALUATION_FOLDER}/{ANSWERS_FILE}"
        return read_answers(tracker.download(version.run_id, name, Path(directory)))[protocol]


def _kind(version: ModelVersion) -> str:
    return version.tags["model_kind"]


def _short(*values: float) -> str:
    mean, low, high = (f"{value:.3f}".replace("0.", ".", 1) for value in values)
    return f"{mean} ({low} to {high})"
