"""What stood in a user's way: each is understood, or said in one line before the work begins."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import torch

from tests.commands.runs import only_run, refused
from vitatt.callbacks.tracking import RunLogger
from vitatt.cli import main
from vitatt.data.datamodule import LesionDataModule
from vitatt.models.checkpoint_files import find_checkpoint
from vitatt.types import UsageError

pytestmark = pytest.mark.long

QUIET = ["--trainer.logger=false", "--explanations.size=0", "--trainer.max_epochs=1"]
UNREACHABLE = {"WANDB_API_KEY": "a" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}


@pytest.fixture
def predict_words(options, trained, demo_root) -> list[str]:
    return [
        *(word for word in options if not word.startswith(("--data.root", "--model"))),
        f"--data.predict_root={demo_root}",
        f"--ckpt_path={trained}",
    ]


def without_network(*words: str) -> str:
    """What a command says that has a key, and nobody who answers.

    In a process of its own: W&B reads its environment once.
    """
    done = subprocess.run(
        [sys.executable, "-m", "vitatt", *words],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, **UNREACHABLE},
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_a_training_without_network(options):
    said = without_network("fit", *options, *QUIET[1:])
    assert "W&B cannot be used" in said
    assert "wandb sync" in said
    assert (only_run() / "checkpoints" / "best.ckpt").is_file()
    assert len(list(Path("runs/wandb").glob("offline-run-*"))) == 1


@pytest.mark.slow
def test_predictions_without_network(predict_words):
    assert "W&B" not in without_network("predict", *predict_words, "--output=p.csv")
    assert pl.read_csv("p.csv").height == 60
    assert not Path("runs").exists()


@pytest.mark.slow
def test_one_case_on_two_devices(predict_words, demo_copy):
    frame = pl.read_csv(demo_copy / "metadata.csv", infer_schema=False)
    frame.head(1).write_csv(demo_copy / "metadata.csv")
    place = [f"--data.predict_root={demo_copy}", "--trainer.devices=2", "--trainer.strategy=ddp"]
    words = [sys.executable, "-m", "vitatt", "predict", *predict_words, *place, "--output=p.csv"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert pl.read_csv("p.csv")["img_id"].to_list() == frame["img_id"].head(1).to_list()


def test_fewer_cases_than_processes(demo_root, tmp_path):
    module = LesionDataModule("pad_ufes_20", str(demo_root), image_size=32, batch_size=4)
    module.trainer = type("Trainer", (), {"global_rank": 0, "world_size": 100})()
    with pytest.raises(UsageError, match=r"at least as many cases .* 100, but got 10: lower"):
        module.val_dataloader()


@pytest.mark.parametrize(
    "place",
    ["--data.cache_dir=/proc/cache", "--trainer.logger.init_args.save_dir=/proc/runs"],
)
def test_folders_that_cannot_be_written(options, capsys, place):
    logger = "--trainer.logger=vitatt.callbacks.tracking.RunLogger"
    said = refused(["fit", *options, logger, *QUIET[1:], place], capsys)
    assert place.partition("=")[2] in said
    assert "cannot be" in said


def test_a_folder_of_wandb_that_cannot_be_written(tmp_path):
    (tmp_path / "wandb").write_text("mine")
    with pytest.raises(UsageError, match=r"wandb, which .*save_dir. names, cannot be made"):
        _ = RunLogger(save_dir=str(tmp_path), offline=True).experiment


def test_an_output_that_cannot_be_written(predict_words, capsys, tmp_path):
    for output, reason in (
        ("/proc/p.csv", "cannot be written"),
        (".", "is a folder"),
        ("there.csv", "exists already"),
    ):
        (tmp_path / "there.csv").write_text("mine")
        said = refused(["predict", *predict_words, f"--output={output}"], capsys)
        assert reason in said
    assert (tmp_path / "there.csv").read_text() == "mine"
    assert not Path("runs/vitatt").exists()


def test_data_are_read_before_a_run_is_begun(predict_words, demo_copy, capsys, tmp_path):
    (demo_copy / "metadata.csv").rename(demo_copy / "other.csv")
    typos = [[f"--data.predict_root={demo_copy}"], ["--data.predict_root=nowhere"]]
    for typo in typos:
        refused(["predict", *predict_words, *typo, "--output=p.csv"], capsys)
    assert not Path("runs/vitatt").exists()


@pytest.mark.slow
def test_checkpoints_by_other_names(options, trained, tmp_path, caplog):
    runs = tmp_path / "runs" / "vitatt"
    run = Path(shutil.copytree(trained, runs / trained.name))
    for asked in ("best", "last", run, run / "checkpoints"):
        words = ["test", *options, "--explanation_tests.cases=0", f"--ckpt_path={asked}"]
        assert main(words) == 0, asked
    words = [*QUIET, "--trainer.max_epochs=3", "--ckpt_path=last"]
    assert main(["fit", *options, *words]) == 0
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
    assert not (run / "predictions.parquet").exists(), "each test had a folder of its own"


def test_the_later_of_last_and_interrupted(tmp_path):
    folder = tmp_path / "vitatt" / "one" / "checkpoints"
    folder.mkdir(parents=True)
    for age, name in ((3, "best"), (2, "last"), (1, "interrupted")):
        path = folder / f"{name}.ckpt"
        path.touch()
        os.utime(path, (1e9 - age, 1e9 - age))
    runs = tmp_path / "vitatt"
    assert find_checkpoint("last", runs).name == "interrupted.ckpt"
    assert find_checkpoint("best", runs).name == "best.ckpt"
    assert find_checkpoint(folder.parent, runs).name == "best.ckpt"
    assert find_checkpoint(folder.parent, runs, prefer="last").name == "interrupted.ckpt"
    for asked, said in (
        ("gone.ckpt", "does not exist. Name a file, the folder of a run"),
        (tmp_path, "has no checkpoints/best.ckpt"),
    ):
        with pytest.raises(UsageError, match=said):
            find_checkpoint(asked, runs)
    with pytest.raises(UsageError, match=r"No run below .* has a checkpoints/last.ckpt"):
        find_checkpoint("last", tmp_path)


def spoilt(trained: Path, change) -> Path:
    """A checkpoint that was changed by hand."""
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    change(checkpoint)
    path = Path("spoilt.ckpt")
    torch.save(checkpoint, path)
    return path


def rename_weight(checkpoint):
    checkpoint["state_dict"]["network.head.other"] = checkpoint["state_dict"].pop(
        "network.head.weight"
    )


def reshape_weight(checkpoint):
    checkpoint["state_dict"]["network.head.bias"] = torch.zeros(3)


CHANGES = {
    "renamed": (rename_weight, "lacks 1 of .* weights, the first being network.head.weight"),
    "reshaped": (reshape_weight, r"network.head.bias \(3,\) instead of \(6,\)"),
    "unknown setting": (
        lambda c: c["hyper_parameters"].update(learning_ratt=1),
        "learning_ratt",
    ),
    "unknown argument": (
        lambda c: c["hyper_parameters"].update(
            fusion={
                "class_path": "vitatt.models.fusion.vitatt.AttentionFusion",
                "init_args": {"dept": 1},
            }
        ),
        "dept",
    ),
    "weights elsewhere": (
        lambda c: c["hyper_parameters"].update(encoder_weights="/etc/passwd"),
        "asks for weights of its encoder from elsewhere",
    ),
    "a stranger's network": (
        lambda c: c["hyper_parameters"].update(fusion="os.system"),
        "names 'os.system' as its network, which is none of vitatt's. Nothing was imported",
    ),
    "a module that is not loaded": (
        lambda c: c["hyper_parameters"].update(
            fusion={"class_path": "antigravity.Fusion", "init_args": {}}
        ),
        "names 'antigravity.Fusion' as its network",
    ),
    "a misspelt network": (
        lambda c: c["hyper_parameters"].update(fusion={"name": "flim", "init_args": {}}),
        r"names 'flim' as its network.* Did you mean film\?",
    ),
    "another instantiator": (
        lambda c: c["hyper_parameters"].update(_instantiator="antigravity.make"),
        "asks for its model to be made by 'antigravity.make'",
    ),
    "a class in the task": (
        lambda c: c["hyper_parameters"]["task"].update(dataset="{class_path: antigravity.Data}"),
        "Expected `dataset` of the task .* to be a word",
    ),
    "a function of this package": (
        lambda c: c["hyper_parameters"].update(fusion="vitatt.models.checkpoint.find_checkpoint"),
        "find_checkpoint' as its network, which is none",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("command", ["test", "fit", "explain"])
def test_checkpoints_that_do_not_fit(options, trained, capsys, kind, command):
    change, said = CHANGES[kind]
    path = spoilt(trained, change)
    words = [*options, f"--ckpt_path={path}", *(QUIET if command == "fit" else [])]
    if command == "explain":
        words = [word for word in words if word.startswith(("--data", "--ckpt"))]
        words.append("--output=why")

    found = refused([command, *words], capsys)
    assert re.search(said, found), found
    assert "antigravity" not in sys.modules
    assert not Path("runs/vitatt").exists()


OWN = """
from vitatt.models.fusion.image_only import ImageOnly


