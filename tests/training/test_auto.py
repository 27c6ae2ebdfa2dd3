"""The model that chooses itself, where the right answer is known by construction."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from features.weights import KINDS, InteractionWeights
from models.blend import FittedBlend
from models.ridge import Ridge
from training.auto import choose
from training.benchmark_metrics import parse_metric
from training.errors import InvalidProtocol, NothingToEvaluate
from training.families import FAMILIES, Setting
from training.mixing import Rules, ScoreTable, mix, tabulate
from training.ranking import score_model
from training.search import Limits, Trial, search
from training.validation import Validation, small, validation_of

N_CONSUMERS, N_ITEMS = 90, 24
LIMITS = Limits(n_trials=1, max_decision_us=None)


def activity(*, times: bool = False, seed: int = 0) -> pa.Table:
    """Everyone views many and buys some items of one of three tastes."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(N_CONSUMERS):
        for place in range(9):
            item = int(3 * random.integers(N_ITEMS // 3) + number % 3)
            kind = "purchase" if place % 3 == 2 else "page_view"
            when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=place, minutes=number)
            rows.append((f"c{number:02}", "ab"[item % 2], f"i{item:02}", kind, when if times else None))
    columns = [pa.array(column) for column in list(zip(*rows, strict=True))[:4]]
    moments = pa.array([row[4] for row in rows], pa.timestamp("us", tz="UTC"))
    return pa.table([*columns, moments], names=["consumer_id", "site_id", "item_id", "kind", "occurred_at"])


@pytest.fixture(scope="module")
def validation() -> Validation:
    return validation_of(activity(), InteractionWeights())


def test_a_cut_without_times_hides_one_purchase_and_leaves_what_was_viewed(validation: Validation) -> None:
    interactions = validation.interactions
    bought = interactions.by_kind["purchase"]
    for row, relevant in zip(validation.questions.rows, validation.questions.relevant, strict=True):
        assert relevant.nnz == 1
        assert bought[int(row), relevant.indices[0]] == 0
    viewed = sum(matrix.sum() for kind, matrix in interactions.by_kind.items() if kind == "page_view")
    assert viewed == 6 * N_CONSUMERS


def test_a_cut_by_time_asks_about_the_last_purchases() -> None:
    cut = validation_of(activity(times=True), InteractionWeights())
    assert cut.interactions.as_of is not None
    # The third of three purchases is on day 8, the second on day 5.
    assert datetime(2026, 1, 6, tzinfo=UTC) < cut.interactions.as_of <= datetime(2026, 1, 9, 2, tzinfo=UTC)
    assert (cut.questions.n_relevant == 1).all()


def test_what_was_held_out_by_somebody_else_is_asked_and_nothing_is_cut() -> None:
    table = activity()
    held_out = table.slice(0, 3)
    cut = validation_of(table, InteractionWeights(), held_out=held_out)
    assert cut.questions.consumer_ids == ["c00"] * len(cut.questions)
    assert sum(int(matrix.sum()) for matrix in cut.interactions.by_kind.values()) == table.num_rows


def test_masked_kinds_are_no_candidates(validation: Validation) -> None:
    cut = validation_of(activity(), InteractionWeights(), masked_kinds=frozenset({"purchase"}))
    assert cut.masked is not None
    assert cut.masked.nnz == cut.interactions.by_kind["purchase"].nnz
    assert validation.masked is None


def test_what_would_make_an_answer_no_candidate_is_hidden_with_it() -> None:
    cut = validation_of(activity(), InteractionWeights(), masked_kinds=frozenset({"page_view", "purchase"}))
    assert cut.masked is not None
    assert cut.questions.relevant.multiply(cut.masked[cut.questions.rows]).nnz == 0


def test_nothing_to_ask_is_said() -> None:
    one_each = activity().slice(0, 3)
    with pytest.raises(NothingToEvaluate, match="nothing to compare models by"):
        validation_of(one_each, InteractionWeights())


def many_of_few() -> pa.Table:
    """Six hundred consumers who bought five of sixty items, few of these often."""
    random = np.random.default_rng(1)
    rows = [
        (f"c{n:03}", "a", f"i{min(int(random.exponential(8)), 59):02}", "purchase")
        for n in range(600)
        for _ in range(5)
    ]
    names = ["consumer_id", "site_id", "item_id", "kind"]
    return pa.table([pa.array(column) for column in zip(*rows, strict=True)], names=names)


def test_a_small_part_keeps_the_most_active_items_and_the_questions_about_them() -> None:
    whole = validation_of(many_of_few(), InteractionWeights())
    part = small(whole, n_items=20, n_consumers=400)
    assert len(part.interactions.items) == 20
    assert part.questions.relevant.shape[1] == 20
    assert 0 < len(part.questions) <= len(whole.questions)
    assert (np.diff(part.questions.relevant.indptr) > 0).all()
    for consumer_id, row in zip(part.questions.consumer_ids, part.questions.rows, strict=True):
        assert part.interactions.consumers[int(row)] == consumer_id
    assert small(whole, n_items=1000, n_consumers=1000) is whole


def test_every_starting_point_is_made_on_all_of_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.search.SMALL_ITEMS", 20)
    graph = FAMILIES[0]
    cut = validation_of(many_of_few(), InteractionWeights())
    finalists = search(cut, limits=LIMITS, random_state=1, families=[graph])
    made = [finalist.trial.values for finalist in finalists]
    # There is one kind of activity, which counts 1.
    starts = [{name: value for name, value in one.items() if name not in KINDS} for one in graph.starts]
    assert len(cut.interactions.items) > 20
    assert all(start in made for start in starts)


def test_the_choice_ranks_better_than_popularity_and_says_what_it_tried(validation: Validation) -> None:
    told: list[Trial] = []
    choice = choose(validation, limits=LIMITS, random_state=1, on_trial=told.append)
    assert choice.value > 0.4
    assert {trial.family for trial in told} == {family.name for family in FAMILIES}
    assert {trial.family for trial in told if trial.whole} == {one.trial.family for one in choice.finalists}
    fitted = choice.blend.fit(validation.interactions)
    assert isinstance(fitted, FittedBlend)
    own = fitted.score(validation.interactions.row(0))
    assert {
        int(item[1:]) % 3 for _, item in (fitted.items.pair(int(best)) for best in np.argsort(-own)[:3])
    } == {0}


def test_the_same_seed_and_number_of_trials_choose_the_same(validation: Validation) -> None:
    first, second = (
        choose(validation, limits=Limits(n_trials=4, max_decision_us=None), random_state=3) for _ in range(2)
    )
    assert first.blend == second.blend
    assert first.value == second.value


def test_an_interrupted_search_goes_on_where_it_stopped(validation: Validation, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    told: list[Trial] = []

    def stop_after_three(trial: Trial) -> None:
        told.append(trial)
        if len(told) == 3:
            raise Stop

    limits = Limits(n_trials=5, max_decision_us=None)
    with pytest.raises(Stop):
        search(validation, limits=limits, random_state=1, studies=tmp_path, on_trial=stop_after_three)
    again: list[Trial] = []
    resumed = search(validation, limits=limits, random_state=1, studies=tmp_path, on_trial=again.append)
    untroubled: list[Trial] = []
    anew = search(validation, limits=limits, random_state=1, on_trial=untroubled.append)
    assert len(again) == len(untroubled) - 3
    assert [one.trial.values for one in resumed] == [one.trial.values for one in anew]


def test_other_data_begins_another_study(validation: Validation, tmp_path: Path) -> None:
    search(validation, limits=LIMITS, random_state=1, studies=tmp_path)
    n_studies = len(list(tmp_path.glob("*.journal")))
    search(
        validation_of(activity(seed=5), InteractionWeights()), limits=LIMITS, random_state=1, studies=tmp_path
    )
    assert len(list(tmp_path.glob("*.journal"))) == 2 * n_studies


def test_a_decision_costs_no_more_than_it_may(validation: Validation) -> None:
    choice = choose(validation, limits=replace(LIMITS, max_decision_us=1.0), random_state=1)
    # Nothing is that cheap: the cheapest alone, and a modest one is among them.
    assert "als 64" in {finalist.trial.family for finalist in choice.finalists}
    assert len(choice.blend.members) == 1
    assert choice.blend.popularity == 0


@pytest.mark.parametrize("limits", [{"budget_s": 0}, {"n_trials": -1}, {"max_decision_us": 0}], ids=str)
def test_limits_that_make_no_sense_are_refused(limits: dict) -> None:
    with pytest.raises(InvalidProtocol, match=next(iter(limits))):
        Limits(**limits)


def test_every_family_makes_a_model_of_its_starting_points(validation: Validation) -> None:
    setting = Setting.of(validation.interactions, 0)
    assert setting.kinds == ("page_view", "purchase")
    for family in FAMILIES:
        for start in family.starts_in(setting):
            member = family.member(start, setting)
            assert all(getattr(member, kind) > 0 for kind in KINDS)


def test_large_catalogues_are_not_for_regressions(validation: Validation) -> None:
    setting = replace(Setting.of(validation.interactions, 0), n_items=20_001)
    kept = {family.name for family in FAMILIES if family.suits(setting)}
    assert kept == {"graph", "ials", "als"}


def table_of(scores: np.ndarray, hits: np.ndarray) -> ScoreTable:
    return ScoreTable(scores.astype(np.float32), hits, np.maximum(hits.sum(axis=1), 1))


def complementary() -> ScoreTable:
    """One model knows the answer to half of the questions, another to the other half, a third to none."""
    random = np.random.default_rng(2)
    hits = np.zeros((200, 30), dtype=bool)
    hits[np.arange(200), random.integers(30, size=200)] = True
    noise = random.random((3, 200, 30))
    noise[0, :100] += 2 * hits[:100]
    # On another scale altogether.
    noise[1, 100:] += 2 * hits[100:]
    noise[1] *= 1000
    return table_of(noise, hits)


def test_models_that_complement_each_other_are_mixed_whatever_their_scale() -> None:
    table, metric = complementary(), parse_metric("ndcg@10")
    weights, value = mix(table, metric.of, depth=10)
    assert value > 1.3 * table.value(np.eye(3)[0], metric.of, depth=10)
    assert weights[2] == 0
    assert 0.1 < weights[1] * 1000 / weights[0] < 10


def test_models_of_one_group_exclude_each_other_and_dear_ones_stay_out() -> None:
    table, metric = complementary(), parse_metric("ndcg@10")
    together = Rules(np.array([0, 0, 1]), np.zeros(3), np.inf)
    dear = Rules(np.arange(3), np.array([5.0, 9.0, 1.0]), 10.0)
    for rules in (together, dear):
        weights, _ = mix(table, metric.of, depth=10, rules=rules)
        assert (weights[:2] > 0).sum() == 1


def test_the_table_holds_each_models_best_and_what_the_others_say_of_them(validation: Validation) -> None:
    models = [Ridge(regularization=5, kept=5).fit(validation.interactions)]
    scores = [score_model(one, validation.interactions) for one in models]
    table = tabulate(scores, validation.questions, validation.interactions, masked=None)
    metric = parse_metric("ndcg@5")
    for place in range(0, len(validation.questions), 7):
        row = int(validation.questions.rows[place])
        site = validation.interactions.items.site_slice(validation.questions.site_ids[place])
        alone = models[0].score(validation.interactions.row(row))[site]
        found = table.scores[0, place][np.isfinite(table.scores[0, place])]
        assert sorted(found) == pytest.approx(sorted(alone), rel=1e-4, abs=1e-6)
        assert table.hits[place].sum() == 1
    assert 0 < table.value(np.ones(1), metric.of, depth=5) <= 1


def test_masked_candidates_are_not_in_the_table(validation: Validation) -> None:
    model = Ridge(regularization=5, kept=5).fit(validation.interactions)
    everything = sparse.csr_matrix(np.ones((N_CONSUMERS, N_ITEMS), dtype=np.int8))
    score = score_model(model, validation.interactions)
    table = tabulate([score], validation.questions, validation.interactions, masked=everything)
    assert not table.hits.any()
    assert np.isneginf(table.scores).all()


def test_starts_that_differ_only_in_kinds_that_do_not_occur_are_one() -> None:
    ials = next(family for family in FAMILIES if family.name == "ials")
    with_views = ials.starts_in(Setting(("page_view", "purchase"), 10, 0))
    without = ials.starts_in(Setting(("purchase",), 10, 0))
    assert (len(with_views), len(without)) == (4, 3)
    assert all("page_view" not in start for start in without)
