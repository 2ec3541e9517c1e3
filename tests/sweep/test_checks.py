from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sweep.conftest import PARAMETERS, TRAINING, plan_of
from vitatt.sweep.checks import checked_config
from vitatt.sweep.plan import SweepPlan
from vitatt.types import UsageError

pytestmark = pytest.mark.long


@pytest.fixture(autouse=True)
def _training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vitatt"])
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(TRAINING))


def plan_with(name: str, **settings: Any) -> SweepPlan:
    return plan_of({name: settings, "data.num_bins": {"values": [4, 8]}})


def test_a_sweep_that_is_possible() -> None:
    config = checked_config(plan_of())
    assert config["model"]["learning_rate"] == 0.003
    assert config["checkpoint"]["save_top_k"] == 0


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "model.learning_rat",
            {"values": [1, 2]},
            r"no option .* Did you mean model\.learning_rate",
        ),
        ("model.zzz", {"values": [1, 2]}, r"There are: model\.encoder"),
        ("zzz", {"values": [1, 2]}, "`parameters.zzz` is no option of these trainings"),
        ("model.fusion.init_args.gates", {"values": [1, 2]}, "is no option"),
        ("model.learning_rate", {"values": ["a"]}, r"learning_rate`, value a cannot .*'float'"),
        (
            "model.learning_rate",
            {"min": -1.0, "max": 1.0},
            r"value -1\.0 cannot be used: .* above 0",
        ),
        ("model.fusion.init_args.dropout", {"min": 0.0, "max": 2.0}, r"value 2\.0 cannot be used"),
        (
            "model.fusion",
            {"values": ["film", "vitat"]},
            "value vitat cannot .* Did you mean vitatt",
        ),
        ("data.fold", {"values": [0, 1]}, "cannot be searched: it decides which cases validate"),
        ("data.seed", {"values": [0, 1]}, "cannot be searched"),
        ("trainer.devices", {"values": [1, 2]}, "the same result on every call.*max_epochs"),
        ("trainer.deterministic", {"values": [True, False]}, "the same result on every call"),
        ("trainer.max_time", {"values": ["00:00:01:00"]}, "the same result on every call"),
        ("seed_everything", {"values": [1, 2]}, "Searched are options of: model, data"),
        ("checkpoint.monitor", {"values": ["val/loss"]}, "Searched are options of"),
        ("explanations.size", {"values": [1, 2]}, "Searched are options of"),
    ],
)
def test_a_parameter_that_cannot_be(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked_config(plan_with(name, **settings))


def test_trainings_that_cannot_be() -> None:
    with pytest.raises(UsageError, match=r"without `trainer\.max_time`"):
        checked_config(plan_of(training_options=("--trainer.max_time=00:01:00:00",)))
    with pytest.raises(UsageError, match=r"The trainings of the sweep cannot be used: .*mdl"):
        checked_config(plan_of(training_options=("--mdl.x=1",)))
    with pytest.raises(UsageError, match=r"at most 5, .* but got 6"):
        checked_config(plan_of(PARAMETERS, inner_folds=6))
    command = ["vitatt", "fit", "--config", "gone.yaml", "${args}"]
    with pytest.raises(UsageError, match=r"The configuration file gone\.yaml does not exist"):
        checked_config(plan_of(command=command))
