"""Transformers from counts to confidences, by scikit-learn's own checks, by hand and beside implicit."""

import numpy as np
import pytest
from implicit.nearest_neighbours import bm25_weight
from scipy import sparse
from sklearn.utils.estimator_checks import parametrize_with_checks

from features.weighting import Bm25Weighting, LogWeighting


@parametrize_with_checks([LogWeighting(), Bm25Weighting()])
def test_scikit_learns_contract_holds(estimator: object, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def counts() -> sparse.csr_array:
    random = np.random.default_rng(3)
    return sparse.csr_array(random.poisson(0.4, size=(60, 12)).astype(np.float64))


def test_a_logarithm_by_hand() -> None:
    weighed = LogWeighting(scale=2.0, epsilon=0.5).fit_transform(sparse.csr_array([[0.0, 1.0, 3.0]]))
    assert weighed.nnz == 2
    np.testing.assert_allclose(weighed.toarray(), [[0.0, 2 * np.log(3), 2 * np.log(7)]])


def test_bm25_is_what_implicit_makes_of_the_same_matrix() -> None:
    matrix = counts()
    oracle = bm25_weight(sparse.csr_matrix(matrix), K1=100, B=0.8).tocsr()
    weighed = Bm25Weighting(k1=100, b=0.8).fit_transform(matrix)
    np.testing.assert_allclose(weighed.toarray(), oracle.toarray())


def test_bm25_weighs_a_history_that_comes_later_by_what_it_learned() -> None:
    matrix = counts()
    learned = Bm25Weighting().fit(matrix)
    later = matrix[:1]
    np.testing.assert_allclose(learned.transform(later).toarray(), learned.transform(matrix)[:1].toarray())


@pytest.mark.parametrize("weighting", [LogWeighting(), Bm25Weighting()])
def test_dense_and_sparse_give_the_same(weighting: LogWeighting | Bm25Weighting) -> None:
    matrix = counts()
    dense = weighting.fit(matrix).transform(matrix.toarray())
    np.testing.assert_allclose(weighting.transform(matrix).toarray(), dense)


@pytest.mark.parametrize(
    ("weighting", "names"),
    [
        (LogWeighting(epsilon=0.0), "epsilon=0.0"),
        (LogWeighting(scale=-1.0), "scale=-1.0"),
        (Bm25Weighting(k1=np.inf), "k1=inf"),
        (Bm25Weighting(b=1.5), "b=1.5"),
    ],
)
def test_a_parameter_out_of_range_is_named(weighting: LogWeighting | Bm25Weighting, names: str) -> None:
    with pytest.raises(ValueError, match=names):
        weighting.fit(counts())
