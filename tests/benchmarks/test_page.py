"""The tables of docs/benchmarks.md are renewed, and nothing else of it."""

import json
import re
from pathlib import Path

from benchmarks.aims import AIMS
from benchmarks.page import main, renew

PAGE = """# Benchmarks

Before, with `a | b` and <!-- a comment -->.

<!-- figures: swap -->
| old | table |
<!-- end -->

Between.

<!-- figures: all -->
<!-- end -->

<!-- figures: not measured -->
| what it had |
<!-- end -->
After.
"""

MACHINE = {
    "cores": 2,
    "memory_gib": 8.0,
    "system": "Linux x86_64",
    "processor": "A Processor",
    "python": "3.12.1",
    "day": "2026-01-31",
    "versions": {"numpy": "2.4.0"},
}
SWAP = {
    "ratios": {"swap_p99_vs_steady": 1.5, "swap_failed": 0.0},
    "rows": [{"while": "nothing changes", "per_second": 1234.5, "p99_ms": 4.25, "rounds": [1, 2]}],
    "options": {"swaps": 20},
    "machine": MACHINE,
}
SLOW = {"ratios": {"batch_vs_implicit": 0.17, "own": 1.0}, "rows": [], "machine": MACHINE}

ROOT = Path(__file__).parents[2]


def prose(page):
    """What stands outside of the tables."""
    return re.sub(r"(<!-- figures: [^>]+ -->\n).*?(<!-- end -->)", r"\1\2", page, flags=re.DOTALL)


def test_the_tables_are_new_and_the_prose_is_as_it_was():
    page = renew(PAGE, {"swap": SWAP, "batch": SLOW})
    assert prose(page) == prose(PAGE)
    assert "| while | per second | p99, ms |" in page
    assert "| nothing changes | 1,234 | 4.25 |" in page
    assert "`swap_p99_vs_steady` 1.50; `swap_failed` 0.000" in page
    assert "`python -m benchmarks.swap` (swaps 20), 2026-01-31." in page
    assert "| old | table |" not in page
    assert "| what it had |" in page


def test_each_ratio_stands_beside_its_aim():
    page = renew(PAGE, {"swap": SWAP, "batch": SLOW})
    assert "| `swap` | `swap_p99_vs_steady` | 1.50 | ≤ 2: reached |" in page
    assert "| `batch` | `batch_vs_implicit` | 0.170 | ≥ 1: **missed** |" in page
    assert "| `batch` | `own` | 1.00 |  |" in page
    assert page.count("2 cores (A Processor), 8.0 GiB, Linux x86_64; Python 3.12.1, numpy 2.4.0.") == 1


def test_figures_of_a_busy_machine_say_so():
    busy = {**SWAP, "machine": {**MACHINE, "load": 9.5}}
    assert "**Provisional**: others kept the machine busy (load 9.5 on 2 cores)." in renew(
        PAGE, {"swap": busy}
    )
    assert "Provisional" not in renew(PAGE, {"swap": {**SWAP, "machine": {**MACHINE, "load": 3.0}}})


def test_renewing_again_changes_nothing():
    once = renew(PAGE, {"swap": SWAP, "batch": SLOW})
    assert renew(once, {"swap": SWAP, "batch": SLOW}) == once


def test_the_page_and_its_picture_are_written(tmp_path, capsys):
    page, figures = tmp_path / "page.md", tmp_path / "figures"
    page.write_text(PAGE)
    figures.mkdir()
    given = ["--figures", str(figures), "--page", str(page)]
    assert main(given) == 1
    assert "make bench" in capsys.readouterr().err
    (figures / "swap.json").write_text(json.dumps(SWAP))
    assert main(given) == 0
    once, picture = page.read_text(), (tmp_path / "page.png").read_bytes()
    assert once != PAGE
    assert main(given) == 0
    assert (page.read_text(), (tmp_path / "page.png").read_bytes()) == (once, picture)


def test_every_benchmark_is_run_by_make_bench_and_has_a_place_on_the_page():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    runnable = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if "\nif __name__ ==" in path.read_text() and path.stem != "page"
    }
    run = re.search(r"^BENCHMARKS := (.*?[^\\])$", (ROOT / "Makefile").read_text(), re.MULTILINE | re.DOTALL)
    assert set(run[1].replace("\\", "").split()) == runnable
    assert set(re.findall(r"<!-- figures: (\S+) -->", page)) == {"all", *runnable}
    assert prose(renew(page, {"swap": SWAP})) == prose(page)


def test_an_aim_says_how_many_times_as_good_as_it_must_be_a_ratio_is():
    assert AIMS["decision_vs_noop"].times(1.0) == AIMS["p99_ms_at_half_rate"].times(20.0) == 0.5
    assert not AIMS["swap_failed"].reached(1.0)


def test_of_several_metrics_the_first_is_shown_and_what_all_rows_say_alike_is_said_once():
    rows = [
        {"model": model, "segment": "all", "metric": metric, "k": 10, "mean": mean}
        for model, ndcg in (("als", 0.25), ("popularity", 0.2))
        for metric, mean in (("ndcg", ndcg), ("recall", 0.9))
    ]
    page = renew("<!-- figures: many -->\n<!-- end -->", {"many": {**SLOW, "rows": rows}})
    assert "All: segment all, metric ndcg, k 10\n\n| model | mean |\n|---|---|\n| als | 0.250 |" in page
    assert "0.900" not in page
