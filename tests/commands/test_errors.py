"""What the user can put right is said in a sentence, without a traceback."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import polars as pl
import pytest
import safetensors.torch
import torch
from PIL import Image

from vitatt.cli import main

pytestmark = pytest.mark.long


def fails(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says as it fails with status 2."""
    capsys.readouterr()
    try:
        status = main(words)
    except SystemExit as leaving:
        status = leaving.code
    printed = capsys.readouterr()
    assert status == 2, printed.err
    assert "Traceback" not in printed.out + printed.err
    return printed.err


def change(root: Path, column: str, value: str | None) -> None:
    """Write a value into the first row of the metadata, or drop the column."""
    path = root / "metadata.csv"
    frame = pl.read_csv(path, infer_schema=False)
    first = pl.int_range(pl.len()) == 0
    if value is None:
        frame = frame.drop(column)
    else:
        new = pl.when(first).then(pl.lit(value)).otherwise(pl.col(column))
        frame = frame.with_columns(new.alias(column))
    frame.write_csv(path)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--model.lerning_rate=1", "lerning_rate"),
        ("--data.fold=7", "`data.fold` to be one of 0 to 4.*but got 7"),
        ("--data.features=[age,biopsed]", "'biopsed'.*gives the label away"),
        ("--data.features=[age,weight]", r"columns of PAD-UFES-20, but got \['weight'\]"),
        ("--data.dataset=fitzpatrick17k", "fitzpatrick17k"),
        ("--data.image_size=33", "multiple of the patch size 16.*got 33; 32 would do"),
        ("--data.root=nowhere", "nowhere does not exist.*data.mendeley.com.*holds metadata.csv"),
        ("--model.encoder=vit_tiny_patch16_244", "timm has no model named.*Did you mean"),
        (
            "--model.encoder=vgg11",
            "of timm, but 'vgg11' is a VGG",
        ),
        (
            "--model.encoder_weights=gone.safetensors",
            "weights file gone.safetensors does not exist",
        ),
        ("--model.fusion.init_args.dept=2", "dept"),
        (
            "--model.fusion.init_args.join_at=6",
            "`join_at` to be one of the encoder's blocks 0 to 5",
        ),
        ("--ckpt_path=gone.ckpt", "checkpoint gone.ckpt does not exist"),
        ("--token_cache.augmentations=2", "frozen encoder.*`model.freeze_encoder`"),
        ("--trainer.precision=12", "trainer.precision"),
    ],
)
def test_wrong_option(options, capsys, option, message):
    words = ["fit", *options, "--model.fusion=AttentionFusion", option]
    assert_matches(message, fails(words, capsys))


def assert_matches(message: str, said: str) -> None:
    assert re.search(message, " ".join(said.split())), said


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("age", "young", "column 'age'.*numbers, but case PAT_.* has 'young'"),
        ("diagnostic", "XYZ", r"unknown class XYZ \(1 rows.*PAD-UFES-20 has: ACK, BCC"),
        ("itch", None, "lacks the column itch"),
        ("patient_id", "", "1 rows of .* have no patient"),
    ],
)
def test_wrong_metadata(options, demo_copy, capsys, column, value, message):
    change(demo_copy, column, value)
    assert_matches(message, fails(["fit", *options, f"--data.root={demo_copy}"], capsys))


def test_missing_csv(options, demo_copy, capsys):
    (demo_copy / "metadata.csv").unlink()
    said = fails(["fit", *options, f"--data.root={demo_copy}"], capsys)
    assert_matches("Expected the file .*metadata.csv.*published at", said)


def test_no_image_at_all(options, demo_copy, capsys):
    for path in (demo_copy / "images").iterdir():
        path.unlink()
    said = fails(["fit", *options, f"--data.root={demo_copy}"], capsys)
    assert_matches(r"None of the 60 cases of PAD-UFES-20 \(.*\) has an image file", said)


def test_no_readable_image(options, demo_copy, capsys):
    for path in (demo_copy / "images").iterdir():
        path.write_bytes(b"")
    said = fails(["fit", *options, f"--data.root={demo_copy}"], capsys)
    assert_matches("None of the 1 image files can be read|None of the 60 image files", said)


def test_class_absent_from_a_training_fold(options, demo_copy, capsys):
    path = demo_copy / "metadata.csv"
    frame = pl.read_csv(path, infer_schema=False)
    frame.filter(pl.col("diagnostic") != "MEL").write_csv(path)
    said = fails(["fit", *options, f"--data.root={demo_copy}"], capsys)
    assert_matches(r"Fold 0 of 5 has no training case of MEL \(0 in all\)", said)


