"""Several models as one: a weighted sum of their scores, and of popularity, less of it the more is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.distinct import distinct
from features.history import HistoryVector
from features.ids import ItemIds
from features.interactions import Interactions
from features.weights import KINDS, InteractionWeights
from models.als import FittedAls
from models.errors import EmptyHistory, InvalidModel
from models.factors import FactorsReading
from models.graph import FittedGraph
from models.ials import FittedIals
from models.popularity import Popularity
from models.recommender import (
    ALL_ITEMS,
    Columns,
    FittedRecommender,
    Progress,
    Reading,
    Recommender,
    Searches,
    require_array,
    usable_history,
)
from models.ridge import FittedRidge
from models.shortlist import about_the_best

MEMBER_KINDS: Final[Mapping[str, type[FittedRecommender]]] = {
    kind.kind: kind for kind in (FittedAls, FittedGraph, FittedIals, FittedRidge)
}

_CROWD = "crowd"


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a blend.

    Parameters
    ----------
    model : Recommender
        Unfitted.
    share : float
        What its scores are multiplied by.
    page_view, product_review, purchase : float
        What one fresh event of each kind counts for this member.
    """

    model: Recommender
    share: float
    page_view: float
    product_review: float
    purchase: float

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not 0 < self.share < 1e12:
            raise InvalidModel(f"share={self.share!r}: give a number above 0 and below 1e12")

    def weights(self, weights: InteractionWeights) -> InteractionWeights:
        """These weights with the member's own kinds."""
        return replace(weights, **{kind: getattr(self, kind) for kind in KINDS})

    def weighed(self, interactions: Interactions) -> Interactions:
        """The interactions as this member is to see them."""
        return replace(interactions, weights=self.weights(interactions.weights))


@dataclass(frozen=True, slots=True)
class Blend:
    """Fits every member on the same interactions.

    Parameters
    ----------
    members : tuple of Member
        One or more.
    popularity : float
        What the logarithm of an item's popularity is multiplied by, for a consumer without a history.
    strength : float
        With so many items in the history popularity counts half.
    """

    members: tuple[Member, ...]
    popularity: float = 0.0
    strength: float = 10.0

    def __post_init__(self) -> None:
        if not self.members:
            raise InvalidModel("members=(): give one or more")
        if isinstance(self.popularity, bool) or not 0 <= self.popularity < 1e12:
            raise InvalidModel(f"popularity={self.popularity!r}: give a number of 0 or more")
        if isinstance(self.strength, bool) or not 0 < self.strength < 1e12:
            raise InvalidModel(f"strength={self.strength!r}: give a number above 0")

    def fit(self, interactions: Interactions, *, progress: Progress | None = None) -> "FittedBlend":
        """Learn from interactions.

        Parameters
        ----------
        progress : callable, optional
            Told (members done, members).
        """
        fitted = []
        for place, member in enumerate(self.members):
            fitted.append(member.model.fit(member.weighed(interactions)))
            if progress is not None:
                progress(place + 1, len(self.members))
        return assemble(self, fitted, interactions)


def assemble(blend: Blend, fitted: Sequence[FittedRecommender], interactions: Interactions) -> "FittedBlend":
    """A blend of members that are fitted already, in the order of `blend.members`."""
    return FittedBlend(
        interactions.items,
        interactions.weights,
        tuple(fitted),
        tuple(member.share for member in blend.members),
        crowd_of(interactions),
        blend.popularity,
        blend.strength,
    )


def standing(n_items: NDArray[Any] | int, strength: float) -> Any:
    """How much popularity counts beside 1 for no history: strength / (strength + n items in the history)."""
    return np.float32(strength / (strength + n_items))


def crowd_of(interactions: Interactions) -> NDArray[np.float32]:
    """ln(1 + n · share) / ln(1 + n), float32[n_items]: popularity among a site's n items, from 0 to 1."""
    items = interactions.items
    share = Popularity().fit(interactions).prior.astype(np.float64)
    crowd = np.zeros(len(items))
    for site_id in items.site_ids:
        site = items.site_slice(site_id)
        n_items = site.stop - site.start
        crowd[site] = np.log1p(n_items * share[site]) / np.log1p(n_items)
    return crowd.astype(np.float32)


