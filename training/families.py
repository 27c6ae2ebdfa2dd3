"""The models that the automatic choice tries: where each family starts, and how far it may go from there.

The starting points are what did well on public data (docs/adr); a search moves on from them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from features.interactions import Interactions
from features.weights import KINDS
from models.als import Als
from models.blend import Member
from models.graph import Graph
from models.ials import Ials
from models.ridge import LARGEST_CATALOGUE, Ridge

_VIEWS_FIRST: Final = {"page_view": 3.0, "product_review": 1.0}

Values = Mapping[str, Any]
"""The parameters of one try, by name; kinds of activity under their own names."""


class Draw(Protocol):
    """What an optuna trial offers."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...
    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What a family must know to make a model.

    Attributes
    ----------
    kinds : tuple of str
        The kinds of activity that occur, the most telling last.
    """

    kinds: tuple[str, ...]
    n_items: int
    random_state: int

    @classmethod
    def of(cls, interactions: Interactions, random_state: int) -> "Setting":
        """The setting of some interactions."""
        kinds = tuple(kind for kind in KINDS if interactions.by_kind[kind].nnz)
        return cls(kinds, len(interactions.items), random_state)


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model.

    Attributes
    ----------
    starts : tuple of mapping
        Parameters to try first.
    draw : callable
        Draws parameters.
    make : callable
        Parameters and the setting → an unfitted model.
    largest_catalogue : int or None
        It is not for more items.
    """

    name: str
    starts: tuple[Values, ...]
    draw: Callable[[Draw], Values]
    make: Callable[[Values, Setting], Any]
    largest_catalogue: int | None = None

    def suits(self, setting: Setting) -> bool:
        """Whether it can learn from so many items."""
        return self.largest_catalogue is None or setting.n_items <= self.largest_catalogue

    def starts_in(self, setting: Setting) -> list[Values]:
        """The starting points, with what an event of each kind counts: 1 where nothing else is said.

        Those that differ only in kinds that do not occur are one.
        """
        kinds = setting.kinds[:-1]
        idle = set(KINDS).difference(kinds)
        starts: list[Values] = []
        for start in self.starts:
            counted = {name: value for name, value in start.items() if name not in idle}
            starting = {**dict.fromkeys(kinds, 1.0), **counted}
            if starting not in starts:
                starts.append(starting)
        return starts

    def drawn(self, draw: Draw, setting: Setting) -> Values:
        """Parameters, and what an event of each kind counts beside 1 for one of the most telling kind."""
        worth = {kind: draw.suggest_float(kind, 0.1, 5.0, log=True) for kind in setting.kinds[:-1]}
        return {**self.draw(draw), **worth}

    def member(self, values: Values, setting: Setting) -> Member:
        """A member of a blend, counting 1. Kinds that do not occur keep a weight, for when they do."""
        worth = {kind: float(values.get(kind, 1.0)) for kind in KINDS}
        return Member(self.make(values, setting), 1.0, **worth)


def _graph(values: Values, _setting: Setting) -> Graph:
    names = ("consumer", "history", "target", "low_pass", "power")
    return Graph(kept=400, **{name: values[name] for name in names})


def _draw_graph(draw: Draw) -> Values:
    return {
        "consumer": draw.suggest_float("consumer", 0.3, 1.3),
        "history": draw.suggest_float("history", 0.3, 0.8),
        "target": draw.suggest_float("target", 0.1, 0.7),
        "low_pass": draw.suggest_categorical("low_pass", (0.0, 0.1, 0.3)),
        "power": draw.suggest_categorical("power", (0.5, 1.0)),
    }


def _ials(values: Values, setting: Setting) -> Ials:
    # The ridge of a consumer with 20 items is what carries over from one catalogue to another.
    unobserved = float(values["unobserved"])
    regularization = float(values["ridge"]) / (20 + unobserved * setting.n_items)
    factors, seed = int(values["factors"]), setting.random_state
    return Ials(factors, unobserved, regularization, random_state=seed)


def _draw_ials(draw: Draw) -> Values:
    return {
        "unobserved": draw.suggest_float("unobserved", 0.003, 0.1, log=True),
        "ridge": draw.suggest_float("ridge", 0.5, 10.0, log=True),
        "factors": draw.suggest_categorical("factors", (128, 256, 512)),
    }


def _als(values: Values, setting: Setting) -> Als:
    regularization, alpha = float(values["regularization"]), float(values["alpha"])
    return Als(int(values["factors"]), regularization, alpha, random_state=setting.random_state)