class OwnFusion(ImageOnly):
    pass
"""


@pytest.mark.slow
def test_a_network_of_the_users_on_the_command_line(options, capsys, monkeypatch, tmp_path):
    (tmp_path / "own_networks.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    own = "--model.fusion=own_networks.OwnFusion"
    assert main(["fit", *options, *QUIET, own, "--model.fusion.dropout=0.3"]) == 0
    (path,) = Path("runs").rglob("best.ckpt")
    fusion = torch.load(path, weights_only=True)["hyper_parameters"]["fusion"]
    assert fusion == {"name": "own_networks.OwnFusion", "init_args": {"dropout": 0.3}}
    words = [*options, f"--ckpt_path={path}", "--trainer.logger=false"]
    assert main(["test", *words, own, "--explanation_tests.cases=0"]) == 0
    shutil.move("runs", "before")
    words[-2] = f"--ckpt_path={Path('before', *path.parts[1:])}"
    said = refused(["test", *words], capsys)
    assert "names 'own_networks.OwnFusion' as its network, which is none of vitatt's" in said


def test_weights_alone_cannot_go_on(options, trained, capsys):
    def strip(checkpoint):
        for name in ("optimizer_states", "lr_schedulers", "loops", "callbacks"):
            del checkpoint[name]

    path = spoilt(trained, strip)
    assert "holds weights alone" in refused(["fit", *options, f"--ckpt_path={path}"], capsys)


def test_an_encoder_of_parallel_blocks(options, capsys):
    said = refused(["fit", *options, "--model.encoder=vit_small_patch16_18x2_224"], capsys)
    assert "is made of blocks of the kind ParallelThingsBlock" in said


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--trainer.devices=2", "`trainer.devices` times `trainer.num_nodes` to be 1, as in the"),
        ("--data.batch_size=4", "`data.batch_size` to be 8, as in the training that is to go on"),
    ],
)
def test_other_batches_cannot_go_on(options, trained, capsys, option, said):
    words = [*options, f"--ckpt_path={trained}", "--trainer.strategy=ddp", option]
    assert said in refused(["fit", *words, "--trainer.max_epochs=3"], capsys)
    assert not Path("runs/vitatt").exists()