@dataclass(frozen=True, eq=False)
class FittedBlend:
    """Σ share · score of each member + popularity · strength / (strength + n) · crowd, n: items in a history.

    Attributes
    ----------
    members : tuple of FittedRecommender
        Over the same items; each weighs the kinds of a history in its own way.
    shares : tuple of float
        In the order of the members.
    crowd : float32[n_items]
        See `crowd_of`.
    popularity, strength : float
        As in `Blend`.
    """

    kind: ClassVar[str] = "blend"
    items: ItemIds
    weights: InteractionWeights
    members: tuple[FittedRecommender, ...]
    shares: tuple[float, ...]
    crowd: NDArray[np.float32]
    popularity: float
    strength: float

    def __repr__(self) -> str:
        return f"FittedBlend({', '.join(map(repr, self.members))})"

    @cached_property
    def made_with(self) -> Blend:
        """The unfitted blend."""
        return read_blend(self.parameters())

    @property
    def has_prior(self) -> bool:
        """Whether popularity has a part."""
        return self.popularity != 0

    @cached_property
    def prior(self) -> NDArray[np.float32]:
        """Popularity's part before any history is known, float32[n_items]."""
        return np.float32(self.popularity) * self.crowd

    def read(self, history: HistoryVector) -> "BlendReading":
        """Take a history in, by every member that has a use for it."""
        usable_history(history, self.weights, n_items=len(self.items))
        return BlendReading(self, history, tuple(_read_or_none(one, history) for one in self.members))

    def search_among(self, item_index: NDArray[np.int32]) -> Searches:
        """A search for each member that has one."""
        return tuple(one for member in self.members for one in member.search_among(item_index))

    def score(self, history: HistoryVector, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The weighted sum for every item `within`, float32[n]."""
        return self.read(history).score(within)

    def parameters(self) -> dict[str, Any]:
        """The members' kinds, parameters, shares and weights of kinds; popularity's share and strength."""
        members = [
            {
                "kind": member.kind,
                "share": share,
                "weights": {kind: getattr(member.weights, kind) for kind in KINDS},
                "parameters": member.parameters(),
            }
            for share, member in zip(self.shares, self.members, strict=True)
        ]
        return {"members": members, "popularity": self.popularity, "strength": self.strength}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`crowd`, and each member's arrays under its place, such as `0.item_factors`."""
        arrays: dict[str, NDArray[Any]] = {_CROWD: self.crowd}
        for place, member in enumerate(self.members):
            arrays |= {f"{place}.{name}": array for name, array in member.arrays().items()}
        return arrays

    @classmethod
    def from_arrays(
        cls,
        items: ItemIds,
        weights: InteractionWeights,
        *,
        arrays: Mapping[str, NDArray[Any]],
        parameters: Mapping[str, Any],
    ) -> Self:
        """Make it from what `arrays` and `parameters` gave."""
        blend = read_blend(parameters)
        crowd = require_array(arrays, _CROWD, shape=(len(items),))
        fitted = []
        for place, (member, told) in enumerate(zip(blend.members, parameters["members"], strict=True)):
            mine = {
                name.removeprefix(f"{place}."): array
                for name, array in arrays.items()
                if name.startswith(f"{place}.")
            }
            kind = MEMBER_KINDS[told["kind"]]
            try:
                fitted.append(
                    kind.from_arrays(
                        items, member.weights(weights), arrays=mine, parameters=told["parameters"]
                    )
                )
            except InvalidModel as error:
                raise InvalidModel(f"member {place}: {error}") from error
        shares = tuple(member.share for member in blend.members)
        return cls(items, weights, tuple(fitted), shares, crowd, blend.popularity, blend.strength)


class BlendReading(msgspec.Struct, frozen=True, eq=False):
    """One history as the members read it.

    Attributes
    ----------
    model : FittedBlend
        Whose members they are.
    history : HistoryVector
        What was read.
    members : tuple of Reading or None
        None for a member that leaves out the only kinds of activity that this consumer has.
    """

    model: "FittedBlend"
    history: HistoryVector
    members: tuple[Reading | None, ...]

    def base(self, within: Columns = ALL_ITEMS) -> NDArray[np.float32]:
        """Popularity's part with this history, float32[n]."""
        share = standing(len(self.history), self.model.strength)
        return np.asarray(share * self.model.prior[within], dtype=np.float32)

    def score(self, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The weighted sum for every item `within`, float32[n]."""
        total = self.base(within)
        for share, member in zip(self.model.shares, self.members, strict=True):
            if member is not None:
                total += np.float32(share) * member.score(within)
        return total

    def shortlist(
        self, searches: Searches, n: int, *, also: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """The items that one member or the others together put first, and the weighted sum of each."""
        asked = [search for search in searches if search is not None]
        if not asked:
            return None
        among = asked[0].item_index
        first, last = int(among[0]), int(among[-1])
        if len(also):
            first, last = min(first, int(also[0])), max(last, int(also[-1]))
        within = slice(first, last + 1)
        others, found = self.base(within), [also]
        factors: list[tuple[float, FactorsReading]] = []
        for share, member, search in zip(self.model.shares, self.members, searches, strict=True):
            if isinstance(member, FactorsReading) and search is not None:
                factors.append((share, member))
                found.append(search.best(member.vector, n))
            elif member is not None:
                others += np.float32(share) * member.score(within)
        # The items of a site lie side by side, unless some have no promotion.
        side_by_side = int(among[-1]) - int(among[0]) + 1 == len(among)
        mine = slice(int(among[0]) - first, int(among[-1]) + 1 - first) if side_by_side else among - first
        found.append(among[about_the_best(others[mine], n)])
        items = distinct(np.concatenate(found))
        scores = others[items - within.start]
        for share, member in factors:
            scores += np.float32(share) * member.score_items(items)
        return items, scores

    def explain(
        self, item_index: int | NDArray[np.int32], item_weight: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """What each entry of the history gave by way of all members, float32[n]."""
        parts = self.explain_members(item_index, item_weight)
        return np.asarray(np.sum(parts, axis=0), dtype=np.float32)

    def explain_members(
        self, item_index: int | NDArray[np.int32], item_weight: NDArray[np.float32] | None = None
    ) -> list[NDArray[np.float32]]:
        """What each entry of the history gave by way of each member, float32[n] each."""
        return [
            np.zeros(len(self.history), dtype=np.float32)
            if member is None
            else np.float32(share) * member.explain(item_index, item_weight)
            for share, member in zip(self.model.shares, self.members, strict=True)
        ]


def read_blend(parameters: Mapping[str, Any]) -> Blend:
    """The unfitted blend that `FittedBlend.parameters` tells of; anything else is refused."""
    if set(parameters) != {field.name for field in fields(Blend)} or not isinstance(
        parameters["members"], list
    ):
        raise InvalidModel(f"parameters {sorted(parameters)}; expected members, popularity and strength")
    members = tuple(_read_member(told) for told in parameters["members"])
    return Blend(members, parameters["popularity"], parameters["strength"])


def _read_member(told: Any) -> Member:
    known = {"kind", "share", "weights", "parameters"}
    if not isinstance(told, dict) or set(told) != known or set(told["weights"]) != set(KINDS):
        raise InvalidModel(f"member {told!r:.200}; expected {', '.join(sorted(known))}")
    if told["kind"] not in MEMBER_KINDS:
        raise InvalidModel(f"unknown kind of member {told['kind']!r}; known: {', '.join(MEMBER_KINDS)}")
    made_by: Any = MEMBER_KINDS[told["kind"]].made_by  # type: ignore[attr-defined]
    return Member(made_by(**told["parameters"]), told["share"], **told["weights"])


def _read_or_none(model: FittedRecommender, history: HistoryVector) -> Reading | None:
    try:
        return model.read(history)
    except EmptyHistory:
        return None
