"""The recipes of `docs/extending`, followed with their code in a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from tests.docs.blocks import DOCS, ROOT, Block, blocks
from vitatt.models.checkpoint import read_hyper_parameters

pytestmark = pytest.mark.long

MOST_FILES = {"dataset": 3, "arm": 3, "method": 2, "wandb_figure": 2, "command": 2}
"""Files that each recipe may touch, beside tests."""

QUIET = [
    "--trainer.max_epochs=1",
    "--trainer.accelerator=cpu",
    "--trainer.precision=32-true",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--data.image_size=32",
    "--explanations.size=0",
]
SMALL = [*QUIET, "--model.encoder=test_vit", "--model.encoder_weights=null"]
EXPLAIN = ["explain", "--data.root=demo-data", "--output=why", "--cases.sample=3"]
CLINIC = ["--config=conf/my_clinic.yaml", "--data.root=my_clinic"]

COMMANDS = {
    "dataset": [
        ["check-data", *CLINIC],
        ["associate", *CLINIC],
        ["fit", *CLINIC, *SMALL, "--data.num_workers=0"],
    ],
    "arm": [
        ["fit", "--config=conf/demo.yaml", "--config=conf/fusion/gated.yaml", *QUIET],
        [*EXPLAIN, "--ckpt_path=best", "--methods=grad_cam"],
    ],
    "method": [[*EXPLAIN, "--ckpt_path=best.ckpt", "--methods=METHOD"]],
    "wandb_figure": [["fit", "--config=conf/demo.yaml", "--config=my_figures.yaml", *QUIET]],
    "command": [
        ["--help"],
        ["count-cases", "--help"],
        ["count-cases", "--config=conf/demo.yaml", "--split=test", "--least=2"],
    ],
}
"""Commands that show that a recipe works, each in the folder of its recipe."""

DRIVER = """
import contextlib, io, json, os, sys, traceback
import vitatt
from vitatt.cli import main
assert vitatt.__file__.startswith(sys.argv[1]), vitatt.__file__
outcomes = {}
for recipe, commands in json.loads(sys.argv[2]).items():
    os.chdir(os.path.join(sys.argv[3], recipe))
    outcomes[recipe] = []
    for words in commands:
        text = io.StringIO()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            try:
                status = main([*words, "--debug"])
            except SystemExit as leaving:
                status = leaving.code
        outcomes[recipe].append({"words": words, "status": status, "text": text.getvalue()})
with open(sys.argv[4], "w") as file:
    json.dump(outcomes, file)
