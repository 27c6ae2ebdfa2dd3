"""`tailor erase` and `tailor erasures`, as an operator runs them."""

import json

import pytest
from typer.testing import CliRunner, Result

import tailor
from storage.activity import append_events
from storage.consumers import link_identifier
from storage.upkeep import upkeep


@pytest.fixture
def run(database, tmp_path, monkeypatch, make_event):
    """Runs a command where ann is known, also as v1 on a site."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("TAILOR_HOME", str(tmp_path))
    with database.connection() as connection:
        append_events(connection, [make_event(), make_event(consumer_id="bob")])
        link_identifier(connection, "site:books", "v1", consumer_id="ann")

    def run(*words: str) -> Result:
        return CliRunner().invoke(tailor.app, words)

    return run


@pytest.mark.parametrize("whom", [["ann"], ["--identifier", "site:books", "v1"]])
def test_somebody_is_erased_by_any_name_and_the_record_is_listed(run, database, whom):
    done = run("erase", *whom, "--yes", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["rows_deleted"]["activity"], told["cleaned"]) == (1, True)
    with database.connection() as connection:
        assert connection.execute("SELECT identifier FROM activity").fetchall() == [("bob",)]
    [record] = json.loads(run("erasures", "--json").stdout)
    assert record["rows_deleted"] == told["rows_deleted"]
    assert record["cleaned_at"] > record["at"]
    assert "ann" not in json.dumps(record)


def test_of_a_stranger_nothing_is_erased_and_nothing_recorded(run):
    told = json.loads(run("erase", "nobody", "--yes", "--json").stdout)
    assert (set(told["rows_deleted"].values()), told["erasure_id"], told["cleaned"]) == ({0}, None, False)
    assert run("erasures").stdout == "nobody was erased\n"


@pytest.mark.parametrize("whom", [[], ["ann", "--identifier", "login", "h"]])
def test_who_it_is_must_be_said_in_one_way(run, whom):
    assert run("erase", *whom, "--yes").exit_code == 2


def test_without_a_yes_nothing_happens(run, database):
    assert run("erase", "ann").exit_code == 1
    with database.connection() as connection:
        assert len(connection.execute("SELECT * FROM activity").fetchall()) == 2


def test_files_that_cannot_be_cleaned_now_are_cleaned_later(run, database):
    with upkeep(database):
        done = run("erase", "ann", "--yes", "--json")
    assert json.loads(done.stdout)["cleaned"] is False
    assert "the files are cleaned later, for somebody else is tidying up" in done.stderr
    [record] = json.loads(run("erasures", "--json").stdout)
    assert record["cleaned_at"] is None
    [record] = json.loads(run("erasures", "--finish", "--json").stdout)
    assert record["cleaned_at"] is not None
