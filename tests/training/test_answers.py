"""Answers are kept without names, compared query by query, and never executed."""

from pathlib import Path

import numpy as np
import pytest

from training.answers import Answers, gain, read_answers, write_answers
from training.errors import AnswersRefused, InvalidProtocol
from training.metrics import Rankings


def answers(*ndcg: float) -> Answers:
    return Answers(np.arange(len(ndcg)) // 2, np.array(ndcg))


def test_a_difference_is_of_the_same_query_and_drawn_by_consumer() -> None:
    before, after = answers(*[0.1, 0.9] * 20), answers(*[0.2, 1.0] * 20)
    found = gain(before, after)
    # Each consumer gains the same, though queries differ widely.
    assert (found.difference.low, found.difference.high) == pytest.approx((0.1, 0.1))
    assert (found.before.mean, found.after.mean) == pytest.approx((0.5, 0.6))
    assert found.verdict == "better"
    assert gain(after, before).verdict == "worse"
    assert gain(before, before).verdict == "no difference seen"


def test_answers_to_other_questions_do_not_compare() -> None:
    with pytest.raises(InvalidProtocol, match="asked different questions"):
        gain(answers(0.1, 0.2), answers(0.1, 0.2, 0.3))


def test_kept_answers_are_read_back_and_name_no_consumer(tmp_path: Path) -> None:
    rankings = Rankings(np.zeros((3, 10), dtype=np.int64), np.eye(3, 10, dtype=bool), np.ones(3, dtype=int))
    mine = Answers.of(rankings, ["somebody", "anybody", "somebody"])
    assert mine.consumer.tolist() == [1, 0, 1]
    assert mine.n_consumers == 2
    file = tmp_path / "answers.npz"
    write_answers({"time": {"als": mine, "popularity": mine}, "redemptions": {"als": mine}}, file)
    kept = read_answers(file)
    assert {protocol: set(by_model) for protocol, by_model in kept.items()} == {
        "time": {"als", "popularity"}, "redemptions": {"als"}
    }  # fmt: skip
    assert kept["time"]["als"].ndcg.tolist() == mine.ndcg.tolist()
    assert kept["time"]["als"].consumer.tolist() == [1, 0, 1]
    assert b"body" not in file.read_bytes()


def test_a_damaged_file_or_one_with_objects_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.npz"
    write_answers({"time": {"als": answers(0.1, 0.2)}}, file)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(AnswersRefused, match=r"answers\.npz cannot be read"):
        read_answers(file)
    np.savez(file, **{"time/consumer": np.arange(1), "time/ndcg/als": np.array([object()])})  # type: ignore[arg-type]
    with pytest.raises(AnswersRefused, match="allow_pickle=False"):
        read_answers(file)
