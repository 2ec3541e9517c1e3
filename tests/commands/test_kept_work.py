"""No training loses its best model, and no run lands on the files of another."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.commands.runs import only_run
from vitatt.callbacks.checkpoints import BestCheckpoint
from vitatt.cli import main
from vitatt.models.metrics import LesionMetrics

pytestmark = pytest.mark.long

QUIET = ["--trainer.logger=false", "--explanations.size=0", "--early_stopping.patience=50"]


def load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def log_of(checkpoint: dict[str, Any]) -> list[tuple[float, int, int]]:
    return checkpoint["callbacks"]["BestCheckpoint"]["history"]


@pytest.fixture
def scores(monkeypatch):
    """Makes validation score what a test says, run by run."""

    def script(values: list[float]) -> None:
        waiting, compute = iter(values), LesionMetrics.compute

        def scripted(metrics: LesionMetrics) -> dict[str, torch.Tensor]:
            found = compute(metrics)
            if torch.is_grad_enabled():
                return found  # of the training epoch
            return {**found, "selection": torch.tensor(next(waiting))}

        monkeypatch.setattr(LesionMetrics, "compute", scripted)

    return script


def test_best_is_remembered_where_the_folder_lies(options, scores, capsys):
    scores([0.3, 0.9, 0.5, 0.6])
    assert main(["fit", *options, *QUIET, "--trainer.max_epochs=2"]) == 0
    run = only_run()
    best = load(run / "checkpoints" / "best.ckpt")
    assert best["epoch"] == 1
    shutil.move(run, "elsewhere")
    again = ["fit", *options, *QUIET, "--trainer.max_epochs=4"]
    assert main([*again, "--ckpt_path=elsewhere/checkpoints/last.ckpt"]) == 0
    new = only_run()
    found = load(new / "checkpoints" / "best.ckpt")
    assert found["epoch"] == 1, "0.9 is better than 0.5 and 0.6"
    assert all(torch.equal(v, best["state_dict"][k]) for k, v in found["state_dict"].items())
    last = load(new / "checkpoints" / "last.ckpt")
    assert [round(score, 4) for score, *_ in log_of(last)] == [0.3, 0.9, 0.5, 0.6]


def test_a_copy_in_the_folder_of_runs_goes_on_in_itself(options, scores):
    scores([0.9, 0.2])
    assert main(["fit", *options, *QUIET, "--trainer.max_epochs=1"]) == 0
    run = only_run()
    copy = Path(shutil.copytree(run, run.with_name("copy")))
    shutil.rmtree(run)
    assert main(["fit", *options, *QUIET, "--trainer.max_epochs=2", f"--ckpt_path={copy}"]) == 0
    assert only_run() == copy
    assert load(copy / "checkpoints" / "best.ckpt")["epoch"] == 0


def test_a_best_that_is_not_there_is_said(options, scores):
    scores([0.9, 0.2])
    assert main(["fit", *options, *QUIET, "--trainer.max_epochs=1"]) == 0
    (only_run() / "checkpoints" / "best.ckpt").unlink()
    words = [*options, *QUIET, "--trainer.max_epochs=2", f"--ckpt_path={only_run()}"]
    with pytest.warns(UserWarning, match=r"best epoch so far \(epoch 0, val/selection 0.9000\)"):
        assert main(["fit", *words]) == 0
    assert load(only_run() / "checkpoints" / "best.ckpt")["epoch"] == 1


@pytest.mark.parametrize(
    ("keep", "kept", "best"),
    [
        (3, [1, 2, 4], 2),
        pytest.param(-1, [0, 1, 2, 3, 4], 2, marks=pytest.mark.slow),
        pytest.param(1, [], 2, marks=pytest.mark.slow),
    ],
)
def test_the_best_epochs_have_names_of_their_own(options, scores, keep, kept, best):
    scores([0.1, 0.4, 0.7, 0.2, 0.5])
    words = [f"--checkpoint.save_top_k={keep}", "--trainer.max_epochs=5"]
    assert main(["fit", *options, *QUIET, *words]) == 0
    folder = only_run() / "checkpoints"
    assert load(folder / "best.ckpt")["epoch"] == best
    found = sorted(folder.glob("epoch-*"))
    assert [load(path)["epoch"] for path in found] == kept
    if keep == 3:
        assert found[1].name == "epoch-002-step-000015-val-selection-0.7000.ckpt"
    assert {p.name for p in folder.iterdir()} == {
        "best.ckpt",
        "last.ckpt",
        *(p.name for p in found),
    }


@pytest.mark.slow
def test_keeping_several_goes_on_elsewhere(options, scores):
    scores([0.5, 0.7, 0.6])
    words = ["fit", *options, *QUIET, "--checkpoint.save_top_k=2"]
    assert main([*words, "--trainer.max_epochs=2"]) == 0
    shutil.move(only_run(), "elsewhere")
    assert main([*words, "--trainer.max_epochs=3", "--ckpt_path=elsewhere"]) == 0
    folder = only_run() / "checkpoints"
    assert [load(path)["epoch"] for path in sorted(folder.glob("epoch-*"))] == [1, 2]
    assert load(folder / "best.ckpt")["epoch"] == 1
    assert len(list(Path("elsewhere/checkpoints").glob("epoch-*"))) == 2, "and the old stay"


@pytest.mark.parametrize(("every", "epochs", "scored"), [(5, 3, []), (2, 3, [1])])
def test_last_holds_the_end_of_every_training(options, caplog, every, epochs, scored):
    words = [f"--trainer.check_val_every_n_epoch={every}", f"--trainer.max_epochs={epochs}"]
    assert main(["fit", *options, *QUIET, *words]) == 0
    folder = only_run() / "checkpoints"
    last = load(folder / "last.ckpt")
    assert (last["epoch"], last["global_step"]) == (epochs - 1, 5 * epochs)
    assert [epoch for _, epoch, _ in log_of(last)] == scored
    assert (folder / "best.ckpt").exists() == bool(scored)
    assert ("No validation run took place" in caplog.text) == (not scored)


def test_steps_that_end_within_an_epoch(options):
    assert main(["fit", *options, *QUIET, "--trainer.max_steps=7"]) == 0
    assert load(only_run() / "checkpoints" / "last.ckpt")["global_step"] == 7


@pytest.mark.parametrize(
    "logger",
    [
        "--trainer.logger=vitatt.callbacks.tracking.RunLogger",
        pytest.param(
            "--trainer.logger=lightning.pytorch.loggers.CSVLogger", marks=pytest.mark.slow
        ),
    ],
)
def test_a_name_that_is_taken_is_refused(options, capsys, logger):
    place = ["--trainer.logger.init_args.save_dir=runs", "--trainer.logger.init_args.version=exp1"]
    words = ["fit", *options, *QUIET[1:], logger, *place, "--trainer.max_epochs=1"]
    assert main(words) == 0
    (best,) = Path("runs").glob("**/exp1/checkpoints/best.ckpt")
    before = best.stat().st_mtime_ns
    assert main(words) == 2
    assert "exp1 holds another run already" in capsys.readouterr().err
    assert best.stat().st_mtime_ns == before
    # The advice works.
    assert main([*words, "--trainer.logger.init_args.version=exp2"]) == 0


@pytest.mark.slow
def test_two_trainings_without_a_logger_have_two_folders(options):
    words = ["fit", *options, *QUIET, "--trainer.logger=false", "--trainer.max_epochs=1"]
    assert main(words) == 0
    assert main(words) == 0
    assert len(list(Path("runs/vitatt").glob("*/checkpoints/best.ckpt"))) == 2
    assert len(list(Path("runs/vitatt").glob("*/config.yaml"))) == 2
    assert sorted(path.name for path in Path().iterdir() if path.name != "runs") == []


@pytest.mark.slow
def test_a_test_run_does_not_land_in_its_training(options, trained, tmp_path, capsys):
    copy = Path(shutil.copytree(trained, tmp_path / "runs" / "vitatt" / "exp1"))
    config = (copy / "config.yaml").read_text()
    version = ["--trainer.logger=RunLogger", "--trainer.logger.init_args.version=exp1"]
    words = ["test", *options, *version, f"--ckpt_path={copy}", "--explanation_tests.cases=0"]
    assert main(words) == 2
    assert "exp1 holds another run already" in capsys.readouterr().err
    assert (copy / "config.yaml").read_text() == config


def test_every_resume_keeps_the_first_configuration(options, trained, tmp_path, capsys):
    run = Path(shutil.copytree(trained, tmp_path / "runs" / "vitatt" / trained.name))
    first = (run / "config.yaml").read_bytes()
    for number in (1, 2):
        words = [f"--trainer.max_epochs={2 + number}", f"--ckpt_path={run}"]
        assert main(["fit", *options, *QUIET, *words]) == 0
        resumed = yaml.safe_load((run / f"config-resumed-{number}.yaml").read_text())
        assert resumed["trainer"]["max_epochs"] == 2 + number
    failing = ["--data.batch_size=4", f"--ckpt_path={run}", "--trainer.max_epochs=9"]
    assert main(["fit", *options, *QUIET, *failing]) == 2
    assert (run / "config.yaml").read_bytes() == first


def test_nothing_left_to_train_is_said(options, trained, caplog):
    words = ["--trainer.max_epochs=2", f"--ckpt_path={trained}"]
    assert main(["fit", *options, *QUIET, *words]) == 0
    assert "Nothing was left to train" in caplog.text
    assert load(trained / "checkpoints" / "last.ckpt")["epoch"] == 1


def test_verification_finds_what_is_wrong(options, capsys, monkeypatch):
    """Another process writes over the best checkpoint of a training."""
    kept = BestCheckpoint.on_train_epoch_end

    def spoilt(callback, trainer, module):
        kept(callback, trainer, module)
        if trainer.current_epoch == 1:
            path = Path(callback.best_model_path)
            path.write_bytes(path.read_bytes() if not first else first[0])
        elif not first:
            first.append(Path(callback.best_model_path).read_bytes())

    first: list[bytes] = []
    monkeypatch.setattr(BestCheckpoint, "on_train_epoch_end", spoilt)
    monkeypatch.setattr(BestCheckpoint, "_sorted", lambda self, runs: sorted(runs, key=_latest))
    assert main(["fit", *options, *QUIET, "--trainer.max_epochs=2"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "best.ckpt to be of epoch 1 and step 10" in said
    assert "it is of epoch 0 and step 5" in said


def _latest(one: Any) -> int:
    return -one.step


@pytest.mark.slow
def test_nothing_is_left_in_the_home(options, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert main(["fit", *options, *QUIET[1:], "--trainer.max_epochs=1"]) == 0
    assert main(["test", *options, "--ckpt_path=best", "--explanation_tests.cases=0"]) == 0
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []
    (waiting,) = Path("runs/wandb").glob("offline-run-*/best.ckpt")
    (best,) = Path("runs/vitatt").glob("*/checkpoints/best.ckpt")
    assert waiting.samefile(best), "a second name, no copy"


@pytest.mark.parametrize("kind", ["CSVLogger", "TensorBoardLogger"])
@pytest.mark.slow
def test_other_loggers_have_one_folder(options, kind):
    if kind == "TensorBoardLogger":
        pytest.importorskip("tensorboard")
    logger = [f"--trainer.logger=lightning.pytorch.loggers.{kind}"]
    logger.append("--trainer.logger.init_args.save_dir=runs")
    words = ["--explanations.size=2", "--trainer.max_epochs=1"]
    assert main(["fit", *options, *logger, *words]) == 0
    (config,) = Path("runs").rglob("config.yaml")
    assert config.parent.name == "version_0"
    assert {p.name for p in config.parent.iterdir()} >= {"checkpoints", "maps", "hparams.yaml"}
    (folder,) = config.parent.parent.iterdir()
    assert main(["test", *options, *logger, f"--ckpt_path={folder}"]) == 0
    assert (folder.with_name("version_1") / "predictions.parquet").is_file()
    if kind == "TensorBoardLogger":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder)).Reload()
        tags = events.Tags()["images"]
        assert {"maps/tmme/0", "maps/cases/1", "val/confusion/0"} <= set(tags)
