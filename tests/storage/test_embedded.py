"""The embedded server outlives none of its owners, however they end; each owner here is a real process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from storage import guardian
from storage.embedded import EmbeddedPostgres
from storage.filelock import is_locked

ROOT = Path(__file__).parents[2]
PATIENCE_S = 30

OWNER = """
import signal
import sys
from pathlib import Path
from storage.embedded import EmbeddedPostgres
# Whoever started the tests in the background had SIGINT ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
print(EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Path]:
    """A data directory made once, for making one takes longer than all else here."""
    data_dir = tmp_path_factory.mktemp("a home with blanks") / "postgres"
    with EmbeddedPostgres(data_dir) as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
    yield data_dir
    assert not guardian.is_listening(data_dir)


@pytest.fixture
def start_owner(cluster):
    """Starts processes that use the server until their stdin closes."""
    owners = []

    def start() -> subprocess.Popen[str]:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(cluster)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        owners.append(owner)
        assert owner.stdout.readline().startswith("postgresql://")
        return owner

    yield start
    for owner in owners:
        owner.kill()
        with owner:  # closes the pipes and waits
            pass
    wait_until_gone(cluster)


def wait_until_gone(data_dir: Path) -> None:
    """Until the server and the guardian are gone: waits on the processes themselves, not for a while."""
    for process in processes_of(data_dir):
        with suppress(psutil.NoSuchProcess):
            process.wait(PATIENCE_S)


def processes_of(data_dir: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            command = process.cmdline()
            if str(data_dir) in command and "-c" not in command and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def guardian_of(data_dir: Path) -> psutil.Process:
    [found] = [process for process in processes_of(data_dir) if guardian.__file__ in process.cmdline()]
    return found


def end_normally(owner: subprocess.Popen[str]) -> None:
    owner.stdin.close()


def interrupt(owner: subprocess.Popen[str]) -> None:
    os.killpg(owner.pid, signal.SIGINT)  # what Ctrl-C does: the whole group hears it


@pytest.mark.parametrize(
    "end",
    [end_normally, interrupt, subprocess.Popen.terminate, subprocess.Popen.kill],
    ids=lambda f: f.__name__,
)
def test_the_server_is_gone_after_its_last_owner(start_owner, cluster, end):
    owner = start_owner()
    assert guardian.is_listening(cluster)
    end(owner)
    owner.wait(PATIENCE_S)
    wait_until_gone(cluster)
    assert not guardian.is_listening(cluster)
    assert processes_of(cluster) == []
    assert not (cluster / "postmaster.pid").exists()


def test_an_owner_that_ends_in_good_order_leaves_nothing_to_wait_for(start_owner, cluster):
    owner = start_owner()
    end_normally(owner)
    owner.wait(PATIENCE_S)
    assert not guardian.is_listening(cluster)
    assert not is_locked(guardian.lock_path(cluster, "guardian"))


def test_processes_share_one_server_which_stays_until_the_last_of_them_ends(start_owner, cluster):
    first, second = start_owner(), start_owner()
    server = psutil.Process(int((cluster / "postmaster.pid").read_text().split()[0]))
    first.kill()
    first.wait(PATIENCE_S)
    with EmbeddedPostgres(cluster) as here, psycopg.connect(here.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert server.is_running()
    assert second.poll() is None
    second.kill()
    server.wait(PATIENCE_S)


def test_a_guardian_that_was_killed_is_replaced_at_the_next_start(start_owner, cluster):
    owner = start_owner()
    before = guardian_of(cluster)
    before.kill()
    before.wait(PATIENCE_S)
    second = start_owner()
    assert guardian_of(cluster).pid != before.pid
    for one in (owner, second):
        one.kill()
        one.wait(PATIENCE_S)
    wait_until_gone(cluster)
    assert not guardian.is_listening(cluster)


def test_a_server_that_survived_both_its_owner_and_its_guardian_is_taken_over_and_stopped(
    start_owner, cluster
):
    owner = start_owner()
    guardian_of(cluster).kill()
    owner.kill()
    owner.wait(PATIENCE_S)
    assert guardian.is_listening(cluster)
    with EmbeddedPostgres(cluster):
        pass
    assert not guardian.is_listening(cluster)


def test_a_server_that_was_killed_starts_again_although_its_process_number_was_given_away(
    start_owner, cluster
):
    owner = start_owner()
    pid_file = cluster / "postmaster.pid"
    server = psutil.Process(int(pid_file.read_text().split()[0]))
    lines = pid_file.read_text().splitlines()
    guardian_of(cluster).kill()
    server.kill()
    server.wait(PATIENCE_S)
    owner.kill()
    owner.wait(PATIENCE_S)
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with EmbeddedPostgres(cluster) as here, psycopg.connect(here.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_two_uses_in_one_process_are_one_owner(cluster):
    first, second = EmbeddedPostgres(cluster), EmbeddedPostgres(cluster)
    first.start()
    second.start()
    first.close()
    first.close()
    assert guardian.is_listening(cluster)
    second.close()
    assert not guardian.is_listening(cluster)


def test_an_interrupted_first_start_leaves_nothing_half_made(tmp_path):
    half_made = tmp_path / "postgres.new"
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path / "postgres") as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not half_made.exists()
