import threading

import pytest

from storage.champions import (
    Champion,
    champion_history,
    current_champion,
    previous_champion,
    record_champion,
)


def version(number):
    return Champion(
        version=str(number), model_kind="als", digest=f"d{number}", location=f"/bundles/d{number}"
    )


@pytest.fixture
def promote(connection):
    return lambda number: record_champion(connection, version(number), action="promote", actor="test")


@pytest.fixture
def roll_back(connection):
    def back():
        target = previous_champion(connection)
        return record_champion(connection, target, action="rollback", actor="test")

    return back


def test_before_the_first_promotion_there_is_no_champion(connection):
    assert current_champion(connection) is None
    assert previous_champion(connection) is None


def test_the_last_promoted_version_serves(connection, promote):
    assert promote(1)
    assert promote(2)
    assert current_champion(connection) == version(2)
    assert previous_champion(connection) == version(1)


def test_a_change_that_two_notice_is_noted_once(connection, promote):
    assert promote(1)
    assert not promote(1)
    assert len(champion_history(connection)) == 1


def test_rolling_back_twice_goes_back_two_steps(connection, promote, roll_back):
    for number in (1, 2, 3):
        promote(number)
    roll_back()
    assert current_champion(connection) == version(2)
    roll_back()
    assert current_champion(connection) == version(1)
    assert previous_champion(connection) is None


def test_after_a_rollback_a_promotion_goes_on_from_there(connection, promote, roll_back):
    promote(1)
    promote(2)
    roll_back()
    promote(3)
    assert previous_champion(connection) == version(1)
    assert [entry.action for entry in champion_history(connection)] == [
        "promote",
        "promote",
        "rollback",
        "promote",
    ]


def test_many_who_notice_at_once_note_it_once(database):
    noted = []

    def note():
        with database.connection() as connection:
            noted.append(record_champion(connection, version(1), action="promote", actor="watcher"))

    threads = [threading.Thread(target=note) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert noted.count(True) == 1
