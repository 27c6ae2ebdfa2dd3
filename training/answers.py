"""What a model answered to each question, kept so that two models can be compared question by question.

Nothing here tells who was asked: consumers are numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from training.errors import AnswersRefused, InvalidProtocol
from training.metrics import Interval, Rankings, bootstrap_intervals, ndcg
from training.results import MAIN_K

ANSWERS_FILE = "answers.npz"

_SEPARATOR = "/"
_CONSUMER, _NDCG = "consumer", "ndcg"


@dataclass(frozen=True, eq=False, slots=True)
class Answers:
    """How well each query was answered.

    Attributes
    ----------
    consumer : int64[n_queries]
        Whose query it is: equal numbers, same consumer.
    ndcg : float64[n_queries]
        NDCG@10 of each.
    """

    consumer: NDArray[np.int64]
    ndcg: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ndcg)

    def __repr__(self) -> str:
        return f"Answers({len(self)} queries of {self.n_consumers} consumers)"

    @classmethod
    def of(cls, rankings: Rankings, consumers: Sequence[str] | NDArray[np.str_]) -> "Answers":
        """The answers of a model to the queries of these consumers."""
        numbers = np.unique(np.asarray(consumers), return_inverse=True)[1]
        return cls(numbers.astype(np.int64), ndcg(rankings, MAIN_K))

    @property
    def n_consumers(self) -> int:
        """How many consumers were asked about."""
        return len(np.unique(self.consumer))


Answered = Mapping[str, Mapping[str, Answers]]
"""Protocol → model → its answers; all models of a protocol were asked the same."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Two models over the same queries: the mean of each, and of the differences query by query."""

    before: Interval
    after: Interval
    difference: Interval

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or `no difference seen`: 0 lies within the interval."""
        if self.difference.low > 0:
            return "better"
        return "worse" if self.difference.high < 0 else "no difference seen"


def gain(before: Answers, after: Answers) -> Gain:
    """What the second model adds to the first; consumers are drawn, as their queries go together.

    Raises
    ------
    InvalidProtocol
        When they were not asked the same.
    """
    if not np.array_equal(before.consumer, after.consumer):
        raise InvalidProtocol(f"{before!r} and {after!r} do not compare: they were asked different questions")
    columns = np.stack([before.ndcg, after.ndcg, after.ndcg - before.ndcg], axis=1)
    return Gain(*bootstrap_intervals(columns, groups=before.consumer))


def write_answers(answered: Answered, file: Path) -> None:
    """Keep answers as plain arrays: `PROTOCOL/consumer`, and `PROTOCOL/ndcg/MODEL` for each model."""
    arrays: dict[str, Any] = {}
    for protocol, by_model in answered.items():
        for model, answers in by_model.items():
            arrays[_SEPARATOR.join((protocol, _CONSUMER))] = answers.consumer
            arrays[_SEPARATOR.join((protocol, _NDCG, model))] = answers.ndcg
    with file.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_answers(file: Path) -> dict[str, dict[str, Answers]]:
    """Read what `write_answers` kept; nothing in it is ever executed.

    Raises
    ------
    AnswersRefused
        When the file is damaged.
    """
    answered: dict[str, dict[str, Answers]] = {}
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            for name in arrays.files:
                protocol, what, model = f"{name}{_SEPARATOR}".split(_SEPARATOR, 2)
                if what == _NDCG:
                    consumer = arrays[_SEPARATOR.join((protocol, _CONSUMER))]
                    mine = Answers(consumer, arrays[name])
                    answered.setdefault(protocol, {})[model.rstrip(_SEPARATOR)] = mine
    except (ValueError, KeyError, EOFError, BadZipFile) as error:
        raise AnswersRefused(f"{file.name} cannot be read: {error}; train again to compare") from error
    return answered
