"""Items that came after the training: scored by their text where promotions cover nothing that is known."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from models.unseen import popularity_with_unseen, with_unseen
from serving.catalog import Catalogue
from serving.live_model import LiveModel


def knowing_the_new(model: LiveModel, catalogue: Catalogue) -> LiveModel:
    """Return the champion as it also scores items by their text; as it was loaded, where none are needed.

    Only items of promotions that cover nothing known: the others are scored by what is known.
    """
    loaded = model.loaded or model.bundle
    pairs = _needed(loaded.items.columns, catalogue) if loaded.text is not None else []
    told = [catalogue.describe(pair) for pair in pairs]
    if loaded.text is None or (extended := with_unseen(loaded.model, loaded.text, pairs, told)) is None:
        return model if model.loaded is None else LiveModel(model.info, loaded)
    popularity = popularity_with_unseen(loaded.popularity, extended)
    return LiveModel(model.info, replace(loaded, model=extended, popularity=popularity), loaded)


def _needed(known: Mapping[str, Mapping[str, int]], catalogue: Catalogue) -> list[tuple[str, str]]:
    """Items of promotions none of whose items is known, each once."""
    coverage = catalogue.coverage
    is_known = np.array([item in known.get(site, ()) for site, item in coverage.pairs], dtype=np.bool_)
    sizes = np.diff(coverage.indptr)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    n_known = np.bincount(rows[is_known[coverage.pair_index]], minlength=len(sizes))
    return [coverage.pairs[place] for place in np.unique(coverage.pair_index[n_known[rows] == 0]).tolist()]
