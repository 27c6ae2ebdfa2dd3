"""The lists that an operator reads: narrow as a table, whole as JSON."""

import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

import tailor
from storage.champions import Champion, record_champion


@pytest.fixture
def told(database, tmp_path, monkeypatch):
    """A list as a table, and as JSON."""
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("TAILOR_HOME", str(tmp_path))
    monkeypatch.setattr(tailor, "stdout", Console(width=200))

    def run(*words):
        done = CliRunner().invoke(tailor.app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    def both(*words):
        return run(*words), json.loads(run(*words, "--json"))

    with database.connection() as connection:
        champion = Champion("7", "als", "d" * 64, "/bundles/d")
        record_champion(connection, champion, action="promote", actor="somebody")
    file = tmp_path / "events.jsonl"
    file.write_text('{"kind": "page_view", "note": "what it said"}\n')
    run("import", "activity", str(file), "--source", "web", "--vendor", "Data AG", "--price", "5")
    return both


@pytest.mark.parametrize(
    ("words", "heading", "left_out"),
    [
        ("champions", "version model digest by who live since", "location"),
        ("source list", "source id vendor licence expires on withdrawn at usable", "price"),
        ("quarantine list", "quarantine id received at source id location reason", "payload"),
    ],
)
def test_a_list_is_narrow_as_a_table_and_whole_as_json(told, words, heading, left_out):
    table, records = told(*words.split())
    assert " ".join(table.splitlines()[0].split()) == heading
    assert left_out not in table
    assert left_out in json.dumps(records[0])
    assert len(records) == 1