def test_broken_images_are_counted_and_left_out(options, demo_copy, caplog, recwarn):
    files = sorted((demo_copy / "images").iterdir())
    files[0].write_bytes(b"")
    files[1].write_bytes(files[1].read_bytes()[:200])
    files[2].write_text("no image")
    Image.open(files[3]).convert("L").save(files[3])
    words = [f"--data.root={demo_copy}", "--trainer.max_epochs=1", "--explanations.size=0"]
    assert main(["fit", *options, *words]) == 0
    assert "3 with an unreadable one; 57 cases" in caplog.text
    (told,) = [
        str(w.message) for w in recwarn if "cannot be read and are left out" in str(w.message)
    ]
    assert "(0 bytes)" in told


def test_check_data_finds_what_spoils_training(demo_copy, capsys, options):
    data = [o for o in options if o.startswith(("--data.dataset", "--data.cache_dir"))]
    assert main(["check-data", *data, f"--data.root={demo_copy}", "--data.image_size=32"]) == 0
    files = sorted((demo_copy / "images").iterdir())
    files[0].write_bytes(b"")
    frame = pl.read_csv(demo_copy / "metadata.csv")
    label = dict(frame.select("img_id", "diagnostic").iter_rows())
    other = next(f for f in files[2:] if label[f.name] != label[files[1].name])
    other.write_bytes(files[1].read_bytes())
    capsys.readouterr()
    assert main(["check-data", *data, f"--data.root={demo_copy}", "--data.image_size=32"]) == 1
    report = capsys.readouterr().out
    assert "Images unreadable: 1" in report
    assert f"{files[1].name} ({label[files[1].name]})" in report
    assert "the labels disagree" in report
    assert "Problems: 2" in report
    assert "biopsed: it gives the label away" in report


def test_wrong_weights_file(options, tmp_path, capsys):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"cls_token": torch.zeros(1, 1, 8)}, path)
    said = fails(["fit", *options, f"--model.encoder_weights={path}"], capsys)
    assert_matches(
        "does not hold the weights of 'test_vit': lacks .* has the wrong shape for", said
    )


@pytest.mark.parametrize("command", ["validate", "test"])
def test_evaluation_needs_a_checkpoint(options, capsys, command):
    assert "needs a trained model: --ckpt_path" in fails([command, *options], capsys)


def test_files_that_are_no_checkpoints(options, tmp_path, capsys):
    garbage, foreign = tmp_path / "garbage.ckpt", tmp_path / "foreign.ckpt"
    garbage.write_bytes(b"not a checkpoint")
    torch.save({"state_dict": {}}, foreign)
    said = fails(["test", *options, f"--ckpt_path={garbage}"], capsys)
    assert "cannot be read as a checkpoint" in said
    said = fails(["test", *options, f"--ckpt_path={foreign}"], capsys)
    assert "no checkpoint of `vitatt fit`" in said


def test_checkpoint_of_other_classes(options, trained, capsys):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    words = ["test", *options, "--data.dataset=isic_2019", f"--ckpt_path={checkpoint}"]
    said = fails(words, capsys)
    assert_matches("trained on pad_ufes_20 with the classes ACK, .*data are isic_2019", said)


def test_testing_what_was_trained_on(options, trained, capsys):
    checkpoint = trained / "checkpoints" / "best.ckpt"
    said = fails(["test", *options, "--data.fold=1", f"--ckpt_path={checkpoint}"], capsys)
    assert_matches(
        r"trained with fold 0 of 5 \(inner fold 0 of 5, seed 0\).*split with fold 1 of 5", said
    )


def test_unseen_category_at_prediction_is_missing(options, trained, demo_copy, tmp_path):
    change(demo_copy, "region", "ELBOW PIT")
    checkpoint = trained / "checkpoints" / "best.ckpt"
    words = [f"--data.predict_root={demo_copy}", f"--output={tmp_path / 'p.csv'}"]
    with pytest.warns(UserWarning, match=r"'region' has values .* not see: ELBOW PIT \(1 cases\)"):
        assert main(["predict", *options, *words, f"--ckpt_path={checkpoint}"]) == 0
    assert pl.read_csv(tmp_path / "p.csv").height == 60


def test_no_room_for_the_cache(options, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    said = fails(["fit", *options, f"--data.cache_dir={tmp_path / 'cache'}"], capsys)
    assert_matches("cache needs 0 MB in .* MB are free.*`data.cache_dir`", said)


@pytest.mark.parametrize("words", [[], ["--help"], ["fit", "--help"], ["check-data", "--help"]])
def test_help_comes_without_traceback(words, capsys):
    try:
        status = main(words)
    except SystemExit as leaving:
        status = leaving.code
    printed = capsys.readouterr()
    assert status == 0
    assert "usage: vitatt" in printed.out
    assert "Traceback" not in printed.err


def test_unknown_command(capsys):
    assert "fit" in fails(["trian"], capsys)
