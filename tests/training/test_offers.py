"""The choice between models by the promotions that were taken up."""

from datetime import timedelta

import pytest

from features.snapshot import Snapshot
from features.weights import InteractionWeights
from storage.settings import Settings
from tests.training.conftest import N_CONSUMERS, START
from training.auto import choose
from training.compare import compare
from training.offers import LEAST_GAIN, LEAST_QUERIES, choose_by_promotions
from training.pipeline import train_snapshot
from training.plan import Plan
from training.redemptions import PromotionRecords
from training.search import Limits
from training.split import read_activity
from training.validation import validation_of

LIMITS = Limits(n_trials=1, max_decision_us=None)


@pytest.fixture
def records(snapshot: Snapshot) -> PromotionRecords:
    return PromotionRecords.from_snapshot(snapshot)


def test_als_and_the_blend_are_compared_by_what_was_taken_up_after_the_cut(
    snapshot: Snapshot, records: PromotionRecords
) -> None:
    validation = validation_of(read_activity(snapshot.activity), InteractionWeights())
    choice = choose(validation, limits=LIMITS, random_state=0)
    cut = validation.interactions.as_of
    assert cut is not None
    # Redemptions of two days come after the cut.
    assert LEAST_QUERIES <= 2 * N_CONSUMERS
    offered = choose_by_promotions(choice, validation, records, until=None, random_state=0)
    assert offered is not None
    assert set(offered.values) == {
        "als with its defaults", *(f"blend, own activity {overlap}" for overlap in (0.1, 0.2, 0.4, 0.8))
    }  # fmt: skip
    als, best = offered.values["als with its defaults"], max(offered.values.values())
    assert (offered.blend == choice.blend) == (best >= als * (1 + LEAST_GAIN))
    assert best > 0.5


def test_nothing_that_a_model_will_be_judged_by_is_looked_at(
    snapshot: Snapshot, records: PromotionRecords
) -> None:
    validation = validation_of(read_activity(snapshot.activity), InteractionWeights())
    choice = choose(validation, limits=LIMITS, random_state=0)
    until = START + timedelta(days=7)
    assert choose_by_promotions(choice, validation, records, until=until, random_state=0) is None


def test_a_training_without_options_chooses_blends_and_says_why(
    snapshot: Snapshot, settings: Settings
) -> None:
    plan = Plan(limits=Limits(n_trials=1, max_decision_us=None))
    (report,) = train_snapshot(snapshot, settings, plans=[plan])
    assert report.model == "blend"
    assert report.ndcg_at_10 is not None
    assert report.popularity is not None
    assert report.ndcg_at_10 > report.popularity
    (choice,) = (settings.home / "mlartifacts").glob(f"{report.run_id}/**/choice")
    assert {path.name for path in choice.iterdir()} == {"choice.json", "trials.png"}
    (row,) = [row for row in compare(settings) if row.version == report.version]
    assert row.model == "blend"
