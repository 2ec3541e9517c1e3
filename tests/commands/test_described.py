"""Every command on a dataset that a YAML file describes."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml

from vitatt.cli import main
from vitatt.data.datasets import DATASETS
from vitatt.inference import Predictor

PAD_UFES_20 = DATASETS["pad_ufes_20"]

pytestmark = pytest.mark.long

DESCRIPTION = {
    "name": "clinic",
    "title": "My clinic",
    "table": "cases.csv",
    "id": "file",
    "group": "person",
    "label": "finding",
    "classes": {name: {"names": [f"{name} seen"]} for name in PAD_UFES_20.spec.classes},
    "features": {"age": {"kind": "numeric", "unit": "years"}, "itch": "yes_no", "region": None},
    "barred": {"biopsed": "only done if it is suspicious"},
    "subgroups": ["age"],
}


@pytest.fixture
def clinic(demo_copy: Path, tmp_path: Path) -> Path:
    """The demo under other names; the description lies beside it."""
    path = demo_copy / "metadata.csv"
    names = {"img_id": "file", "patient_id": "person", "diagnostic": "finding"}
    frame = pl.read_csv(path, infer_schema=False).rename(names)
    frame.with_columns(pl.col("finding") + " SEEN").write_csv(demo_copy / "cases.csv")
    path.unlink()
    (tmp_path / "clinic.yaml").write_text(yaml.safe_dump(DESCRIPTION, sort_keys=False))
    return demo_copy


def test_from_training_to_report(clinic: Path, options: list[str], tmp_path: Path, capsys) -> None:
    words = [word for word in options if "dataset" not in word and "data.root" not in word]
    words += [f"--data.dataset={tmp_path / 'clinic.yaml'}", f"--data.root={clinic}"]
    data = [word for word in words if word.startswith("--data.")]
    assert main(["check-data", *data]) == 0
    assert "My clinic" in capsys.readouterr().out
    assert main(["fit", *words, "--trainer.max_epochs=1"]) == 0
    (checkpoint,) = Path("runs").glob("vitatt/*/checkpoints/best.ckpt")
    assert main(["test", *words, f"--ckpt_path={checkpoint}"]) == 0
    (tmp_path / "clinic.yaml").unlink()
    (run,) = (path.parent for path in Path("runs").glob("vitatt/*/predictions.parquet"))
    assert main(["report", str(run)]) == 0
    assert "My clinic" in (run / "report.html").read_text()
    of_case = ["--ckpt_path", str(checkpoint)]
    place = next(word for word in data if "cache_dir" in word)
    assert main(["explain", *of_case, f"--data.root={clinic}", place, "--output=why"]) == 0
    new = [f"--data.predict_root={clinic}", place, "--output=new.csv"]
    assert main(["predict", *of_case, *new]) == 0
    found = pl.read_csv("new.csv")
    assert found.columns == ["file", *PAD_UFES_20.spec.classes]
    answers = pl.read_csv(clinic / "cases.csv", infer_schema=False).row(0, named=True)
    assert main(["export", *of_case, "--output=onnx"]) == 0
    for place in (checkpoint, "onnx"):
        predicted = Predictor.load(place, device="cpu").predict(
            clinic / "images" / answers["file"],
            {name: answers[name] for name in DESCRIPTION["features"]},  # type: ignore[attr-defined]
        )
        assert list(predicted.probabilities.values()) == pytest.approx(found.row(0)[1:], abs=1e-5)
    capsys.readouterr()
    words = ["push", str(checkpoint), "--repo=me/clinic", "--output=hub", "--dry_run"]
    assert main(words) == 2
    assert "dataset clinic: no licence is known" in capsys.readouterr().err
    assert main([*words, "--data_licence=CC-BY-4.0", f"--test_run={run}"]) == 0
    card = Path("hub/README.md").read_text()
    assert "trained with vitatt" in card
    assert "biopsed." in card
    assert "trained from the start | MIT" in card
    assert str(tmp_path) not in card


def test_a_misspelt_key(clinic: Path, options: list[str], tmp_path: Path, capsys) -> None:
    path = tmp_path / "clinic.yaml"
    path.write_text(path.read_text().replace("group:", "groupp:"))
    words = [f"--data.dataset={path}", f"--data.root={clinic}"]
    assert main(["check-data", *words]) == 2
    assert f"{path} has the unknown key `groupp`. Did you mean group" in capsys.readouterr().err


def test_two_classes_from_training_to_report(
    clinic: Path, options: list[str], tmp_path: Path, capsys
) -> None:
    names = ["BCC", "MEL", "SCC"]
    others = sorted(set(PAD_UFES_20.spec.classes) - set(names))
    classes = {
        "benign": {"names": [f"{name} seen" for name in others]},
        "malignant": {"names": [f"{name} seen" for name in names]},
    }
    plain = {**DESCRIPTION, "classes": classes, "positive": "malignant"}
    path = tmp_path / "two.yaml"
    path.write_text(yaml.safe_dump({**plain, "subgroups": {"age": [50]}}, sort_keys=False))
    words = [word for word in options if "dataset" not in word and "data.root" not in word]
    words += [f"--data.dataset={path}", f"--data.root={clinic}", "--explanations.size=0"]
    words += ["--checkpoint.monitor=val/partial_auroc"]
    assert main(["fit", *words, "--trainer.max_epochs=1"]) == 0
    (checkpoint,) = Path("runs").glob("vitatt/*/checkpoints/best.ckpt")
    capsys.readouterr()
    assert main(["test", *words, f"--ckpt_path={checkpoint}", "--explanation_tests.cases=0"]) == 0
    (run,) = (path.parent for path in Path("runs").glob("vitatt/*/predictions.parquet"))
    assert main(["summarise", str(run)]) == 0
    assert "partial AUROC above 80 % TPR" in capsys.readouterr().out
    assert main(["report", str(run)]) == 0
    for text in ((run / "report.html").read_text(), (run / "model_card.md").read_text()):
        assert "malignant sensitivity at 95" in text
        assert "Sensitivity and specificity of malignant" in text
        assert "the score of the ISIC 2024 challenge" in text
        assert "50+" in text
        assert "macro AUROC" not in text