def _draw_als(draw: Draw) -> Values:
    return {
        "alpha": draw.suggest_float("alpha", 0.5, 50.0, log=True),
        "regularization": draw.suggest_float("regularization", 0.01, 30.0, log=True),
        "factors": draw.suggest_categorical("factors", (64, 128, 256)),
    }


def _ridge(values: Values, setting: Setting) -> Ridge:
    regularization, row, own = (float(values.get(name, 0.0)) for name in ("regularization", "row", "own"))
    target = dict.fromkeys(KINDS, float(values["weak"])) | {setting.kinds[-1]: 1.0}
    return Ridge(regularization, own, row, **target, kept=int(values["kept"]), discount=values["discount"])


def _draw_ease(draw: Draw) -> Values:
    return {
        "regularization": draw.suggest_float("regularization", 3.0, 1000.0, log=True),
        "row": draw.suggest_categorical("row", (0.0, 0.5)),
        "weak": draw.suggest_categorical("weak", (0.25, 0.5, 1.0)),
        **_draw_kept(draw),
    }


def _draw_ridge(draw: Draw) -> Values:
    return {
        "regularization": draw.suggest_float("regularization", 3.0, 1000.0, log=True),
        "own": draw.suggest_float("own", 3.0, 300.0, log=True),
        "row": draw.suggest_categorical("row", (0.0, 0.5)),
        "weak": draw.suggest_categorical("weak", (0.0, 0.25)),
        **_draw_kept(draw),
    }


def _draw_kept(draw: Draw) -> Values:
    return {
        "kept": draw.suggest_categorical("kept", (50, 150, 500)),
        "discount": draw.suggest_categorical("discount", (0.0, 0.1, 0.2, 0.3)),
    }


FAMILIES: Final = (
    Family(
        "graph",
        (
            {"consumer": 1.0, "history": 0.5, "target": 0.5, "low_pass": 0.3, "power": 1.0},
            {
                "consumer": 0.95,
                "history": 0.55,
                "target": 0.65,
                "low_pass": 0.3,
                "power": 1.0,
                **_VIEWS_FIRST,
            },
            {"consumer": 0.7, "history": 0.5, "target": 0.3, "low_pass": 0.0, "power": 1.0},
            {"consumer": 0.7, "history": 0.5, "target": 0.5, "low_pass": 0.3, "power": 1.0},
        ),
        _draw_graph,
        _graph,
    ),
    Family(
        "ials",
        (
            {"unobserved": 0.01, "ridge": 3.0, "factors": 512},
            {"unobserved": 0.01, "ridge": 3.0, "factors": 256},
            {"unobserved": 0.05, "ridge": 2.0, "factors": 256},
            {"unobserved": 0.05, "ridge": 2.0, "factors": 256, "page_view": 0.3, "product_review": 0.3},
        ),
        _draw_ials,
        _ials,
    ),
    Family(
        "als",
        (
            {"alpha": 10.0, "regularization": 1.0, "factors": 256, "page_view": 0.5, "product_review": 0.5},
            {"alpha": 1.0, "regularization": 5.0, "factors": 64, "page_view": 0.25, "product_review": 0.5},
        ),
        _draw_als,
        _als,
    ),
    Family(
        "ease",
        (
            {"regularization": 10.0, "row": 0.5, "weak": 0.5, "kept": 50, "discount": 0.2, **_VIEWS_FIRST},
            {"regularization": 30.0, "row": 0.5, "weak": 0.5, "kept": 500, "discount": 0.0, **_VIEWS_FIRST},
            {"regularization": 100.0, "row": 0.0, "weak": 1.0, "kept": 500, "discount": 0.0},
        ),
        _draw_ease,
        _ridge,
        LARGEST_CATALOGUE,
    ),
    Family(
        "ridge",
        (
            {"regularization": 300.0, "own": 30.0, "row": 0.0, "weak": 0.0, "kept": 500, "discount": 0.0},
            {"regularization": 100.0, "own": 30.0, "row": 0.5, "weak": 0.0, "kept": 500, "discount": 0.0},
            {"regularization": 300.0, "own": 30.0, "row": 0.0, "weak": 0.0, "kept": 150, "discount": 0.1},
        ),
        _draw_ridge,
        _ridge,
        LARGEST_CATALOGUE,
    ),
)

MODEST: Final = Family(
    "als 64",
    ({"alpha": 1.0, "regularization": 5.0, "factors": 64, "page_view": 0.25, "product_review": 0.5},),
    _draw_als,
    _als,
)
"""What a decision can afford when it can afford nothing else."""
