"""What rankings are asked of a model, with the answers: one question per (consumer, site) held out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from features.ids import ItemIds
from features.interactions import Interactions
from training.metrics import Rankings
from training.ranking import Query, Score, group_rows, rank

ID_COLUMNS: Final = ("consumer_id", "site_id", "item_id")


@dataclass(frozen=True, eq=False, slots=True)
class Questions:
    """What is asked, sorted by site and then consumer.

    Attributes
    ----------
    consumer_ids, site_ids : list of str
        Who is asked about, and where.
    rows : int64[n]
        The consumers' rows in the interactions; -1 for those that these do not know.
    relevant : csr int8[n, n_items]
        What is to be found, as far as it is known.
    n_relevant : int64[n]
        How much is to be found, what is unknown included.
    """

    consumer_ids: list[str]
    site_ids: list[str]
    rows: NDArray[np.int64]
    relevant: sparse.csr_matrix
    n_relevant: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Questions({len(self)} about {len(set(self.consumer_ids))} consumers)"

    def select(self, which: NDArray[np.int64]) -> "Questions":
        """Some of the questions, by places in ascending order."""
        return Questions(
            [self.consumer_ids[place] for place in which],
            [self.site_ids[place] for place in which],
            self.rows[which],
            self.relevant[which],
            self.n_relevant[which],
        )

    def untouched(self, touched: sparse.csr_matrix) -> tuple[NDArray[np.int64], "Questions"]:
        """Only what a consumer had nothing to do with before is to be found.

        Parameters
        ----------
        touched : csr[n_consumers, n_items]
            The cells that a consumer had to do with.

        Returns
        -------
        int64[m], Questions
            The places of the questions that ask about any such item, and these questions.
        """
        known = sparse.diags_array(self.rows >= 0, dtype=np.int8)
        ones = (np.ones_like(touched.data), touched.indices, touched.indptr)
        cells = sparse.csr_matrix(ones, shape=touched.shape)
        before = sparse.csr_matrix(known @ cells[np.maximum(self.rows, 0)])
        met = sparse.csr_matrix(self.relevant.multiply(before))
        relevant = sparse.csr_matrix(self.relevant - met)
        relevant.eliminate_zeros()
        n_relevant = self.n_relevant - np.asarray(met.sum(axis=1), dtype=np.int64).ravel()
        places = np.flatnonzero(n_relevant)
        rest = replace(self, relevant=relevant, n_relevant=n_relevant)
        return places, rest.select(places)

    def share_elsewhere(self, touched: sparse.csr_matrix, items: ItemIds) -> float:
        """Share of the questions about known consumers that are of a site they never had to do with.

        Parameters
        ----------
        touched : csr[n_consumers, n_items]
            The cells that a consumer had to do with.
        """
        n_known = n_elsewhere = 0
        for site_id, mine in self.by_site():
            rows = self.rows[mine]
            there = touched[rows[rows >= 0]][:, items.site_slice(site_id)]
            n_known += there.shape[0]
            n_elsewhere += int((np.diff(there.indptr) == 0).sum())
        return n_elsewhere / max(n_known, 1)

    def by_site(self) -> Iterator[tuple[str, slice]]:
        """Each site with the places of its questions."""
        numbers = np.unique(np.array(self.site_ids, dtype=object), return_inverse=True)[1]
        for mine in group_rows(numbers):
            yield self.site_ids[mine.start], mine


def ask(held_out: pa.Table, interactions: Interactions) -> Questions:
    """The questions of a table with the columns `ID_COLUMNS`; rows that stand there twice count once."""
    order: Any = [("site_id", "ascending"), ("consumer_id", "ascending"), ("item_id", "ascending")]
    held_out = held_out.select(list(ID_COLUMNS)).group_by(list(ID_COLUMNS)).aggregate([]).sort_by(order)
    rows, columns, pairs = _places(held_out, interactions)
    mine = group_rows(pairs)
    starts = [group.start for group in mine]
    counts = np.array([group.stop - group.start for group in mine], dtype=np.int64)
    question = np.repeat(np.arange(len(mine)), counts)
    found = columns >= 0
    relevant = sparse.csr_matrix(
        (np.ones(found.sum(), dtype=np.int8), (question[found], columns[found])),
        shape=(len(mine), len(interactions.items)),
    )
    asked: Any = held_out.take(pa.array(starts, pa.int64()))
    return Questions(
        asked["consumer_id"].to_pylist(), asked["site_id"].to_pylist(), rows[starts], relevant, counts
    )


def cells_of(activity: pa.Table, interactions: Interactions) -> sparse.csr_matrix:
    """Where a table's rows lie in the interactions, csr int8[n_consumers, n_items]: a mask of candidates."""
    rows, columns, _ = _places(activity, interactions)
    shape = (len(interactions.consumers), len(interactions.items))
    known = (rows >= 0) & (columns >= 0)
    ones = np.ones(known.sum(), dtype=np.int8)
    return sparse.csr_matrix((ones, (rows[known], columns[known])), shape=shape)


def answer(
    score: Score,
    questions: Questions,
    interactions: Interactions,
    *,
    prior: NDArray[np.float32],
    masked: sparse.csr_matrix | None,
    depth: int,
    on_block: Callable[[slice, str, NDArray[np.int64]], None] = lambda _here, _site_id, _top: None,
) -> Rankings:
    """Rank all items of its site for each question; see `training.ranking.rank`.

    Parameters
    ----------
    on_block : callable, optional
        Told (places of some questions, their site, the columns ranked for them) as they are done.
    """
    top = np.full((len(questions), depth), -1, dtype=np.int32)
    hits = np.zeros(top.shape, dtype=bool)
    for site_id, mine in questions.by_site():
        query = Query(interactions.items.site_slice(site_id), questions.rows[mine])
        for block in rank(score, query, prior=prior, masked=masked, depth=depth):
            here = slice(mine.start + block.start, mine.start + block.start + len(block.top))
            top[here], hits[here] = block.top, hits_of(questions.relevant[here], block.top)
            on_block(here, site_id, block.top)
    return Rankings(top.astype(np.int64), hits, questions.n_relevant)


def _places(
    table: pa.Table, interactions: Interactions
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, column (-1: unknown) and a number of the (consumer, site) pair for each row of a table."""
    codes: dict[str, NDArray[np.int64]] = {}
    words: dict[str, list[str]] = {}
    for name in ID_COLUMNS:
        encoded: Any = pc.dictionary_encode(table[name].combine_chunks())
        codes[name], words[name] = encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()
    known = {consumer_id: row for row, consumer_id in enumerate(interactions.consumers)}
    rows = np.array([known.get(one, -1) for one in words["consumer_id"]], dtype=np.int64)[
        codes["consumer_id"]
    ]
    items = interactions.items
    n_words = max(len(words["item_id"]), 1)
    unique, back = np.unique(codes["site_id"] * n_words + codes["item_id"], return_inverse=True)
    found = [
        items.index(words["site_id"][pair // n_words], words["item_id"][pair % n_words])
        for pair in unique.tolist()
    ]
    columns = np.array([-1 if one is None else one for one in found], dtype=np.int64)[back]
    pairs = codes["site_id"] * max(len(words["consumer_id"]), 1) + codes["consumer_id"]
    return rows, columns, pairs


def hits_of(relevant: sparse.csr_matrix, top: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether what was ranked is relevant, bool[n, depth]."""
    rows = np.repeat(np.arange(len(top)), top.shape[1])
    found = np.asarray(relevant[rows, np.maximum(top, 0).ravel()]).reshape(top.shape) > 0
    return np.asarray(found & (top >= 0))
