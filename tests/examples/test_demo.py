"""The demo, run as its reader runs it: one command, in a home of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from examples.complete_journey.story import STORY
from tests.service import free_port


def start(home: Path, *options: str) -> "subprocess.Popen[str]":
    environ = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.Popen(
        [sys.executable, "-m", "tailor", "demo", "--port", str(free_port()), *options],
        env={**environ, "TAILOR_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that work in this home."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if str(home) in command or process.environ().get("TAILOR_HOME") == str(home):
                found.append(command)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "home"


def test_the_demo_tailors_a_promotion_by_activity_on_another_site_and_stops_all_it_started(home: Path):
    demo = start(home, "--once")
    out, said = demo.communicate(timeout=600)
    assert demo.returncode == 0, said
    decision = json.loads(out.splitlines()[-1])
    assert decision["strategy"] == "tailored"
    assert decision["model"]["kind"] in ("als", "blend")
    assert all(model in said for model in ("popularity", "als", "auto"))
    assert (decision["consumer_id"], decision["site_id"]) == (STORY.consumer_id, STORY.shown_on)
    promotion = decision["promotion"]
    assert promotion["item"]["item_id"] in STORY.item_ids
    assert {reason["site_id"] for reason in promotion["reasons"]} == {STORY.acts_on}
    assert "The promotion changed" in said
    assert processes_of(home) == []


def test_the_demo_stopped_in_the_middle_leaves_no_process_and_can_be_run_again(home: Path):
    demo = start(home)
    assert demo.stderr is not None
    for line in demo.stderr:
        if "Train and compare" in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert processes_of(home) == []
    assert not list(home.glob(".training-*"))


def test_the_demo_opens_two_shops_and_closes_them_when_it_is_stopped(home: Path):
    demo = start(home)
    assert demo.stderr is not None
    said = ""
    for line in demo.stderr:
        said += line
        if "Still serving" in line:
            break
    origins = re.findall(r"http://(?:grocery|produce)\.localhost:\d+", said)
    assert len(origins) == 2, said
    ports = [int(origin.rsplit(":", maxsplit=1)[1]) for origin in origins]
    for port, name in zip(ports, ("The Larder", "Green Barrow"), strict=True):
        assert f"<title>{name}" in httpx.get(f"http://127.0.0.1:{port}/").text
    os.killpg(demo.pid, signal.SIGINT)
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert processes_of(home) == []
    for port in ports:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/")
