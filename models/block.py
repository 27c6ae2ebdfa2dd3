"""The scores of many histories at once: what can be one matrix product is one."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.blend import BlendReading
from models.factors import FactorsReading
from models.recommender import Reading
from models.unseen import UnseenReading


def score_block(readings: Sequence[Reading], within: slice) -> NDArray[np.float32]:
    """`score(within)` of each of one or more readings by one model, float32[n_readings, n]."""
    match readings[0]:
        case FactorsReading(model=model):
            vectors = np.stack([cast(FactorsReading, one).vector for one in readings])
            return np.asarray(vectors @ model.item_factors[within].T)
        case BlendReading(model=model):
            total = np.stack([one.base(within) for one in readings])
            for place, share in enumerate(model.shares):
                members = [cast(BlendReading, one).members[place] for one in readings]
                known = [row for row, member in enumerate(members) if member is not None]
                if known:
                    scores = score_block([one for one in members if one is not None], within)
                    total[known] += np.float32(share) * scores
            return total
        case UnseenReading(model=model):
            layout = model.layout(within)
            inner = [cast(UnseenReading, one).reading for one in readings]
            return np.stack([layout.spread(scores) for scores in score_block(inner, layout.known)])
        case _:
            return np.stack([one.score(within) for one in readings])
