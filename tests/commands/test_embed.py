"""embed: its files against the network itself, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import silhouette_score

from vitatt.commands import embed as command
from vitatt.commands.embed import embed
from vitatt.data.datamodule import LesionDataModule
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.options import run_command
from vitatt.studies import embedding
from vitatt.types import UsageError

pytestmark = pytest.mark.long

Run = Callable[..., int]


@pytest.fixture(autouse=True)
def _fast(monkeypatch) -> None:
    """One view, drawn only where a test looks at it."""
    white = np.full((2, 2, 3), 255, np.uint8)
    monkeypatch.setattr(command, "projections", lambda: ("tsne",))
    monkeypatch.setattr(embedding, "embedding_figure", lambda *_, **__: white)


@pytest.fixture(scope="session")
def checkpoint(trained) -> Path:
    return trained / "checkpoints" / "best.ckpt"


@pytest.fixture
def words(checkpoint, options, demo_root, tmp_path) -> list[str]:
    (cache,) = [word for word in options if word.startswith("--data.cache_dir")]
    output = f"--output={tmp_path / 'out'}"
    return [f"--ckpt_path={checkpoint}", f"--data.root={demo_root}", cache, output]


@pytest.fixture
def run(words) -> Run:
    return lambda *others: run_command(embed, [*words, *others])


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def test_files_are_of_the_network(run, out, checkpoint, demo_root, tmp_path, capsys) -> None:
    assert run("--color", "gender") == 0
    model = LesionClassifier.load_from_checkpoint(checkpoint, map_location="cpu").eval()
    data = LesionDataModule(
        "pad_ufes_20", str(demo_root), cache_dir=str(tmp_path), task=model.task.to_plain()
    )
    cases = data.cases("test")
    batch = data.make_dataset("test", cases).__getitems__(range(cases.height))
    with torch.no_grad():
        output = model(batch)
        alone = model.network.encoder(batch.image)[:, 0]
    vectors = {"fused class token": output.embedding, "image class token": alone}

    table = pl.read_parquet(out / "embedding.parquet")
    assert table.columns == [
        *("case_id", "group", "true", "predicted", "x", "y", "method", "token")
    ]
    predicted = [model.task.classes[n] for n in output.logits.argmax(1).tolist()]
    for token in vectors:
        rows = table.filter(token=token, method="tsne")
        assert rows["case_id"].to_list() == cases["case_id"].to_list()
        assert rows["true"].to_list() == cases["diagnosis"].to_list()
        assert rows["group"].to_list() == cases["group"].to_list()
        assert rows["predicted"].to_list() == predicted
        assert rows.select("x", "y").to_numpy().std() > 0

    metrics = pl.read_csv(out / "separation.csv")
    printed = capsys.readouterr().out
    assert metrics.height == 6
    for token, values in vectors.items():
        row = metrics.filter(token=token).row(0, named=True)
        expected = silhouette_score(values.double().numpy(), cases["diagnosis"].to_numpy())
        assert row["value"] == pytest.approx(expected, abs=1e-5)
        assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in printed
    names = {path.stem for path in out.glob("*.png")}
    assert names == {"tsne_class", "tsne_gender", "tsne_patient"}


def test_recorded_offline(run, out, caplog) -> None:
    assert run() == 0
    assert "wandb sync" in caplog.text
    (record,) = (out / "runs" / "wandb").glob("offline-run-*")
    logged = record / "files" / "media" / "images" / "embedding"
    assert {path.name.rsplit("_", 2)[0] for path in logged.glob("*.png")} == {
        *("tsne_class", "tsne_fitspatrick", "tsne_gender", "tsne_region", "tsne_patient")
    }


def test_a_network_without_image_has_one_token(run, words, out, tmp_path, checkpoint) -> None:
    model = LesionClassifier.load_from_checkpoint(checkpoint, map_location="cpu")
    plain = model.task.to_plain()
    other = LesionClassifier(plain, encoder="test_vit", fusion=MetadataOnly)  # type: ignore[arg-type]
    saved = {
        "state_dict": other.state_dict(),
        "pytorch-lightning_version": "2.6.6",
        other.CHECKPOINT_HYPER_PARAMS_KEY: dict(other.hparams),
    }
    other.on_save_checkpoint(saved)
    torch.save(saved, tmp_path / "other.ckpt")
    own = [word for word in words if not word.startswith("--ckpt_path")]
    others = [f"--ckpt_path={tmp_path / 'other.ckpt'}", "--split=val"]
    assert run_command(embed, [*own, *others]) == 0
    table = pl.read_parquet(out / "embedding.parquet")
    assert table["token"].unique().to_list() == ["fused class token"]


def test_one_column_in_a_configuration(run, out, tmp_path) -> None:
    (tmp_path / "c.yaml").write_text("color: gender")
    assert run(f"--config={tmp_path / 'c.yaml'}") == 0
    assert {path.stem for path in out.glob("*.png")} == {
        *("tsne_class", "tsne_gender", "tsne_patient")
    }


def test_what_cannot_be_is_found_before_the_model_is_made(run, out, monkeypatch) -> None:
    monkeypatch.setattr(command, "load_model", lambda path: pytest.fail("the model was made"))
    with monkeypatch.context() as patch:
        patch.setattr(LesionDataModule, "cases", lambda self, name: few(cases(self, name)))
        with pytest.raises(UsageError, match="at least 5 cases of other groups"):
            run()
    assert not list(out.iterdir())
    (out / "embedding.parquet").write_text("mine")
    with pytest.raises(UsageError, match=r"holds 1 entry \(embedding\.parquet\)"):
        run()


cases = LesionDataModule.cases


def few(cases: pl.DataFrame) -> pl.DataFrame:
    """A row of each of two classes, and another one."""
    most = cases["diagnosis"].mode()[0]
    first = cases.filter(pl.col("diagnosis") == most)
    other = cases.filter(pl.col("diagnosis") != most)
    return pl.concat([first.head(2), other.head(1)])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--color=weight", r"`color` to name metadata columns of PAD-UFES-20, .*\['weight'\]"),
        ("--color=gendr", "got .'gendr'.. Did you mean gender"),
        ("--color=biopsed", r"\['biopsed'\]"),
        ("--seed=-1", "`seed` to be at least 0 .*but got -1"),
    ],
)
def test_settings_that_cannot_be(run, out, option, message) -> None:
    with pytest.raises(UsageError, match=message):
        run(option)
    assert not out.exists()
