"""Names of files and folders that are no text."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS
from vitatt.paths import escaped, files_below, is_text, left_out_note, user_path
from vitatt.types import DataError

PAD_UFES_20 = DATASETS["pad_ufes_20"]
ISIC_2019 = DATASETS["isic_2019"]

Write = Callable[..., Path]
Make = Callable[..., LesionDataModule]
LATIN = os.fsdecode("caf\xe9".encode("latin-1"))
"""A name in Latin-1, as old archives have them."""


@pytest.fixture(autouse=True)
def _needs_such_names(tmp_path: Path) -> None:
    try:
        (tmp_path / LATIN).touch()
    except OSError:
        pytest.skip("this file system has no names but UTF-8")
    (tmp_path / LATIN).unlink()


def test_what_is_text() -> None:
    assert is_text("les\xe3o.png")
    assert not is_text(LATIN)
    assert escaped(LATIN) == r"caf\xe9"
    assert escaped("les\xe3o.png") == "les\xe3o.png"


def test_files_below_leaves_them_out(tmp_path: Path) -> None:
    for path in (tmp_path / "a" / "1", tmp_path / LATIN / "2", tmp_path / "a" / LATIN):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    left_out: list[str] = []
    assert list(files_below(tmp_path, left_out)) == [(str(tmp_path), []), (f"{tmp_path}/a", ["1"])]
    assert left_out == [f"{tmp_path}/{LATIN}", f"{tmp_path}/a/{LATIN}"]
    note = left_out_note(tmp_path, left_out)
    assert note.startswith(f"2 files or folders below {tmp_path} have a name that is no UTF-8")
    assert rf"{tmp_path}/a/caf\xe9" in note
    note.encode()


@pytest.mark.parametrize("stray", [f"{LATIN}.png", f"{LATIN}.txt", f"images/{LATIN}.png", LATIN])
def test_a_stray_name_costs_a_note(stray: str, write_pad: Write, save_image: Write) -> None:
    root = write_pad({"img_id": "a.png"})
    path = save_image(root / "images" / "a.png")
    (root / stray).write_bytes(b"")
    table = PAD_UFES_20.read(root, labelled=True)
    assert table.cases["image"].to_list() == [str(path)]
    (note,) = table.notes
    assert note.startswith("1 files or folders below")
    assert escaped(stray) in note


def test_a_stray_folder_costs_a_note(write_isic: Write, save_image: Write) -> None:
    root = write_isic({"image": "ISIC_1"}, {"image": "ISIC_2", "lesion_id": "B"})
    save_image(root / LATIN / "ISIC_1.jpg")
    path = save_image(root / "b" / "ISIC_2.jpg")
    table = ISIC_2019.read(root, labelled=True)
    assert table.cases["image"].to_list() == [None, str(path)]
    assert r"caf\xe9" in table.notes[0]


def test_a_training_set_up_beside_one(make_module: Make, pad_copy: Path) -> None:
    (pad_copy / f"{LATIN}.png").write_bytes(b"")
    module = make_module(root=str(pad_copy))
    with pytest.warns(UserWarning, match=r"no UTF-8 and are left out: .*caf\\xe9\.png"):
        module.setup("fit")
    assert module.labelled.frame.height == 240


@pytest.mark.parametrize("setting", ["root", "predict_root", "cache_dir"])
def test_a_folder_that_is_no_text(setting: str, make_module: Make, tmp_path: Path) -> None:
    (tmp_path / LATIN).mkdir()
    stage = "predict" if setting == "predict_root" else "fit"
    with pytest.raises(DataError, match=rf"given as `data\.{setting}` is no UTF-8: .*caf\\xe9"):
        make_module(**{setting: str(tmp_path / LATIN)}).setup(stage)


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/data", "data.root") == tmp_path / "data"
    with pytest.raises(DataError, match=r"home folder in ~nobody-here/x.*`data\.root` without ~"):
        user_path("~nobody-here/x", "data.root")


def test_a_link_to_where_one_came_from_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "images" / "one.png").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "two.png").touch()
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "images" / "up").symlink_to("..")
    (tmp_path / "data" / "more").symlink_to(tmp_path / "elsewhere")
    found = [name for _, names in files_below(tmp_path / "data", []) for name in names]
    assert sorted(found) == ["one.png", "two.png"]
