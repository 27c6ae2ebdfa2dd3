"""Every notebook runs from top to bottom on a small real database, and is kept without its outputs."""

import base64
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.database import Database
from storage.imports import import_activity, import_promotions
from storage.settings import Settings
from training.tracking import Tracker

ROOT = Path(__file__).parent.parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
START = datetime(2026, 1, 1, tzinfo=UTC)
PICTURES = {"1-explore-activity": 3, "2-retrain": 2, "3-compare-models": 6}


def fill(database: Database, directory: Path) -> None:
    """Consumers of two tastes on two sites, and a promotion a taste that they take up in the end."""
    purchases = [
        {
            "consumer_id": f"c{consumer}",
            "site_id": ("books", "garden")[day % 2],
            "item_id": f"i{(2 * (day + consumer) + consumer % 2) % 16}",
            "kind": "purchase",
            "occurred_at": START + timedelta(days=day, minutes=consumer),
        }
        for consumer in range(20)
        for day in range(10)
    ]
    promotions = [
        {
            "promotion_id": f"p{taste}",
            "title": "Save on {item.title}",
            "sites": ["books"],
            "items": [{"site_id": "books", "item_id": f"i{item}"} for item in range(taste, 16, 2)],
        }
        for taste in (0, 1)
    ]
    outcomes = [
        {
            "consumer_id": f"c{consumer}",
            "site_id": "books",
            "kind": "promotion_conversion",
            "promotion_id": f"p{consumer % 2}",
            "occurred_at": START + timedelta(days=day, hours=1),
        }
        for consumer in range(20)
        for day in (7, 8, 9)
    ]
    tables = {"purchases": purchases, "promotions": promotions, "outcomes": outcomes}
    files = {name: directory / f"{name}.parquet" for name in tables}
    for name, rows in tables.items():
        pq.write_table(pa.Table.from_pylist(rows), files[name])
    import_promotions(database, [files["promotions"]], source="test")
    import_activity(database, [files["purchases"], files["outcomes"]], source="test", legal_basis="contract")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def run_notebook(name: str, *, database_url: str, home: Path) -> list[bytes]:
    """Run it from top to bottom and return its pictures."""
    from nbclient import NotebookClient

    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    environment = {
        **os.environ,
        "TAILOR_HOME": str(home),
        "DATABASE_URL": database_url,
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(home.parent / "ipython"),
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    client = NotebookClient(
        notebook,
        timeout=240,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
    )
    client.execute(env=environment)
    assert not list((ROOT / "notebooks").glob("mlflow*")), "MLflow wrote beside the notebook"
    return [
        base64.b64decode(output["data"]["image/png"])
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]


@pytest.mark.filterwarnings("ignore")  # Jupyter's own, about its own event loop and paths
def test_exploring_shows_when_where_and_how_much(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    fill(database, tmp_path)
    pictures = run_notebook("1-explore-activity", database_url=database_url, home=tmp_path / "home")
    assert len(pictures) == PICTURES["1-explore-activity"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("2-retrain", ["popularity", "als"]),
        ("3-compare-models", ["popularity", "als", "als", "als", "blend"]),
    ],
)
def test_training_in_a_notebook_registers_its_versions_and_draws_them(
    database: Database, database_url: str, tmp_path: Path, name: str, kinds: list[str]
) -> None:
    fill(database, tmp_path)
    home = tmp_path / "home"
    pictures = run_notebook(name, database_url=database_url, home=home)
    assert len(pictures) == PICTURES[name]
    versions = sorted(Tracker(Settings(home=home)).versions(), key=lambda version: int(version.version))
    assert [version.tags["model_kind"] for version in versions] == kinds
