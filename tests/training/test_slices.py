"""Tables and pictures of several versions show each model, and popularity once."""

import io
from pathlib import Path

import pytest
from rich.console import Console

import tailor
from training.compare import side_by_side
from training.plots import save_plots
from training.results import Result
from training.slices import metric_table, parts_as_wide_as, slice_table


def figures(model: str, value: float) -> list[Result]:
    slices = [("all", "all"), ("all", "hot"), ("all", "cold"), ("books", "all")]
    results = [
        Result("time", name, site_id, segment, metric, 10, mean, mean - 0.01, mean + 0.03, 7)
        for name, mean in {model: value, "popularity": 0.2}.items()
        for site_id, segment in slices
        for metric in ("ndcg", "recall")
    ]
    return [*results, Result("time", model, "all", "all", "popularity_bias", 10, 0.75, None, None, 7)]


def test_popularity_stands_there_once_when_all_were_asked_the_same() -> None:
    together = side_by_side({"3 als": figures("als", 0.3), "4 als": figures("als", 0.4)})
    assert list(dict.fromkeys(one.model for one in together)) == ["popularity", "3 als", "4 als"]
    other = [*figures("als", 0.4)[:-2], Result("time", "popularity", "all", "all", "mrr", 10, 0.1, 0, 1, 7)]
    together = side_by_side({"3 als": figures("als", 0.3), "4 als": other})
    assert "popularity (4 als)" in {one.model for one in together}


def test_a_slice_is_a_row_and_a_model_a_column() -> None:
    table = slice_table(side_by_side({"3 als": figures("als", 0.3)}))
    assert list(table.columns) == ["popularity", "3 als"]
    assert [key[1:3] for key in table.index] == [
        ("all", "all"), ("all", "hot"), ("all", "cold"), ("books", "all")
    ]  # fmt: skip
    assert table.iloc[0].tolist() == ["0.200±0.020", "0.300±0.020"]
    every = metric_table(side_by_side({"3 als": figures("als", 0.3)}))
    assert every.loc[("time", "popularity bias@10")].tolist() == ["", "0.750"]


@pytest.mark.parametrize("n_versions", [1, 9])
def test_pictures_are_drawn_for_what_there_is(tmp_path: Path, n_versions: int) -> None:
    together = side_by_side({f"{n} als": figures("als", 0.3 + n / 100) for n in range(n_versions)})
    written = {path.name for path in save_plots(together, tmp_path)}
    assert written == {
        "ndcg_by_model.png", "ndcg_by_segment.png", "ndcg_by_site.png",
        "recall_by_k.png", "coverage_and_bias.png",
    }  # fmt: skip
    assert save_plots([], tmp_path / "none") == []


@pytest.mark.parametrize(
    ("n_versions", "width", "n_parts"), [(2, 100, 1), (9, 100, 2), (9, 60, 5), (9, 40, 10), (9, 10, 10)]
)
def test_a_table_of_many_versions_is_told_in_parts_that_fit(
    n_versions: int, width: int, n_parts: int
) -> None:
    table = slice_table(side_by_side({f"{n} als": figures("als", 0.3) for n in range(n_versions)}))
    parts = parts_as_wide_as(table, width)
    assert len(parts) == n_parts
    assert [model for part in parts for model in part.columns] == list(table.columns)
    assert all(part.index.equals(table.index) for part in parts)


def test_no_line_of_a_printed_comparison_is_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.StringIO()
    monkeypatch.setattr(tailor, "stdout", Console(file=told, width=100))
    results = side_by_side({f"{n} blend": figures("blend", 0.3) for n in range(7)})
    tailor._print_slices([], results)
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    table = slice_table(results)
    # Every row once in each part, whole.
    starts = [line for line in lines if line.startswith("time   all    hot")]
    assert len(starts) == len(parts_as_wide_as(table, 100)) > 1
    assert sum(line.count("±") for line in starts) == len(table.columns)
