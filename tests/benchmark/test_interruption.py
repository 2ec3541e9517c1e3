"""Killed, started again, or spread over workers, a benchmark ends with the same table."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from tests.benchmark.conftest import run, tables_of


def start(options: list[str], folder) -> subprocess.Popen[bytes]:
    code = "import sys; from vitatt.cli import main; sys.exit(main(['benchmark', *sys.argv[1:]]))"
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", code, *options], stdout=log, stderr=log, start_new_session=True
        )


@pytest.mark.slow
def test_killed_three_times(words, finished, tmp_path):
    folder = tmp_path / "killed"
    options = words(folder)
    jobs = folder / "out" / "jobs"
    rng = random.Random(int(os.environ.get("VITATT_KILL_SEED", "0")))
    for kills in range(3):
        process = start(options, folder)
        # Some moment in the work that is new since the last time.
        while len(list(jobs.glob("*/fold-*/job.json"))) < 3 * kills and process.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0.2, 5))
        assert process.poll() is None, (folder / "log").read_text()[-3000:]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert start(options, folder).wait() == 0, (folder / "log").read_text()[-3000:]
    expected, again = tables_of(finished), tables_of(folder / "out")
    for name, table in expected.items():
        assert again[name].equals(table), name


@pytest.mark.slow
def test_two_ray_workers(words, finished, tmp_path):
    pytest.importorskip("ray")
    assert run([*words(tmp_path / "ray"), "--workers=2"]) == 0
    expected, again = tables_of(finished), tables_of(tmp_path / "ray" / "out")
    for name, table in expected.items():
        assert again[name].equals(table), name
