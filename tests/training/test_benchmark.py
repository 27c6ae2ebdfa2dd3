"""Benchmark folders: figures one can check by hand, data of every shape, and refusals that say where."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.interactions import build_interactions
from training.benchmark import Line, run_benchmark
from training.benchmark_folder import open_folder
from training.benchmark_metrics import parse_metric
from training.errors import FolderRefused, InvalidProtocol
from training.metrics import Rankings
from training.questions import ask
from training.references import references, weigh
from training.search import Limits

Rows = list[tuple[str, str, str, str]]

ABOUT = {
    "name": "little",
    "target_kind": "purchase",
    "metrics": ["hr@1", "recall@2", "ndcg@2"],
    "mask": "the consumer's train purchases",
    "candidates": "all items of the test row's site",
    "published": [{"model": "theirs", "recall@2": 0.5}],
}

# Of books, a is liked by three consumers, b by two, c by one; of garden, only z is known.
TRAIN: Rows = [
    ("u1", "books", "a", "purchase"),
    ("u2", "books", "a", "page_view"),
    ("u3", "books", "a", "purchase"),
    ("u2", "books", "b", "purchase"),
    ("u3", "books", "b", "page_view"),
    ("u3", "books", "c", "page_view"),
    ("u1", "garden", "z", "purchase"),
]
TEST: Rows = [
    ("u1", "books", "b", "purchase"),
    ("u1", "books", "b", "purchase"),
    ("u2", "books", "c", "purchase"),
    ("u2", "books", "never seen", "purchase"),
    ("stranger", "books", "b", "purchase"),
]


def table(rows: Rows, **more: Any) -> pa.Table:
    columns = dict(zip(("consumer_id", "site_id", "item_id", "kind"), zip(*rows, strict=True), strict=True))
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()} | more)


def write_folder(
    directory: Path, *, train: pa.Table | None = None, test: pa.Table | None = None, **about: Any
) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "dataset.json").write_text(json.dumps(ABOUT | about), encoding="utf-8")
    pq.write_table(table(TRAIN) if train is None else train, directory / "train.parquet")
    pq.write_table(table(TEST) if test is None else test, directory / "test.parquet")
    return directory


def random_rows(n: int, *, seed: int = 0, n_sites: int = 3, kinds: tuple[str, ...] = ("purchase",)) -> Rows:
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, [40, n_sites, 30, len(kinds)], size=(n, 4))
    return [(f"c{a}", f"s{b}", f"i{c}", kinds[d]) for a, b, c, d in drawn.tolist()]


def line(lines: tuple[Line, ...], origin: str) -> Line:
    return next(one for one in lines if one.origin == origin)


def mean_of(line: Line, metric: str) -> float:
    figure = line.figures[metric]
    assert figure is not None
    return figure.mean


def test_popularitys_figures_are_those_one_gets_by_hand(tmp_path: Path) -> None:
    # u1 may not be offered a: b, c. u2 may not be offered b: a, c. A stranger is offered a, b.
    report = run_benchmark(write_folder(tmp_path / "f"), model="popularity")
    popularity = line(report.lines, "reference")
    second = 1 / np.log2(3)
    assert mean_of(popularity, "hr@1") == pytest.approx(1 / 3)
    assert mean_of(popularity, "recall@2") == pytest.approx((1 + 1 / 2 + 1) / 3)
    assert mean_of(popularity, "ndcg@2") == pytest.approx((1 + second / (1 + second) + second) / 3)
    assert (report.n_queries, report.n_without_history, report.n_items, report.n_sites) == (3, 1, 4, 2)


def test_items_that_a_consumer_had_nothing_to_do_with_are_told_apart(tmp_path: Path) -> None:
    # u2 viewed a and bought it; nobody of train had to do with the others that they were asked about.
    test = table([*TEST, ("u2", "books", "a", "purchase"), ("u3", "books", "b", "purchase")])
    report = run_benchmark(write_folder(tmp_path, test=test, mask="nothing"), model="popularity")
    ours = line(report.lines, "ours")
    # b comes second for u1 and the stranger; of u2 c is third, and another item is unknown.
    assert report.n_untouched == 3
    assert ours.untouched["recall@2"].mean == pytest.approx((1 + 0 + 1) / 3)
    assert mean_of(ours, "recall@2") == pytest.approx((1 + 1 / 3 + 1 + 1) / 4)
    assert line(report.lines, "published").untouched == {}
    plain = run_benchmark(write_folder(tmp_path), model="popularity")
    assert (line(plain.lines, "ours").untouched, plain.n_untouched) == ({}, 3)


def test_published_figures_stand_beside_ours_and_what_is_not_told_stays_empty(tmp_path: Path) -> None:
    report = run_benchmark(write_folder(tmp_path / "f"), model="popularity")
    published = line(report.lines, "published")
    assert published.model == "theirs"
    assert mean_of(published, "recall@2") == 0.5
    assert published.figures["ndcg@2"] is None


def test_ours_is_held_against_the_best_of_the_others_by_the_first_ndcg(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", mask="nothing", metrics=["hr@1", "ndcg@2", "ndcg@1"])
    report = run_benchmark(folder, model="als", beside=references())
    ours, *others = [one for one in report.lines if one.origin != "published"]
    best = max(mean_of(one, "ndcg@2") for one in others)
    assert report.vs_references == pytest.approx(mean_of(ours, "ndcg@2") / best)
    assert {one.model for one in report.comparisons} == {one.model for one in others}
    for one in report.comparisons:
        theirs = next(mean_of(other, "ndcg@2") for other in others if other.model == one.model)
        assert one.difference.mean == pytest.approx(mean_of(ours, "ndcg@2") - theirs)
    without = run_benchmark(write_folder(tmp_path / "g", metrics=["hr@1"]), model="als")
    assert (without.comparisons, without.vs_references) == ((), None)


def test_questions_tell_how_many_are_of_a_site_where_the_consumer_never_was() -> None:
    # u1 was on both sites, u2 and u3 on books alone; the stranger is not counted.
    interactions = build_interactions(table(TRAIN))
    cells = weigh(interactions)
    asked = [(one, "garden", "z", "purchase") for one in ("u1", "u2", "u3", "stranger")]
    assert ask(table(asked), interactions).share_elsewhere(cells, interactions.items) == pytest.approx(2 / 3)
    assert ask(table(TEST), interactions).share_elsewhere(cells, interactions.items) == 0


@pytest.mark.parametrize("asked_on", ["s0", "s1"])
def test_auto_is_chosen_where_test_asks_about_another_site(tmp_path: Path, asked_on: str) -> None:
    rows = random_rows(900, n_sites=2)
    test = [row for row in rows if row[1] == asked_on and int(row[0][1:]) < 20]
    train = [row for row in rows if row not in test]
    folder = write_folder(tmp_path / "f", train=table(train), test=table(test), mask="nothing")
    report = run_benchmark(folder, model="auto", limits=Limits(n_trials=1, max_decision_us=None))
    assert mean_of(line(report.lines, "ours"), "recall@2") > 0
    assert report.chosen is not None
    for member in report.chosen["members"]:
        assert f"{member['share']:.3g} × {member['kind']}(" in report.chosen_in_words()
    assert run_benchmark(folder, model="popularity").chosen_in_words() == ""


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_predictions_rank_the_sites_items_and_give_the_figures_that_are_printed(
    tmp_path: Path, ending: str
) -> None:
    train, test = random_rows(600), random_rows(150, seed=1)
    folder = write_folder(tmp_path / "f", train=table(train), test=table(test))
    report = run_benchmark(folder, predictions=tmp_path / f"p{ending}")
    read: Callable[..., pd.DataFrame] = pd.read_parquet if ending == ".parquet" else pd.read_csv
    rankings = read(tmp_path / f"p{ending}")
    assert list(rankings.columns) == ["consumer_id", "site_id", "rank", "item_id"]
    bought = {(consumer, site, item) for consumer, site, item, _ in train}
    assert not bought & set(
        rankings[["consumer_id", "site_id", "item_id"]].itertuples(index=False, name=None)
    )
    recalls = []
    for (consumer, site), held_out in pd.DataFrame(test).groupby([0, 1]):
        mine = rankings[(rankings["consumer_id"] == consumer) & (rankings["site_id"] == site)]
        assert list(mine["rank"]) == list(range(1, len(mine) + 1))
        first, wanted = set(mine["item_id"][:2]), set(held_out[2])
        recalls.append(len(first & wanted) / len(wanted))
    assert mean_of(line(report.lines, "ours"), "recall@2") == pytest.approx(np.mean(recalls))


def test_ids_may_hold_any_character(tmp_path: Path) -> None:
    odd = [
        "",
        " ",
        "a,b",
        'say "x"',
        "line\nbreak",
        "tab\t",
        "a\\b",
        "ü ☃ 🛒",
        "1e5",
        "NaN",
        "'; --",
        "../x",
        "%",
    ]
    rows = [(one, f"site {one}", f"item {other}", "purchase") for one in odd for other in odd if one != other]
    folder = write_folder(tmp_path / "f", train=table(rows[::2]), test=table(rows[1::2]), mask="nothing")
    report = run_benchmark(folder, predictions=tmp_path / "p.parquet")
    assert report.n_queries == len(odd)
    assert set(pq.read_table(tmp_path / "p.parquet")["consumer_id"].to_pylist()) == set(odd)


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_times_may_be_there_with_holes_or_not_at_all(tmp_path: Path, unit: str) -> None:
    moments = pa.array([None, *range(1, len(TRAIN))], pa.int64()).cast(pa.timestamp(unit))
    timed = write_folder(tmp_path / "f", train=table(TRAIN, occurred_at=moments))
    assert len(run_benchmark(timed).lines) == 3


def test_kinds_of_other_names_are_learned_from_and_can_be_asked_for_and_masked(tmp_path: Path) -> None:
    train = [(*row[:3], {"purchase": "booking", "page_view": "search"}[row[3]]) for row in TRAIN]
    test = [(*row[:3], "booking") for row in TEST] + [("u3", "books", "c", "search")]
    plain = run_benchmark(write_folder(tmp_path / "plain"))
    about = {"target_kind": "booking", "mask": "the consumer's train bookings"}
    renamed = run_benchmark(write_folder(tmp_path / "f", train=table(train), test=table(test), **about))
    assert [one.figures for one in renamed.lines] == [one.figures for one in plain.lines]


@pytest.mark.parametrize(
    ("mask", "kinds"),
    [
        ("nothing", set()),
        (None, set()),
        ("the consumer's train purchases", {"purchase"}),
        ("The consumer's train page views and purchases", {"purchase", "page_view"}),
        ("the consumer's train activity", {"purchase", "page_view"}),
    ],
)
def test_a_mask_says_which_train_rows_are_no_candidates(
    tmp_path: Path, mask: str | None, kinds: set[str]
) -> None:
    assert open_folder(write_folder(tmp_path / "f", mask=mask)).masked_kinds == kinds


def test_a_site_that_train_does_not_know_counts_as_missed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f", test=table([*TEST, ("u1", "new", "n", "purchase")]))
    report = run_benchmark(folder, predictions=tmp_path / "p.csv")
    assert report.n_queries == 4
    assert mean_of(line(report.lines, "reference"), "recall@2") == pytest.approx(2.5 / 4)


def test_blocks_of_consumers_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("purchase", "page_view")
    train, test = random_rows(600, kinds=kinds), random_rows(150, seed=1)
    folder = write_folder(tmp_path / "f", train=table(train), test=table(test))
    run_benchmark(folder, predictions=tmp_path / "whole.parquet")
    monkeypatch.setattr("training.ranking.BLOCK_BYTES", 400)
    run_benchmark(folder, predictions=tmp_path / "blocks.parquet")
    assert pq.read_table(tmp_path / "whole.parquet") == pq.read_table(tmp_path / "blocks.parquet")


def test_references_are_the_six_lines_and_beat_chance_where_tastes_are_plain(tmp_path: Path) -> None:
    rows = [(f"c{c:02}", "s", f"i{i:02}", "purchase") for c in range(40) for i in range(c % 2, 40, 2)]
    held_out = [row for place, row in enumerate(rows) if place % 7 == 3]
    kept = [row for place, row in enumerate(rows) if place % 7 != 3]
    folder = write_folder(tmp_path / "f", train=table(kept), test=table(held_out), metrics=["recall@5"])
    told: list[str] = []
    report = run_benchmark(
        folder, beside=references(), progress=lambda stage, _done, _total: told.append(stage)
    )
    lines = [one for one in report.lines if one.origin == "reference"]
    assert [one.model for one in lines] == ["popularity", *(one.name for one in references())]
    assert len(lines) == 6
    assert all(mean_of(one, "recall@5") > 0.8 for one in lines[1:])
    assert all(one.peak_bytes and one.fit_s is not None for one in lines)
    assert {f"{one.model}: rank" for one in lines} <= set(told)


def damaged(directory: Path, damage: str) -> Path:  # noqa: PLR0912 - one branch a damage
    folder = write_folder(directory)
    about, train, test = (folder / name for name in ("dataset.json", "train.parquet", "test.parquet"))
    rows = table(TRAIN)
    match damage:
        case "no folder":
            return folder / "elsewhere"
        case "no dataset.json":
            about.unlink()
        case "no train":
            train.unlink()
        case "no test":
            test.unlink()
        case "bad json":
            about.write_text('{"name": "x",', encoding="utf-8")
        case "not utf-8":
            about.write_bytes(b'{"name": "\xff"}')
        case "json list":
            about.write_text("[1]", encoding="utf-8")
        case "no target_kind":
            about.write_text(json.dumps({k: v for k, v in ABOUT.items() if k != "target_kind"}))
        case "unknown metric":
            write_folder(directory, metrics=["hr@10", "auc"])
        case "metric at 0":
            write_folder(directory, metrics=["hr@0"])
        case "metrics no list":
            write_folder(directory, metrics="hr@10")
        case "unknown mask":
            write_folder(directory, mask="weekends")
        case "sampled":
            write_folder(directory, candidates="100 sampled items")
        case "published no list":
            write_folder(directory, published={"model": "x"})
        case "no column":
            pq.write_table(rows.drop_columns(["site_id"]), train)
        case "numbers as ids":
            pq.write_table(rows.set_column(2, "item_id", pa.array(range(len(TRAIN)))), train)
        case "text as time":
            pq.write_table(rows.append_column("occurred_at", pa.array(["x"] * len(TRAIN))), train)
        case "a hole":
            pq.write_table(rows.set_column(0, "consumer_id", pa.array(["u", None, *"abcde"])), train)
        case "no parquet":
            test.write_text("consumer_id,site_id\n")
        case "cut short":
            test.write_bytes(test.read_bytes()[:-20])
        case "empty train":
            pq.write_table(rows.slice(0, 0), train)
        case "other target":
            write_folder(directory, target_kind="page_view")
    return folder


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("no folder", "elsewhere is no folder"),
        ("no dataset.json", "dataset.json is missing"),
        ("no train", "train.parquet is missing"),
        ("no test", "test.parquet is missing"),
        ("bad json", "dataset.json is not JSON.*line 1"),
        ("not utf-8", "dataset.json is not JSON in UTF-8"),
        ("json list", "dataset.json holds a list"),
        ("no target_kind", "dataset.json has no 'target_kind'"),
        ("unknown metric", "dataset.json: unknown metric 'auc'; known: hr@k"),
        ("metric at 0", "unknown metric 'hr@0'"),
        ("metrics no list", "'metrics' is 'hr@10'; give a list"),
        ("unknown mask", "'mask' is 'weekends'; known: 'nothing'"),
        ("sampled", "'candidates' is '100 sampled items'"),
        ("published no list", "'published' is .*give a list"),
        ("no column", "train.parquet: column 'site_id' is not there; it has: consumer_id, item_id, kind"),
        ("numbers as ids", "train.parquet: column 'item_id' is int64; give text"),
        ("text as time", "train.parquet: column 'occurred_at' is string; give timestamps"),
        ("a hole", "train.parquet: column 'consumer_id' is empty in row 2"),
        ("no parquet", "test.parquet cannot be read as Parquet"),
        ("cut short", "test.parquet cannot be read as Parquet"),
        ("empty train", "train.parquet: no rows"),
        ("other target", "test.parquet: no row is of the target_kind 'page_view'.*'purchase'"),
    ],
)
def test_a_malformed_folder_is_refused_with_what_and_where(tmp_path: Path, damage: str, says: str) -> None:
    with pytest.raises(FolderRefused, match=says):
        run_benchmark(damaged(tmp_path / "f", damage))


def test_a_predictions_file_that_cannot_be_written_is_refused_before_training(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "f")
    with pytest.raises(InvalidProtocol, match=r"ends in \.parquet or \.csv"):
        run_benchmark(folder, predictions=tmp_path / "p.txt")
    with pytest.raises(InvalidProtocol, match="there is no folder"):
        run_benchmark(folder, predictions=tmp_path / "nowhere" / "p.csv")
    with pytest.raises(InvalidProtocol, match="unknown model 'guess'; known: auto, als"):
        run_benchmark(folder, model="guess")


def test_a_refused_run_leaves_no_predictions_behind(tmp_path: Path) -> None:
    with pytest.raises(FolderRefused):
        run_benchmark(damaged(tmp_path / "f", "no test"), predictions=tmp_path / "p.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_metrics_are_read_by_name_with_any_k() -> None:
    hits = np.array([[False, True, True, False]])
    rankings = Rankings(np.arange(4)[None], hits, np.array([4]))
    values = {
        name: parse_metric(name).of(rankings)[0] for name in ("HR@1", "hr@2", "recall@3", "precision@4")
    }
    assert values == {"HR@1": 0, "hr@2": 1, "recall@3": 0.5, "precision@4": 0.5}
    assert parse_metric("mrr@4").of(rankings)[0] == 0.5


SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("metric", ["hr@10", "ndcg@10"])
@pytest.mark.skipif(not (SHARED / "taobao_sites").is_dir(), reason="taobao_sites is not beside the project")
def test_popularity_on_known_data_comes_out_as_others_measured_it(metric: str) -> None:
    report = run_benchmark(SHARED / "taobao_sites", model="popularity")
    theirs = next(one for one in report.lines if (one.model, one.origin) == ("popularity", "published"))
    assert mean_of(line(report.lines, "reference"), metric) == pytest.approx(
        mean_of(theirs, metric), abs=5e-5
    )
