"""scikit-learn transformers from counts of events to confidences.

Both keep the shape and the zeros of a sparse consumer-item matrix, so that they stand in a
`sklearn.pipeline.Pipeline` between `Interactions` and whatever learns.
"""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

Matrix = Any
"""csr float[n_consumers, n_items] or a dense array of that shape; never negative."""


class LogWeighting(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Confidence that grows with the logarithm of the evidence: scale · ln(1 + r / epsilon).

    Parameters
    ----------
    scale : float
        What multiplies the logarithm.
    epsilon : float
        Evidence from which on the growth slows down.

    Attributes
    ----------
    n_features_in_ : int
        Number of items.

    References
    ----------
    Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets (2008), equation 6.

    Examples
    --------
    >>> LogWeighting(scale=1.0, epsilon=1.0).fit_transform([[0.0, 1.0]]).round(3).tolist()
    [[0.0, 0.693]]
    """

    def __init__(self, scale: float = 1.0, epsilon: float = 1.0) -> None:
        self.scale = scale
        self.epsilon = epsilon

    def fit(self, X: Matrix, y: object = None) -> Self:  # noqa: ARG002
        """Check the parameters and remember the number of items."""
        _require_positive(self, "scale", "epsilon")
        _validated(self, X, reset=True)
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Weigh every cell: same shape, same type of matrix."""
        check_is_fitted(self)
        return _on_cells(_validated(self, X), lambda values: self.scale * np.log1p(values / self.epsilon))

    def __sklearn_tags__(self) -> Any:
        return _tags(super().__sklearn_tags__())


class Bm25Weighting(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Confidence that saturates, and counts less on items everybody knows and for consumers who do much.

    r · (k1 + 1) / (r + k1 · (1 − b + b · length / mean length)) · idf, where length is the consumer's sum
    and idf = ln(n_consumers / (1 + consumers of the item)), never below 0.

    Parameters
    ----------
    k1 : float
        The greater, the later the evidence saturates.
    b : float
        How much a long history is discounted, from 0 to 1.

    Attributes
    ----------
    idf_ : float64[n_items]
        What the rarity of an item multiplies.
    mean_length_ : float
        Mean sum of a consumer's row.

    References
    ----------
    Robertson, Zaragoza: The Probabilistic Relevance Framework: BM25 and Beyond (2009).
    """

    def __init__(self, k1: float = 100.0, b: float = 0.8) -> None:
        self.k1 = k1
        self.b = b

    def fit(self, X: Matrix, y: object = None) -> Self:  # noqa: ARG002
        """Learn how rare each item is and how long a history usually is."""
        _require_positive(self, "k1")
        if not 0 <= self.b <= 1:
            raise ValueError(f"b={self.b!r}: give a number from 0 to 1")
        matrix = sparse.csr_array(_validated(self, X, reset=True))
        matrix.eliminate_zeros()
        n_consumers = matrix.shape[0]
        consumers = np.bincount(matrix.indices, minlength=matrix.shape[1])
        self.idf_: NDArray[np.float64] = np.maximum(np.log(n_consumers) - np.log1p(consumers), 0.0)
        self.mean_length_ = float(matrix.sum() / n_consumers)
        return self

    def transform(self, X: Matrix) -> Matrix:
        """Weigh every cell: same shape, same type of matrix."""
        check_is_fitted(self)
        given = _validated(self, X)
        lengths = np.asarray(given.sum(axis=1), dtype=np.float64).ravel()
        mean = self.mean_length_ or 1.0
        late = self.k1 * (1 - self.b + self.b * lengths / mean)
        if not sparse.issparse(given):
            return _saturated(given, late[:, None], self.k1) * self.idf_
        row = np.repeat(np.arange(given.shape[0]), np.diff(given.indptr))
        weighed = given.copy()
        weighed.data = _saturated(given.data, late[row], self.k1) * self.idf_[given.indices]
        return weighed

    def __sklearn_tags__(self) -> Any:
        return _tags(super().__sklearn_tags__())


def _saturated(values: NDArray[Any], late: NDArray[np.float64], k1: float) -> NDArray[np.float64]:
    # 0 / 0 where a consumer without activity has no discount either.
    return np.divide(values * (k1 + 1), values + late, out=np.zeros(values.shape), where=values > 0)


def _validated(estimator: Any, X: ArrayLike | Matrix, *, reset: bool = False) -> Matrix:
    matrix = validate_data(
        estimator, X, reset=reset, accept_sparse="csr", dtype=(np.float64, np.float32), copy=False
    )
    check_non_negative(matrix, type(estimator).__name__)
    return matrix


def _on_cells(matrix: Matrix, weigh: Any) -> Matrix:
    if not sparse.issparse(matrix):
        return weigh(matrix)
    weighed = matrix.copy()
    weighed.data = weigh(matrix.data)
    return weighed


def _require_positive(estimator: Any, *names: str) -> None:
    for name in names:
        value = getattr(estimator, name)
        if not 0 < value < np.inf:
            raise ValueError(f"{name}={value!r}: give a finite number above 0")


def _tags(tags: Any) -> Any:
    tags.input_tags.sparse = True
    tags.input_tags.positive_only = True
    return tags
