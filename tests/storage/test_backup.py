import pytest

from storage.activity import append_events
from storage.backup import restore_backup, write_backup
from storage.database import Database
from storage.errors import AlreadyTaken, StorageError, UnreadableFile
from storage.schema import check_schema, migrate


def contents(database):
    queries = ("SELECT * FROM activity", "SELECT * FROM identifier", "SELECT * FROM signing_key")
    with database.connection() as connection:
        return [connection.execute(query).fetchall() for query in queries]


@pytest.fixture
def backup(database, make_event, tmp_path):
    with database.connection() as connection:
        append_events(connection, [make_event(event_id=str(n), item_id=f"é'{n}") for n in range(50)])
    file = tmp_path / "tailor.backup"
    assert write_backup(database, file) == file.stat().st_size > 0
    return file


def test_what_was_backed_up_comes_back(database, backup, empty_database_url):
    with Database(empty_database_url) as other:
        restore_backup(other, backup)
        check_schema(other)
        assert contents(other) == contents(database)


def test_a_database_with_data_is_replaced_only_by_force(database, backup, make_event):
    before = contents(database)
    with database.connection() as connection:
        append_events(connection, [make_event(event_id="later")])
    with pytest.raises(AlreadyTaken, match="activity, identifier; add --force"):
        restore_backup(database, backup)
    restore_backup(database, backup, force=True)
    assert contents(database) == before
    assert migrate(database)


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_damaged_backup_changes_nothing(database, backup, share):
    before = contents(database)
    backup.write_bytes(backup.read_bytes()[: int(backup.stat().st_size * share)])
    with pytest.raises(UnreadableFile, match="damaged; nothing was changed"):
        restore_backup(database, backup, force=True)
    assert contents(database) == before


def test_a_file_that_is_no_backup_is_refused(database, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    with pytest.raises(UnreadableFile, match="no backup"):
        restore_backup(database, file)
    with pytest.raises(UnreadableFile, match="cannot be read"):
        restore_backup(database, tmp_path / "missing")


def test_a_backup_that_fails_leaves_the_earlier_one(backup, tmp_path):
    before = backup.read_bytes()
    with (
        Database("postgresql://nobody@/nothing?host=/nowhere") as away,
        pytest.raises(StorageError, match="back up"),
    ):
        write_backup(away, backup)
    assert backup.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [backup.name]
