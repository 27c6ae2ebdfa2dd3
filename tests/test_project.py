"""The files that describe the project agree with each other."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BENTO = yaml.safe_load((ROOT / "bentofile.yaml").read_text())
LOCKS = ["requirements.lock", "requirements-dev.lock", "requirements-notebooks.lock"]


def locked_versions(lock: str) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for line in (ROOT / lock).read_text().splitlines():
        requirement = Requirement(line)
        versions.setdefault(canonicalize_name(requirement.name), set()).update(
            specifier.version for specifier in requirement.specifier
        )
    return versions


def test_the_bento_installs_what_the_project_locks() -> None:
    assert BENTO["python"]["requirements_txt"] == "./requirements.lock"
    assert BENTO["python"]["lock_packages"] is False


@pytest.mark.parametrize("line", PROJECT["project"]["dependencies"])
def test_each_dependency_is_locked_at_a_version_it_allows(line: str) -> None:
    requirement = Requirement(line)
    versions = locked_versions("requirements.lock")[canonicalize_name(requirement.name)]
    assert versions
    assert all(requirement.specifier.contains(version) for version in versions)


def test_the_bento_holds_every_package_that_serving_stands_on() -> None:
    assert {"storage/**", "features/**", "models/**", "serving/**"} <= set(BENTO["include"])
    assert BENTO["service"] == "serving.service:TailoredPromotions"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_names_no_address(lock: str) -> None:
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", (ROOT / lock).read_text())


@pytest.mark.parametrize("lock", LOCKS[1:])
def test_the_lock_files_agree(lock: str) -> None:
    ours, larger = locked_versions(LOCKS[0]), locked_versions(lock)
    assert {name: larger.get(name) for name in ours} == ours