"""


class Outcome(NamedTuple):
    """The folder in which the commands of a recipe ran, and what each printed."""

    folder: Path
    texts: list[str]


def files_of(recipe: str) -> dict[str, list[Block]]:
    """The blocks of a recipe that show a file, by its path."""
    found: dict[str, list[Block]] = {}
    for block in blocks(DOCS / "extending" / f"{recipe}.md"):
        if block.caption:
            found.setdefault(block.caption, []).append(block)
    return found


def follow(recipe: str, folder: Path) -> None:
    """Write the new files of a recipe and make its changes to others."""
    for path, shown in files_of(recipe).items():
        for block in shown:
            if block.language == "diff":
                patch(folder / path, block)
            else:
                assert not (folder / path).exists(), f"{block}: {path} is there already"
                (folder / path).write_text(block.text, encoding="utf-8")


def patch(path: Path, block: Block) -> None:
    """Replace the lines of a block without those with a plus by the lines without a minus."""
    text, lines = path.read_text(encoding="utf-8"), block.text.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "+")
    after = "".join(f"{line[1:]}\n" for line in lines if line[:1] != "-")
    assert text.count(before) == 1, f"{block}: {path.name} has not once:\n{before}"
    path.write_text(text.replace(before, after), encoding="utf-8")


@pytest.fixture(scope="module")
def outcomes(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Follow all recipes in one copy of the package, and run their commands in one process."""
    package, work = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("work")
    for name in ("vitatt", "conf"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, package / name, ignore=ignored)
    for recipe in MOST_FILES:
        folder = work / recipe
        shutil.copytree(trained, folder, ignore=shutil.ignore_patterns("runs", "conf"))
        follow(recipe, folder if recipe == "wandb_figure" else package)
        (folder / "conf").symlink_to(package / "conf")
    write_clinic(work / "dataset" / "my_clinic")
    (method,) = (Path(path).stem for path in files_of("method") if "__init__" not in path)
    commands = json.dumps(COMMANDS).replace("METHOD", method)
    words = [sys.executable, "-c", DRIVER, str(package), commands, str(work), str(work / "done")]
    paths = os.pathsep.join([str(package), str(work / "wandb_figure")])
    environment = {**os.environ, "PYTHONPATH": paths, "WANDB_MODE": "offline"}
    environment.pop("WANDB_API_KEY", None)
    done = subprocess.run(
        words, cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for recipe, ran in json.loads((work / "done").read_text()).items():
        failed = [f"{one['words']}: {one['status']}\n{one['text']}" for one in ran if one["status"]]
        found[recipe] = Outcome(work / recipe, failed or [one["text"] for one in ran])
        found[recipe].folder.joinpath("failed").write_text("\n".join(failed))
    return found


def passed(outcomes: dict[str, Outcome], recipe: str) -> Outcome:
    """The outcome of a recipe, none of whose commands failed."""
    assert not (text := (outcomes[recipe].folder / "failed").read_text()), text
    return outcomes[recipe]


@pytest.mark.parametrize(("recipe", "most"), MOST_FILES.items())
def test_a_recipe_lists_the_files_that_it_touches(recipe: str, most: int) -> None:
    text = (DOCS / "extending" / f"{recipe}.md").read_text(encoding="utf-8")
    touched = files_of(recipe)
    assert 0 < len(touched) <= most
    (count, body) = re.search(r"^Files \((\w+) .*?\):\n\n(.*?)\n\n", text, re.M | re.S).groups()
    listed = re.findall(r"^\d\. `(.*?)`", body, re.MULTILINE)
    assert listed == list(touched)
    assert count == ("none" if recipe == "wandb_figure" else str(len(touched)))
    for path, shown in touched.items():  # what is changed is there, and what is new is not
        assert (ROOT / path).exists() == any(block.language == "diff" for block in shown), path


def test_add_a_dataset(outcomes: dict[str, Outcome]) -> None:
    folder, (checked, associated, _) = passed(outcomes, "dataset")
    assert "57 rows, 29 patients" in checked  # three have no diagnosis
    assert "Problems: 0" in checked
    assert "itch" in associated
    (path,) = folder.glob("runs/vitatt/*/checkpoints/best.ckpt")
    task = read_hyper_parameters(path)["task"]
    assert task["dataset"] == "my_clinic"
    assert task["classes"] == ["BCC", "MEL", "NEV"]
    assert [feature["name"] for feature in task["features"]] == ["age", "itch"]
    assert task["features"][1]["categories"] == ["False", "True"]


def test_add_an_arm(outcomes: dict[str, Outcome]) -> None:
    folder, _ = passed(outcomes, "arm")
    (run,) = folder.glob("runs/vitatt/*")
    assert "class_path: gated" in (run / "config.yaml").read_text()
    saved = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    fusion = saved["hyper_parameters"]["fusion"]
    assert (fusion["name"], fusion["init_args"]["hidden"]) == ("gated", 128)
    assert "network.gate.weight" in saved["state_dict"]
    assert (folder / "why" / "report.html").is_file()


def test_add_a_method(outcomes: dict[str, Outcome]) -> None:
    folder, _ = passed(outcomes, "method")
    table = pl.read_parquet(folder / "why" / "relevance.parquet")
    assert table["case_id"].n_unique() == 3
    patches = np.array(table["patches"].to_list())
    assert np.isfinite(patches).all()
    assert (patches >= 0).all()
    assert patches.max() > 0
    features = table["features"].explode().struct.field("relevance")
    assert (features >= 0).all()
    assert features.max() > 0


def test_add_a_figure_in_weights_and_biases(outcomes: dict[str, Outcome]) -> None:
    folder, _ = passed(outcomes, "wandb_figure")
    (figure,) = folder.glob("runs/wandb/offline-run-*/files/media/images/val/confidence*")
    assert Image.open(figure).size == (500, 300)
    (config,) = folder.glob("runs/vitatt/*/config.yaml")
    assert "bins: 25" in config.read_text()


def test_add_a_command(outcomes: dict[str, Outcome]) -> None:
    _, (listed, helped, counted) = passed(outcomes, "command")
    assert "count-cases number of cases of each class in a split" in " ".join(listed.split())
    assert "Leave out classes with fewer cases." in " ".join(helped.split())
    counts = dict(re.findall(r"^([A-Z]{3}): (\d+)$", counted, re.MULTILINE))
    assert {"ACK", "BCC"} <= set(counts)
    assert min(map(int, counts.values())) >= 2


def write_clinic(root: Path) -> None:
    """Images of 30 patients, two each, in the layout of the recipe."""
    root.mkdir()
    rows = ["file,patient,diagnosis,age,itch"]
    for number in range(60):
        name = f"{number:04d}.png"
        noise = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(root / name)
        diagnosis = "" if number < 3 else ("BCC", "MEL", "nev")[number // 2 % 3]
        answer = ("no", "Yes", "", "false", "1")[number % 5]
        rows.append(f"{name},P{number // 2},{diagnosis},{30 + number % 40},{answer}")
    (root / "cases.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
