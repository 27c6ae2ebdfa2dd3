"""Trained factors and larger catalogues built from them. Not a benchmark itself.

A folder's items are on a first site; promotions are on others, each for an item of its own that is like one
of the first site's. So activity on the first site decides on the second.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.decision import NOW
from features.ids import ItemIds
from features.interactions import build_interactions
from features.weights import InteractionWeights
from models.als import Als, FittedAls
from models.factors import principal_axes
from storage.reader import ConsumerRecord
from storage.recent import Events
from training.benchmark import read_activity_of
from training.benchmark_folder import open_folder

FIRST_SITE = "first"
_LIKENESS = 0.3
_N_CONSUMERS, _N_ITEMS, _N_TASTES, _TASTES_EACH, _EVENTS_EACH = 10_000, 20_000, 100, 3, 30


@dataclass(frozen=True, eq=False, slots=True)
class Trained:
    """ALS on activity.

    Attributes
    ----------
    about : where the activity is from.
    model : with the default weights, which are those that serving reads by.
    consumers : int32[n] each; the items of a consumer.
    """

    about: str
    model: FittedAls
    consumers: Sequence[NDArray[np.int32]]

    def records(self, n_records: int, *, n_events: int, random_state: int = 0) -> list[ConsumerRecord]:
        """Histories of so many events; a consumer with too few goes on with those of others."""
        random = np.random.default_rng(random_state)
        return [
            ConsumerRecord(f"consumer-{number}", Events.of(self._events(random, n_events)))
            for number in range(n_records)
        ]

    def network(self, n_items: int, *, n_sites: int, random_state: int = 0) -> FittedAls:
        """The model of a network with `n_items` more items, on other sites: `shop-0` and so on.

        Each is like a trained item: the factors of one, give or take three tenths of their spread.
        """
        random, trained = np.random.default_rng(random_state), self.model.item_factors
        each = -(-n_items // n_sites)
        shops = {
            f"shop-{site}": [f"item-{number:08d}" for number in range(min(each, n_items - site * each))]
            for site in sorted(range(n_sites), key=str)
        }
        first = {FIRST_SITE: [f"item-{number:08d}" for number in range(len(trained))]}
        copied = trained[random.integers(len(trained), size=n_items)]
        copied += _LIKENESS * trained.std(axis=0) * random.standard_normal(copied.shape, dtype=np.float32)
        factors = principal_axes(np.concatenate([trained, copied]))
        return FittedAls(ItemIds({**first, **shops}), self.model.weights, factors, self.model.made_with)

    def _events(self, random: np.random.Generator, n_events: int) -> Iterator[tuple[str, str, str, datetime]]:
        items: list[int] = []
        while len(items) < n_events:
            items += self.consumers[int(random.integers(len(self.consumers)))].tolist()
        ages = np.sort(random.integers(0, 180, size=n_events)).tolist()
        for age, item in zip(ages, items, strict=False):
            yield FIRST_SITE, f"item-{item:08d}", "page_view", NOW - timedelta(days=age)


def train(folder: Path | None, *, n_factors: int) -> Trained:
    """Train on a benchmark folder, or on made-up activity when there is none."""
    if folder is None:
        about, activity = f"made up: {_N_CONSUMERS:,} consumers of {_N_TASTES} tastes", _make_up()
    else:
        opened = open_folder(folder)
        about, activity = opened.name, read_activity_of(opened)
    every = replace(InteractionWeights(), max_events_per_consumer=activity.num_rows)
    interactions = build_interactions(activity, every)
    model = Als(factors=n_factors).fit(interactions)
    cells = interactions.confidence()
    consumers = [one for one in np.split(cells.indices, cells.indptr[1:-1]) if len(one)]
    served = FittedAls(model.items, InteractionWeights(), model.item_factors, model.made_with)
    return Trained(about, served, consumers)


def _make_up() -> pa.Table:
    """Consumers with a few tastes each; within a taste few items are liked by many."""
    random = np.random.default_rng(0)
    tastes = random.integers(_N_TASTES, size=(_N_CONSUMERS, _TASTES_EACH))
    chosen = np.repeat(tastes, _EVENTS_EACH // _TASTES_EACH, axis=1)
    each = _N_ITEMS // _N_TASTES
    items = chosen * each + np.minimum(random.pareto(1.0, chosen.shape) * 5, each - 1).astype(np.int64)
    columns: dict[str, Any] = {
        "consumer_id": np.repeat(np.arange(_N_CONSUMERS), _EVENTS_EACH).astype(str),
        "site_id": np.full(items.size, FIRST_SITE),
        "item_id": items.ravel().astype(str),
        "kind": np.full(items.size, "page_view"),
    }
    return pa.table({name: pa.array(values.tolist(), pa.large_string()) for name, values in columns.items()})
