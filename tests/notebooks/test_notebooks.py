"""Every notebook runs from top to bottom on a small real database, and is kept without its outputs."""

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


@pytest.mark.filterwarnings("ignore")  # Jupyter's own, about its own event loop and paths
def test_retraining_runs_from_top_to_bottom_and_registers_two_versions(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    from nbclient import NotebookClient

    fill(database, tmp_path)
    notebook = nbformat.read(ROOT / "notebooks" / "2-retrain.ipynb", as_version=4)
    home = tmp_path / "home"
    environment = {
        **os.environ,
        "TAILOR_HOME": str(home),
        "DATABASE_URL": database_url,
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    client = NotebookClient(
        notebook,
        timeout=240,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT / "notebooks")}},
    )
    client.execute(env=environment)
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 2
    versions = Tracker(Settings(home=home)).versions()
    assert [version.tags["model_kind"] for version in versions] == ["popularity", "als"]
    assert not list((ROOT / "notebooks").glob("mlflow*")), "MLflow wrote beside the notebook"
