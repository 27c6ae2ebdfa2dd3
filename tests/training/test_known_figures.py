"""The evaluator beside figures that others published to four digits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from training.benchmark import run_benchmark
from training.ranking import Score
from training.references import Reference

GOWALLA = Path(__file__).parents[3] / "shared" / "data" / "gowalla"


def fit_gf_cf(cells: sparse.csr_matrix, progress: Callable[[int, int], None]) -> Score:
    """GF-CF as published: h R̃ᵀR̃ + 0.3 · h D^−½ V Vᵀ D^½, R̃ = D_u^−½ R D^−½, V its 256 first right
    singular vectors (Shen et al.: How Powerful is Graph Convolution for Recommendation? 2021)."""
    clicked = cells.copy()
    clicked.data[:] = 1
    by_consumer = sparse.diags(1 / np.sqrt(np.maximum(np.asarray(clicked.sum(axis=1)).ravel(), 1)))
    degree = np.sqrt(np.maximum(np.asarray(clicked.sum(axis=0)).ravel(), 1))
    normalised = sparse.csr_matrix(by_consumer @ clicked @ sparse.diags(1 / degree), dtype=np.float32)
    start = np.random.default_rng(0).standard_normal(min(normalised.shape))
    vectors = svds(normalised, k=256, v0=start)[2].T
    linear = sparse.csr_matrix(normalised.T @ normalised)
    into = np.asarray(vectors / degree[:, None], dtype=np.float32)
    out = np.asarray(vectors * degree[:, None], dtype=np.float32)
    progress(1, 1)

    def score(rows: NDArray[np.int64], site: slice) -> NDArray[np.float32]:
        history = clicked[rows]
        low_pass = (history @ into) @ out[site].T
        return np.asarray((history @ linear[:, site]).toarray() + 0.3 * low_pass, dtype=np.float32)

    return score


@pytest.mark.skipif(not GOWALLA.is_dir(), reason="gowalla is not beside the project")
def test_gf_cf_on_gowalla_comes_out_as_published() -> None:
    report = run_benchmark(GOWALLA, model="popularity", beside=[Reference("here", fit_gf_cf)])
    here = next(one for one in report.lines if one.model == "here")
    published = next(one for one in report.lines if one.model == "GF-CF")
    for metric in ("recall@20", "ndcg@20"):
        ours, theirs = here.figures[metric], published.figures[metric]
        assert ours is not None
        assert theirs is not None
        assert ours.mean == pytest.approx(theirs.mean, abs=1e-4), metric
