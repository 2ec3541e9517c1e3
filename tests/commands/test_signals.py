"""Signals as schedulers, terminals and people send them: to all processes of a training, or one."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from vitatt.cli import main

pytestmark = pytest.mark.long

LONG = ["--trainer.max_epochs=500", "--early_stopping.patience=5000", "--explanations.size=2"]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(options, tmp_path) -> Iterator[Start]:
    """Starts a training with a loading process, in a group of its own, and waits for an epoch."""
    begun: list[subprocess.Popen[str]] = []

    def run(*more: str, prefix: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        words = [*prefix, sys.executable, "-m", "vitatt", "fit", *options, "--data.num_workers=1"]
        process = subprocess.Popen(
            [*words, *LONG, *more],
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        )
        begun.append(process)
        wait_for(lambda: list(tmp_path.rglob("last.ckpt")), process)
        return process

    yield run
    for process in begun:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(done: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, float]:
    """Status, output and seconds until the end."""
    begin = time.monotonic()
    said, _ = process.communicate(timeout=60)
    return process.returncode, said, time.monotonic() - begin


EACH = [
    (send, name)
    for send in (os.killpg, os.kill)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1")
]


@pytest.mark.parametrize(("send", "name"), EACH)
@pytest.mark.slow
def test_a_signal_saves_and_ends(start, send, name, tmp_path):
    number = signal.Signals[name]
    process = start()
    send(process.pid, number)
    status, said, seconds = ended(process)
    assert status == 128 + number, said
    assert "Traceback" not in said, said
    assert "Interrupted after step" in said
    assert seconds < 30
    (path,) = tmp_path.rglob("interrupted.ckpt")
    assert torch.load(path, weights_only=True)["global_step"] > 0
    print(f"{name} by {send.__name__}: status {status}, {seconds:.1f} s")


@pytest.mark.slow
def test_a_second_signal_ends_at_once(start):
    process = start()
    os.killpg(process.pid, signal.SIGTERM)
    time.sleep(0.001)
    os.killpg(process.pid, signal.SIGTERM)
    status, said, seconds = ended(process)
    assert status == 128 + signal.SIGTERM, said
    assert "Traceback" not in said, said
    assert seconds < 30


@pytest.mark.slow
def test_a_signal_that_was_ignored_stays_ignored(start, tmp_path):
    """`nohup` starts a command so."""
    process = start(prefix=("nohup",))
    os.killpg(process.pid, signal.SIGHUP)
    before = checkpoint_time(tmp_path)
    wait_for(lambda: checkpoint_time(tmp_path) > before, process)
    os.killpg(process.pid, signal.SIGTERM)
    assert ended(process)[0] == 128 + signal.SIGTERM


def checkpoint_time(folder: Path) -> int:
    (path,) = folder.rglob("last.ckpt")
    return path.stat().st_mtime_ns


@pytest.mark.slow
def test_a_terminal_that_is_gone(options, tmp_path):
    """Its end hangs up, and writing to it is an error from then on."""
    import pty

    parent, child = pty.openpty()
    words = [sys.executable, "-m", "vitatt", "fit", *options, *LONG]
    words = [word for word in words if "progress_bar" not in word]
    process = subprocess.Popen(
        words,
        stdin=child,
        stdout=child,
        stderr=child,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=_take_terminal,
    )
    os.close(child)
    deadline = time.monotonic() + 120
    os.set_blocking(parent, False)
    while not list(tmp_path.rglob("last.ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        try:
            os.read(parent, 65536)
        except BlockingIOError:
            time.sleep(0.05)
    os.close(parent)
    assert process.wait(60) == 128 + signal.SIGHUP
    assert list(tmp_path.rglob("interrupted.ckpt"))


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.slow
def test_slurm_queues_the_job_again(start, options, tmp_path, monkeypatch, caplog):
    tools = tmp_path / "tools"
    tools.mkdir()
    scontrol = tools / "scontrol"
    scontrol.write_text(f"#!/bin/sh\necho $@ >> {tmp_path}/asked\n")
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    job = {"PATH": f"{tools}:{os.environ['PATH']}", "SLURM_JOB_ID": "42"}
    process = start(**job)
    os.kill(process.pid, signal.SIGUSR1)
    status, said, _ = ended(process)
    assert status == 128 + signal.SIGUSR1
    assert "SLURM job 42 is in the queue again" in said
    assert (tmp_path / "asked").read_text() == "requeue 42\n"
    (path,) = tmp_path.rglob("interrupted.ckpt")
    epoch = torch.load(path, weights_only=True)["epoch"]
    # Its turn comes again, with the same command.
    for name, value in {**job, "SLURM_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main(["fit", *options, *LONG, f"--trainer.max_epochs={epoch + 2}"]) == 0
    assert f"goes on from {path}" in caplog.text
    (run,) = (tmp_path / "runs" / "vitatt").glob("2*")
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == epoch + 1
