"""From check to prediction on every published dataset, in tiny files of its layout."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.published_files import PUBLISHED, write_published
from vitatt.cli import main
from vitatt.data.datasets import DATASETS

pytestmark = pytest.mark.long

_ALWAYS = ("isic_2024", "isic_archive")  # the others belong to the slow tests, one as another
LAYOUTS = [
    name if name in _ALWAYS else pytest.param(name, marks=pytest.mark.slow) for name in PUBLISHED
]


@pytest.mark.filterwarnings("ignore:.*are left out:UserWarning")
@pytest.mark.filterwarnings("ignore:.*have no lesion_id:UserWarning")
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_check_fit_test_predict(layout: str, options: list[str], tmp_path: Path, capsys) -> None:
    name = layout.removesuffix("_jpeg")
    spec = DATASETS[name].spec
    root = tmp_path / layout
    write_published(layout, root)
    words = [word for word in options if "dataset" not in word and "data.root" not in word]
    words += [f"--data.dataset={name}", f"--data.root={root}", "--data.num_folds=2"]
    words += ["--data.inner_folds=2"]
    data = [word for word in words if word.startswith("--data.")]
    main(["check-data", *data])  # its status tells of missing patterns, which random tables have
    out = capsys.readouterr().out
    assert f"{spec.title} in {root}: " in out
    assert ("Cases without an image: 0" if spec.views else "Images absent: 0") in out
    assert main(["fit", *words, "--trainer.max_epochs=1", "--explanations.size=2"]) == 0
    (checkpoint,) = Path("runs").glob("vitatt/*/checkpoints/best.ckpt")
    assert main(["test", *words, f"--ckpt_path={checkpoint}"]) == 0
    (found,) = Path("runs").glob("vitatt/*/predictions.parquet")
    table = DATASETS[name].read(root, labelled=True).cases
    tested = pl.read_parquet(found)
    assert set(tested["case_id"]) < set(table["case_id"])
    of_case = dict(table.select("case_id", "diagnosis").iter_rows())
    assert tested["true"].to_list() == [of_case[case] for case in tested["case_id"]]
    place = next(word for word in data if "cache_dir" in word)
    new = [f"--data.predict_root={root}", place, "--output=new.csv"]
    assert main(["predict", f"--ckpt_path={checkpoint}", *new]) == 0
    predicted = pl.read_csv("new.csv", schema_overrides={spec.id_column: pl.String})
    unknown = [spec.unknown_class] if spec.unknown_class else []
    assert predicted.columns == [spec.id_column, *spec.classes, *unknown]
    asked = DATASETS[name].read(root, labelled=False).cases
    assert predicted[spec.id_column].to_list() == asked["case_id"].to_list()
    sums = predicted.select(pl.sum_horizontal(spec.classes)).to_series()
    assert sums.to_list() == pytest.approx([1] * len(sums), abs=1e-3)
