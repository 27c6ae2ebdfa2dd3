"""The benchmark of the decision's core, small: that it measures what it says."""

import json
from pathlib import Path

import pytest

from benchmarks.decision import BARE, main


def test_every_kind_of_model_is_measured_and_the_true_best_is_on_top(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "decision.json"
    small = ["--promotions", "100", "--many", "300", "--histories", "5", "--rounds", "1"]
    assert main([*small, "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    us = {row["way"]: row["us"] for row in figures["rows"]}
    assert {"als 64", "ials 64", "ials 256", "ials 512", "ridge", "graph"} < us.keys()
    assert figures["ratios"]["core_vs_blas"] == us["als 64"] / us[BARE]
    assert figures["ratios"]["same_top"] == figures["ratios"]["many_recall"] == 1.0
    assert "core_vs_blas" in capsys.readouterr().out


def test_no_promotions_are_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--promotions", "0"])
