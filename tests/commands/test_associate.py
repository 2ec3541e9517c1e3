"""associate: the table of training rows, the figure, and warnings by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from vitatt.commands.associate import associate
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.metadata.association import associate as associate_features
from vitatt.options import run_command
from vitatt.types import UsageError

pytestmark = pytest.mark.long

Run = Callable[..., int]


@pytest.fixture
def run(options, demo_root) -> Run:
    data = [word for word in options if word.startswith("--data.")]
    return lambda *others: run_command(associate, [*data, *others])


@pytest.mark.parametrize("fold", [0, 1])
def test_table_of_the_folds_training_rows(run, demo_root, tmp_path, capsys, fold) -> None:
    assert run(f"--data.fold={fold}", f"--output={tmp_path / 'a' / 'b'}") == 0
    printed = capsys.readouterr().out
    module = LesionDataModule(
        "pad_ufes_20", str(demo_root), fold=fold, image_size=32, cache_dir=str(tmp_path / "cache")
    )
    training = module.cases("train")
    expected = associate_features(training, module.spec.features)
    written = pl.read_csv(tmp_path / "a" / "b" / "association.csv")
    assert written["feature"].to_list() == expected["feature"].to_list()
    assert written["association"].to_list() == pytest.approx(expected["association"].to_list())
    assert f"fold {fold} of 5: {training.height} training cases" in printed
    for name, association in expected.select("feature", "association").iter_rows():
        (line,) = [row for row in printed.splitlines() if row.startswith(f"| {name} ")]
        assert f"{association:.3f}" in line
    with Image.open(tmp_path / "a" / "b" / "association.png") as figure:
        assert figure.size[0] == 1600


def test_prints_alone_without_a_folder(run, tmp_path, capsys) -> None:
    before = set(tmp_path.iterdir())
    assert run() == 0
    assert set(tmp_path.iterdir()) == before
    printed = capsys.readouterr().out
    assert "copies of the label: none" in printed
    assert "images under two names: none" in printed


@pytest.mark.filterwarnings("ignore:.*share an image.*")
def test_warns_of_leaks_by_name(run, demo_copy, capsys) -> None:
    path = demo_copy / "metadata.csv"
    frame = pl.read_csv(path, infer_schema=False).with_columns(gender="diagnostic")
    frame.write_csv(path)
    other = frame.filter(pl.col("patient_id") != frame["patient_id"][0])["img_id"][0]
    shutil.copy(demo_copy / "images" / frame["img_id"][0], demo_copy / "images" / other)
    assert run(f"--data.root={demo_copy}") == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if line[:7] == "warning"]
    assert any("'gender' alone gives the diagnosis away" in line for line in warnings)
    assert any(f"{frame['img_id'][0]} (" in line and other in line for line in warnings)


def test_a_folder_that_cannot_be_made(run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"):
        run(f"--output={tmp_path / 'file' / 'a'}")


def test_results_of_two_runs_do_not_mix(run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "association.csv").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 1 entry \(association\.csv\)"):
        run(f"--output={tmp_path / 'out'}")
    assert (tmp_path / "out" / "association.csv").read_text() == "mine"
