"""The registered models side by side, best first."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from storage.settings import Settings
from training.judging import MAIN_PROTOCOLS
from training.results import EVALUATION_FOLDER, POPULARITY, RESULTS_FILE, Result
from training.tracking import ModelVersion, Tracker


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One version.

    Attributes
    ----------
    ndcg_at_10, low, high : float or None
        By which versions are ordered, with its 95 % interval; None when nothing could be measured.
    popularity : float or None
        Popularity's on the same queries.
    lift : float or None
        ndcg_at_10 / popularity.
    coverage, popularity_bias : float or None
        Of the same queries; see `training.results.Result`.
    judged_by, judged_from, seed, n_queries, data
        What was asked, about which snapshot: figures of another question or of other days do not compare.
    train_seconds, bundle_bytes, decision_us : float or None
        See `training.cost.Cost`; None for versions registered before these were measured.
    """

    version: str
    model: str
    champion: bool
    ndcg_at_10: float | None
    low: float | None
    high: float | None
    popularity: float | None
    lift: float | None
    recall_at_10: float | None
    coverage: float | None
    popularity_bias: float | None
    judged_by: str
    judged_from: str
    seed: int | None
    n_queries: int
    data: str
    train_seconds: float | None
    bundle_bytes: int | None
    decision_us: float | None
    trained_at: datetime

    @property
    def name(self) -> str:
        """Version and kind, such as `3 als`: what tables and pictures call it."""
        return f"{self.version} {self.model}"

    @property
    def asked(self) -> tuple[str, str, int | None, int]:
        """Different for versions that were asked different questions."""
        return self.judged_by, self.judged_from, self.seed, self.n_queries

    def columns(self) -> dict[str, str]:
        """What a table tells of it, as narrow as a terminal."""
        figure = "not judged"
        if self.ndcg_at_10 is not None and self.low is not None and self.high is not None:
            figure = f"{self.ndcg_at_10:.3f}±{(self.high - self.low) / 2:.3f}"
        return {
            "version": f"{self.version}{' *' if self.champion else ''}",
            "model": self.model,
            "NDCG@10": figure,
            "popularity": _rounded(self.popularity, ".3f"),
            "coverage": _rounded(self.coverage, ".2f"),
            "bias": _rounded(self.popularity_bias, ".2f"),
            "train s": _rounded(self.train_seconds, ".1f"),
            "MB": _rounded(self.bundle_bytes, ".1f", per=1e6),
            "µs": _rounded(self.decision_us, ".0f"),
            "judged by": self.judged_by,
        }


def compare(settings: Settings) -> list[ComparedModel]:
    """All registered versions: by redemptions before other protocols, best first, unjudged ones last."""
    rows = [_row(version) for version in Tracker(settings).versions()]
    return sorted(rows, key=_order)


def results_of(settings: Settings, version: str) -> list[Result]:
    """Every figure that was measured about a version: per protocol, segment, site, metric and k.

    Raises
    ------
    UnknownVersion
        No such version.
    """
    tracker = Tracker(settings)
    run_id = tracker.version(version).run_id
    with tempfile.TemporaryDirectory() as directory:
        file = tracker.download(run_id, f"{EVALUATION_FOLDER}/{RESULTS_FILE}", Path(directory))
        rows = json.loads(file.read_text(encoding="utf-8"))
    return [Result(**row) for row in rows]


def rows_of(settings: Settings, versions: Sequence[str]) -> list[ComparedModel]:
    """Some registered versions, in the order given, each once.

    Raises
    ------
    UnknownVersion
        With the versions there are.
    """
    tracker = Tracker(settings)
    return [_row(tracker.version(version)) for version in dict.fromkeys(versions)]


def comparable(rows: Sequence[ComparedModel]) -> list[ComparedModel]:
    """Those that were asked the same as the newest of them that was judged at all."""
    judged = [row for row in rows if row.ndcg_at_10 is not None]
    if not judged:
        return []
    newest = max(judged, key=lambda row: int(row.version))
    return [row for row in judged if row.asked == newest.asked]


def side_by_side(figures: Mapping[str, Sequence[Result]]) -> list[Result]:
    """Figures of several versions as one list, popularity first, for tables and pictures.

    Parameters
    ----------
    figures : mapping of name to results
        As `results_of` reads them. A version's model goes by the name given here; popularity stands there
        once for all that were asked the same, and as `popularity (NAME)` for the others.
    """
    popular: dict[str, list[Result]] = {}
    models: dict[str, list[Result]] = {}
    for name, results in figures.items():
        beside = [one for one in results if one.model == POPULARITY]
        if beside not in popular.values():
            popular[f"{POPULARITY} ({name})" if popular else POPULARITY] = beside
        models[name] = [one for one in results if one.model != POPULARITY]
    named = popular | models
    return [replace(one, model=name) for name, results in named.items() for one in results]


def _rounded(value: float | None, form: str, *, per: float = 1) -> str:
    return "" if value is None else format(value / per, form)


def _order(row: ComparedModel) -> tuple[int, float, int]:
    protocols = [*MAIN_PROTOCOLS, ""]
    # Of equal figures the newer version first.
    return protocols.index(row.judged_by), -(row.ndcg_at_10 or 0.0), -int(row.version)


def _row(version: ModelVersion) -> ComparedModel:
    tags, metrics = version.tags, version.metrics
    ndcg, popularity = metrics.get("ndcg_at_10"), metrics.get("popularity_ndcg_at_10")
    judged_by = tags.get("judged_by", "")
    place = f"{judged_by}.{tags.get('model_kind')}"
    return ComparedModel(
        version=version.version,
        model=tags.get("model_kind", "unknown"),
        champion=version.is_champion,
        ndcg_at_10=ndcg,
        low=_number(tags.get("low")),
        high=_number(tags.get("high")),
        popularity=popularity,
        lift=ndcg / popularity if ndcg is not None and popularity else None,
        recall_at_10=metrics.get("recall_at_10"),
        coverage=metrics.get(f"{place}.coverage_at_10"),
        popularity_bias=metrics.get(f"{place}.popularity_bias_at_10"),
        judged_by=judged_by if judged_by in MAIN_PROTOCOLS else "",
        judged_from=tags.get("judged_from", "")[:10],
        seed=None if "random_state" not in tags else int(tags["random_state"]),
        n_queries=int(tags.get("n_queries", 0)),
        data=tags.get("snapshot_digest", "")[:12],
        train_seconds=metrics.get("train_seconds"),
        bundle_bytes=None if "bundle_bytes" not in metrics else int(metrics["bundle_bytes"]),
        decision_us=metrics.get("decision_us"),
        trained_at=version.created_at,
    )


def _number(text: str | None) -> float | None:
    return None if text in (None, "None") else float(text)
