"""Metrics by their names in a benchmark folder: hr@10, recall@20, ndcg@5, mrr@10, precision@3."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from training.errors import InvalidProtocol
from training.metrics import Rankings, hit_rate, ndcg, recall, reciprocal_rank

DEEPEST: Final = 10_000


def _precision(rankings: Rankings, k: int) -> NDArray[np.float64]:
    return np.asarray(rankings.hits[:, :k].sum(axis=1) / k)


_BY_NAME: Final[dict[str, Callable[[Rankings, int], NDArray[np.float64]]]] = {
    "hr": hit_rate,
    "hit_rate": hit_rate,
    "recall": recall,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
    "precision": _precision,
}


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a ranking.

    Attributes
    ----------
    name : str
        As the folder writes it.
    family : str
        hr (1 where anything relevant is among the first k), recall (found / relevant), ndcg (with the ideal
        order of all that is relevant), mrr or precision (found / k).
    """

    name: str
    family: str
    k: int

    def of(self, rankings: Rankings) -> NDArray[np.float64]:
        """Its value for each query, float64[n_queries]."""
        return _BY_NAME[self.family](rankings, self.k)


def parse_metric(name: Any) -> Metric:
    """Read a name such as `ndcg@10`."""
    match = re.fullmatch(r"([a-z_]+)@([1-9][0-9]{0,5})", str(name).strip().lower())
    if match is None or match[1] not in _BY_NAME or int(match[2]) > DEEPEST:
        known = ", ".join(f"{family}@k" for family in _BY_NAME)
        raise InvalidProtocol(f"unknown metric {name!r}; known: {known}, with k from 1 to {DEEPEST}")
    return Metric(str(name), match[1], int(match[2]))
