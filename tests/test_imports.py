"""The floors of the house: who may import whom, and which module is the one door of a heavy library."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

STANDS_ON = {
    "storage": set(),
    "features": {"storage"},
    "models": {"storage", "features"},
    "training": {"storage", "features", "models"},
    "serving": {"storage", "features", "models"},
    "benchmarks": {"storage", "features", "models", "training", "serving", "examples"},
    "examples": {"storage", "features", "models", "training"},
}

DOORS = {
    "faiss": {"models/shortlist.py"},
    "implicit": {"models/als.py", "benchmarks/batch.py"},
    "irspack": {"models/ials.py"},
    "optuna": {"training/search.py"},
    "mlflow": {"training/tracking.py", "serving/champion.py"},
    "bentoml": {"serving/service.py", "benchmarks/noop.py"},
    "ibis": {"features/cells.py"},
    "alembic": {"storage/schema.py", "storage/migrations"},
}

DOORS_OF_A_PACKAGE = {
    "psycopg": "storage",
    "psycopg_pool": "storage",
    "asyncpg": "storage",
    "litestar": "serving",
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def roots_imported(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("package", STANDS_ON)
def test_a_package_imports_only_the_floors_below_it(package: str) -> None:
    ours = set(STANDS_ON) | {"tailor", "tests"}
    for path in sources(package):
        above = roots_imported(path) & ours - STANDS_ON[package] - {package}
        assert not above, f"{path.relative_to(ROOT)} imports {sorted(above)}"


@pytest.mark.parametrize("package", STANDS_ON)
def test_imports_are_absolute(package: str) -> None:
    for path in sources(package):
        relative = [name for name in imported_modules(path) if name.startswith(".")]
        assert not relative, f"{path.relative_to(ROOT)} imports {relative}"


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_has_one_door(library: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for package in STANDS_ON
        for path in sources(package)
        if library in roots_imported(path)
    }
    strangers = {user for user in users if not any(user.startswith(door) for door in DOORS[library])}
    assert users, f"nobody imports {library}: take it out of the doors"
    assert not strangers


@pytest.mark.parametrize(("library", "package"), DOORS_OF_A_PACKAGE.items())
def test_a_library_stays_in_its_package(library: str, package: str) -> None:
    others = [path for other in STANDS_ON if other != package for path in sources(other)]
    strangers = [str(path.relative_to(ROOT)) for path in others if library in roots_imported(path)]
    assert not strangers


@pytest.mark.parametrize("package", STANDS_ON)
def test_a_package_file_holds_nothing_but_its_docstring(package: str) -> None:
    for path in (ROOT / package).rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        assert len(body) <= 1, f"{path.relative_to(ROOT)} holds code"
        assert all(isinstance(node, ast.Expr) for node in body)
