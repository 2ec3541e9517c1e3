"""Sweeps by W&B, without its server: the sweep that is created, and the commands of an agent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from wandb import wandb_agent
from wandb.apis.public.sweeps import _validate_config_and_fill_distribution

from tests.sweep.conftest import run
from vitatt.benchmark.record import flat
from vitatt.cli import main
from vitatt.sweep.parameters import read_parameters
from vitatt.sweep.plan import ARGS
from vitatt.types import UsageError

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "conf" / "sweep").glob("*.yaml"))


def agent_command(sweep: dict[str, Any], values: dict[str, Any], monkeypatch) -> list[str]:
    """The command that an agent of W&B starts for a run with these values."""
    started: list[list[str]] = []

    class Process:
        def __init__(self, *, command: list[str], **settings: Any) -> None:
            started.append(command)

    monkeypatch.setattr(wandb_agent, "AgentProcess", Process)
    monkeypatch.setenv("WANDB_SWEEP_ID", "made-up")
    # The agent sets these for the process of the run, and leaves them.
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_DIR"):
        monkeypatch.setenv(name, str(Path.cwd()))
    agent = wandb_agent.Agent(api=None, queue=None, sweep_id="made-up")
    agent._sweep_command = sweep["command"]
    arguments = {name: {"value": value} for name, value in values.items()}
    agent._command_run({"run_id": "r", "program": sweep["program"], "args": arguments})
    (command,) = started
    return command


@pytest.mark.parametrize("end", [0, -1], ids=["first", "last"])
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_commands_of_an_agent(path: Path, end: int, monkeypatch, tmp_path, capsys) -> None:
    """As W&B reads file and values: what `vitatt fit` makes of them is the trial."""
    sweep = _validate_config_and_fill_distribution(yaml.safe_load(path.read_text()))
    values = {
        one.name: one.extremes[end] if one.values or not one.whole else int(one.extremes[end])
        for one in read_parameters(sweep["parameters"])
    }
    command = agent_command(sweep, values, monkeypatch)
    assert command[:2] == ["vitatt", "fit"]
    assert len([word for word in command if word.startswith("--")]) >= len(values) + 1
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["vitatt"])
    with pytest.raises(SystemExit) as leaving:
        main([*command[1:], "--print_config"])
    out = capsys.readouterr().out
    assert leaving.value.code == 0, out
    config = flat(yaml.safe_load(out))
    assert {name: config[name] for name in values} == pytest.approx(values)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Calls of W&B: a login is there, and its server takes everything."""
    made: list[Any] = []
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(wandb, "login", lambda prompt: True)
    monkeypatch.setattr(wandb, "sweep", lambda *args, **named: made.append((args, named)) or "abc")
    monkeypatch.setattr(wandb, "agent", lambda *args, **named: made.append((args, named)))
    return made


def test_the_sweep_that_is_created_has_the_file_and_further_options(calls, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    path = ROOT / "conf" / "sweep" / "pad.yaml"
    words = ["--data.root", "DIR", "--trainer.max_epochs=3", "--engine=wandb", "--trials=5"]
    assert run([f"--config={path}", *words]) == 0
    (sent, project), (agent, settings) = calls
    shipped = yaml.safe_load(path.read_text())
    options = ["--data.root=DIR", "--trainer.max_epochs=3", ARGS]
    assert sent[0] == shipped | {"command": [*shipped["command"][:-1], *options]}
    assert project == {"project": "vitatt"}
    assert agent == ("abc",)
    assert settings == {"project": "vitatt", "count": 5}


def test_without_a_login_it_says_how_to_search_offline(calls, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    words = ["--config=conf/sweep/pad.yaml", "--engine=wandb"]
    offline = "vitatt sweep --config conf/sweep/pad.yaml --trials 20$"
    monkeypatch.setattr(wandb, "login", lambda prompt: False)
    with pytest.raises(UsageError, match=f"needs a login: call `wandb login`.* {offline}"):
        run(words)
    monkeypatch.setenv("WANDB_MODE", "offline")
    with pytest.raises(UsageError, match=f"but WANDB_MODE is offline: unset it, .* {offline}"):
        run(words)

    def unreachable(prompt: bool) -> bool:
        raise wandb.errors.CommError("no route to host")

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb, "login", unreachable)
    with pytest.raises(UsageError, match=r"cannot be used \(no route to host\)"):
        run(words)
    assert calls == []


def test_what_is_wrong_is_found_before_the_sweep_is_created(calls, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    words = ["--config=conf/sweep/pad.yaml", "--engine=wandb"]
    with pytest.raises(UsageError, match="is a parameter of the sweep"):
        run([*words, "--model.weight_decay=0.1"])
    with pytest.raises(UsageError, match="`output` and `inner_folds` are of the offline search"):
        run([*words, "--inner_folds=2"])
    assert calls == []
