"""The registered models side by side, best first."""

import json
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from storage.settings import Settings
from training.judging import MAIN_PROTOCOLS
from training.results import EVALUATION_FOLDER, RESULTS_FILE, Result
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
    judged_by : str
        What was asked: figures of another question or of other days do not compare.
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
    judged_by: str
    judged_from: str
    n_queries: int
    data: str
    trained_at: datetime


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
        folder = tracker.download_folder(run_id, EVALUATION_FOLDER, Path(directory))
        rows = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
    return [Result(**row) for row in rows]


def _order(row: ComparedModel) -> tuple[int, float, int]:
    protocols = [*MAIN_PROTOCOLS, ""]
    # Of equal figures the newer version first.
    return protocols.index(row.judged_by), -(row.ndcg_at_10 or 0.0), -int(row.version)


def _row(version: ModelVersion) -> ComparedModel:
    tags, metrics = version.tags, version.metrics
    ndcg, popularity = metrics.get("ndcg_at_10"), metrics.get("popularity_ndcg_at_10")
    judged_by = tags.get("judged_by", "")
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
        judged_by=judged_by if judged_by in MAIN_PROTOCOLS else "",
        judged_from=tags.get("judged_from", "")[:10],
        n_queries=int(tags.get("n_queries", 0)),
        data=tags.get("snapshot_digest", "")[:12],
        trained_at=version.created_at,
    )


def _number(text: str | None) -> float | None:
    return None if text in (None, "None") else float(text)
