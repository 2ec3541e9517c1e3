from __future__ import annotations

import csv
import dataclasses
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.preprocessing import OneHotEncoder

from vitatt.data.datasets import DATASETS
from vitatt.data.datasets.table import LesionTable
from vitatt.data.synthetic.demo import DemoDataset, DemoTruth, write_demo
from vitatt.types import DataError

PAD_UFES_20 = DATASETS["pad_ufes_20"]

SIZE = 64
NAMES: tuple[DemoDataset, ...] = ("pad_ufes_20", "isic_2019")
HALVES = (slice(SIZE // 2), slice(SIZE // 2, SIZE))
ANAMNESIS = (
    *("smoke", "drink", "background_father", "background_mother", "pesticide", "gender"),
    *("skin_cancer_history", "cancer_history", "has_piped_water", "has_sewage_system"),
    *("fitspatrick", "diameter_1", "diameter_2"),
)


@dataclasses.dataclass(frozen=True)
class Demo:
    folder: Path
    truth: DemoTruth
    table: LesionTable
    images: np.ndarray  # (N, S, S, 3) uint8
    masks: np.ndarray  # (N, S, S) bool

    @property
    def target(self) -> np.ndarray:
        return self.table.cases["diagnosis"].to_numpy()

    def features(self, *, planted: bool) -> np.ndarray:
        """Features as numbers with missing values as -1, either the planted ones or the others."""
        columns = []
        for feature in self.table.spec.features:
            if (feature.name in self.truth.planted) != planted:
                continue
            values = self.table.cases[feature.name]
            if feature.kind == "numeric":
                columns.append(values.fill_null(-1).to_numpy()[:, None])
            else:
                encoder = OneHotEncoder(sparse_output=False)
                columns.append(encoder.fit_transform(values.fill_null("?").to_numpy()[:, None]))
        return np.concatenate(columns, axis=1)

    @property
    def shown(self) -> np.ndarray:
        """Which lesions show a sign, (N,)."""
        return self.masks.any((1, 2))

    def sign_colours(self) -> np.ndarray:
        """Mean and deviation of each colour on the sign, of the lesions that show one, (n, 6)."""
        pairs = zip(self.images[self.shown], self.masks[self.shown], strict=True)
        inside = [image[mask] for image, mask in pairs]
        return np.stack([np.concatenate([each.mean(0), each.std(0)]) for each in inside])

    def surroundings(self) -> np.ndarray:
        """Everything outside the mask, coarsely, and its colour statistics, (N, 198)."""
        rows = []
        for image, mask in zip(self.images, self.masks, strict=True):
            outside = image[~mask]
            blanked = image.copy()
            blanked[mask] = outside.mean(0).round()
            small = np.asarray(Image.fromarray(blanked).resize((8, 8), Image.Resampling.BOX))
            rows.append(np.concatenate([small.ravel(), outside.mean(0), outside.std(0)]))
        return np.stack(rows)

    def score(self, inputs: np.ndarray, of: np.ndarray | slice = slice(None)) -> float:
        """Balanced accuracy of some cases on folds that keep groups whole."""
        model = RandomForestClassifier(30, class_weight="balanced", random_state=0, n_jobs=1)
        folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
        groups, target = self.table.cases["group"].to_numpy()[of], self.target[of]
        found = cross_val_predict(model, inputs, target, groups=groups, cv=folds)
        return float(balanced_accuracy_score(target, found))


@pytest.fixture(scope="module", params=NAMES)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo") / request.param
    truth = write_demo(folder, dataset=request.param, image_size=SIZE)
    table = DATASETS[request.param].read(folder, labelled=True)
    paths = [Path(path) for path in table.cases["image"]]
    images = np.stack([np.asarray(Image.open(path)) for path in paths])
    masks = np.stack(
        [np.asarray(Image.open(truth.masks / f"{path.stem}_segmentation.png")) for path in paths]
    )
    assert masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 255}
    return Demo(folder, truth, table, images, masks > 0)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


@pytest.mark.long
def test_readers_find_every_case_with_its_image(demo: Demo) -> None:
    assert demo.table.absent == []
    alone = demo.table.cases.filter(pl.col("group") == pl.col("case_id")).height
    assert demo.table.ungrouped == alone < 0.1 * 240
    said = [note.split(":")[0] for note in demo.table.notes]
    assert said == [f"{alone} of 240 images have no lesion_id"] * bool(alone)
    assert demo.table.cases.height == demo.truth.num_cases == 240
    assert demo.images.shape == (240, SIZE, SIZE, 3)
    assert len(list(demo.truth.masks.iterdir())) == 240


@pytest.mark.long
def test_pad_has_the_published_columns_and_spellings(pad_demo: Path) -> None:
    path = pad_demo / "metadata.csv"
    table = rows(path)
    assert path.read_text().splitlines()[0] == (
        "patient_id,lesion_id,smoke,drink,background_father,background_mother,age,pesticide,gender,"
        "skin_cancer_history,cancer_history,has_piped_water,has_sewage_system,fitspatrick,region,"
        "diameter_1,diameter_2,diagnostic,itch,grew,hurt,changed,bleed,elevation,img_id,biopsed"
    )
    values = {name: {row[name] for row in table} for name in table[0]}
    assert values["smoke"] == {"", "True", "False"}
    assert values["itch"] == values["bleed"] == {"UNK", "True", "False"}
    assert {"BRASIL", "BRAZIL"} <= values["background_father"]
    assert "2.0" in values["fitspatrick"]
    assert all(
        row["img_id"].startswith(f"{row['patient_id']}_{row['lesion_id']}_") for row in table
    )
    owners: dict[str, set[str]] = {}
    for row in table:
        owners.setdefault(row["lesion_id"], set()).add(row["patient_id"])
    assert max(map(len, owners.values())) > 1, "lesion ids repeat across patients, as published"


@pytest.mark.long
def test_pad_biopsy_leaks_cancer_as_published(pad_demo: Path) -> None:
    table = rows(pad_demo / "metadata.csv")
    cancers = ("BCC", "MEL", "SCC")
    assert {row["biopsed"] for row in table if row["diagnostic"] in cancers} == {"True"}
    rest = [row["biopsed"] for row in table if row["diagnostic"] not in cancers]
    assert 0.05 < rest.count("True") / len(rest) < 0.3


@pytest.mark.long
def test_isic_has_the_published_columns_and_spellings(isic_demo: Path) -> None:
    truth = rows(isic_demo / "ISIC_2019_Training_GroundTruth.csv")
    metadata = rows(isic_demo / "ISIC_2019_Training_Metadata.csv")
    classes = ["MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK"]
    assert list(truth[0]) == ["image", *classes]
    assert list(metadata[0]) == ["image", "age_approx", "anatom_site_general", "lesion_id", "sex"]
    assert [row["image"] for row in truth] == sorted(row["image"] for row in metadata)
    assert {row[name] for row in truth for name in classes} == {"0.0", "1.0"}
    assert {row["sex"] for row in metadata} == {"", "male", "female"}
    assert any(row["image"].endswith("_downsampled") for row in metadata)
    for name in ("age_approx", "anatom_site_general", "lesion_id"):
        assert 0 < sum(not row[name] for row in metadata) < 36


@pytest.mark.long
def test_classes_are_unbalanced_but_none_is_rare(demo: Demo) -> None:
    counts = demo.table.cases["diagnosis"].value_counts()
    assert set(counts["diagnosis"]) == set(demo.table.spec.classes)
    assert counts["count"].min() >= 0.08 * 240
    assert counts["count"].max() >= 1.5 * counts["count"].min()


@pytest.mark.long
def test_groups_hold_several_images(demo: Demo) -> None:
    groups = demo.table.cases.group_by("group").agg(
        pl.len().alias("images"), pl.col("diagnosis").n_unique().alias("diagnoses")
    )
    assert 0.15 < (groups["images"] > 1).mean() < 0.7
    if demo.truth.dataset == "pad_ufes_20":
        assert groups["diagnoses"].max() > 1
    else:
        assert groups["diagnoses"].max() == 1


@pytest.mark.long
def test_signs_differ_from_their_surroundings(demo: Demo) -> None:
    assert 0.6 < demo.shown.mean() < 0.8
    pairs = zip(demo.images[demo.shown].astype(float), demo.masks[demo.shown], strict=True)
    for image, mask in pairs:
        reach = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        for across in reach:
            assert 0.14 < (across[-1] - across[0] + 1) / SIZE < 0.31
        # A frame around the sign, four pixels wide at most: skin and lesion just beside it.
        frame = np.zeros_like(mask)
        frame[
            max(reach[1][0] - 4, 0) : reach[1][-1] + 5, max(reach[0][0] - 4, 0) : reach[0][-1] + 5
        ] = True
        beside = image[frame & ~mask].mean(0)
        assert np.linalg.norm(image[mask].mean(0) - beside) > 30


@pytest.mark.long
def test_signs_lie_everywhere(demo: Demo) -> None:
    covered = demo.masks.mean(0)
    half = SIZE // 2
    assert demo.masks[:, half, half].mean() < 0.2, "looking at the middle seldom finds the sign"
    quarters = [covered[rows, columns] for rows in HALVES for columns in HALVES]
    shares = np.array([quarter.sum() for quarter in quarters]) / covered.sum()
    assert shares.min() > 0.18


@pytest.mark.long
def test_every_image_has_a_decoy_beside_the_sign_and_as_conspicuous(demo: Demo) -> None:
    stems = [Path(path).stem for path in demo.table.cases["image"]]
    decoys = np.stack(
        [np.asarray(Image.open(demo.truth.decoys / f"{stem}_decoy.png")) for stem in stems]
    )
    decoys = decoys > 0
    assert decoys.any((1, 2)).all()
    assert not (decoys & demo.masks).any()
    sizes = [marks.sum((1, 2)).mean() for marks in (decoys, demo.masks[demo.shown])]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)
    skin = np.median(demo.images.reshape(len(demo.images), -1, 3), axis=1)
    contrasts = []
    for marks in (decoys, demo.masks):
        there = marks.any((1, 2))
        pairs = zip(demo.images[there], marks[there], skin[there], strict=True)
        contrasts.append(np.mean([np.linalg.norm(i[m].mean(0) - s) for i, m, s in pairs]))
    assert contrasts[0] == pytest.approx(contrasts[1], rel=0.25)


@pytest.mark.long
def test_planted_evidence_tells_the_classes_and_each_half_alone_does_not(demo: Demo) -> None:
    sign, planted = demo.sign_colours(), demo.features(planted=True)[demo.shown]
    both = demo.score(np.concatenate([sign, planted], axis=1), demo.shown)
    halves = [demo.score(sign, demo.shown), demo.score(planted, demo.shown)]
    assert both > 0.6
    assert both > max(halves) + 0.15


@pytest.mark.long
def test_nothing_else_tells_the_classes(demo: Demo) -> None:
    chance = 1 / len(demo.table.spec.classes)
    missing = demo.table.cases.select(
        pl.col([feature.name for feature in demo.table.spec.features]).is_null()
    ).to_numpy()
    assert demo.score(demo.surroundings()) < chance + 0.08
    assert demo.score(demo.features(planted=False)) < chance + 0.08
    assert demo.score(missing) < chance + 0.08


@pytest.mark.long
def test_masks_do_not_tell_the_classes(demo: Demo) -> None:
    heights, widths = np.mgrid[:SIZE, :SIZE]
    shape = [
        (
            mask.sum(),
            heights[mask].mean(),
            widths[mask].mean(),
            heights[mask].std(),
            widths[mask].std(),
        )
        for mask in demo.masks[demo.shown]
    ]
    assert demo.score(np.array(shape), demo.shown) < 1 / len(demo.table.spec.classes) + 0.13


@pytest.mark.long
def test_pad_anamnesis_is_missing_together(pad_demo: Path) -> None:
    cases = PAD_UFES_20.read(pad_demo, labelled=True).cases
    without = cases["smoke"].is_null()
    assert 0.18 < without.mean() < 0.32
    for name in ANAMNESIS:
        lacking = cases[name].is_null()
        if not name.startswith("background"):
            assert (lacking == without).all()
        assert lacking.filter(without).all()
    assert cases["age"].null_count() == cases["region"].null_count() == 0


@pytest.mark.long
def test_truth_names_what_was_planted(demo: Demo) -> None:
    truth = DemoTruth.load(demo.folder)
    assert truth == demo.truth
    assert truth.masks == demo.folder / "masks"
    assert truth.decoys == demo.folder / "decoys"
    assert set(truth.signs) == set(demo.table.spec.classes)
    assert sorted(list(truth.signs.values()).count(sign) for sign in set(truth.signs.values())) == (
        [len(truth.signs) // 2] * 2
    )
    assert set(truth.planted) < {feature.name for feature in demo.table.spec.features}
    with pytest.raises(dataclasses.FrozenInstanceError):
        truth.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("dataset", NAMES)
@pytest.mark.long
def test_equal_arguments_give_equal_bytes(tmp_path: Path, dataset: DemoDataset) -> None:
    for name in ("one", "two"):
        write_demo(tmp_path / name, dataset=dataset, num_cases=64, image_size=32, seed=3)
    write_demo(tmp_path / "other", dataset=dataset, num_cases=64, image_size=32, seed=4)
    first = dict(contents(tmp_path / "one"))
    assert first == dict(contents(tmp_path / "two"))
    assert first != dict(contents(tmp_path / "other"))


def test_writing_leaves_nothing_else_and_a_folder_others_can_read(tmp_path: Path) -> None:
    write_demo(tmp_path / "new" / "pad", num_cases=48, image_size=32)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["pad"]
    (tmp_path / "plain").mkdir()
    mode = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "new" / "pad").stat().st_mode) == mode


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitatt.data.synthetic.demo.synthetic_images.draw", stop)
    with pytest.raises(KeyboardInterrupt):
        write_demo(tmp_path / "pad", num_cases=48)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_filled_and_the_same_demo_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "pad"
    folder.mkdir()
    first = write_demo(folder, num_cases=48, image_size=32)
    os.utime(folder / "metadata.csv", (1, 1))
    assert write_demo(folder, num_cases=48, image_size=32) == first
    assert (folder / "metadata.csv").stat().st_mtime == 1


def test_a_write_that_another_process_finished_first_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pad"
    rename = Path.rename

    def late(self: Path, target: Path) -> Path:
        if not folder.exists():
            monkeypatch.setattr(Path, "rename", rename)
            write_demo(folder, num_cases=48, image_size=32)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", late)
    assert write_demo(folder, num_cases=48, image_size=32) == DemoTruth.load(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["pad"]


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(
        DataError, match=r"not empty and holds no synthetic dataset.*another folder"
    ):
        write_demo(tmp_path, num_cases=48)
    assert dict(contents(tmp_path)) == {"notes.txt": b"mine"}


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pad").write_text("mine")
    with pytest.raises(DataError, match="is a file"):
        write_demo(tmp_path / "pad", num_cases=48)


def test_another_demo_is_refused(tmp_path: Path) -> None:
    write_demo(tmp_path / "pad", num_cases=48, image_size=32)
    with pytest.raises(
        DataError, match=r"another synthetic dataset \(num_cases 48, seed 0\).*delete"
    ):
        write_demo(tmp_path / "pad", num_cases=60, image_size=32, seed=1)


@pytest.mark.long
def test_a_truth_by_another_version_is_refused(pad_demo: Path, tmp_path: Path) -> None:
    good = json.loads((pad_demo / "truth.json").read_text())
    (tmp_path / "truth.json").write_text(json.dumps(good))
    assert DemoTruth.load(tmp_path).planted == tuple(good["planted"])
    lacking = {name: value for name, value in good.items() if name != "masks"}
    for content, reason in (
        (b"{", "Expecting property name"),
        (b'"\xff"', "can't decode byte 0xff"),
        (b"[]", "its version differs"),
        (b"{}", "its version differs"),
        (json.dumps({**good, "version": good["version"] - 1}).encode(), "its version differs"),
        (json.dumps(lacking).encode(), "'masks'"),
        (json.dumps({**good, "colour": "red"}).encode(), "'colour'"),
        (json.dumps({**good, "planted": 2}).encode(), "'int' object is not iterable"),
    ):
        (tmp_path / "truth.json").write_bytes(content)
        with pytest.raises(DataError, match=rf"not written by this version .*\(.*{reason}"):
            DemoTruth.load(tmp_path)


def test_no_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no truth\.json"):
        DemoTruth.load(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_cases": 47}, "Expected `num_cases` to be at least 48, but got 47"),
        ({"num_cases": 63, "dataset": "isic_2019"}, "Expected `num_cases` to be at least 64"),
        ({"image_size": 31}, "Expected `image_size` to be at least 32, but got 31"),
        ({"seed": -1}, "Expected `seed` to be at least 0, but got -1"),
        (
            {"dataset": "ham"},
            "Expected `dataset` to be one of pad_ufes_20, isic_2019, derm7pt, but got 'ham'",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_demo(tmp_path / "demo", **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dataset", NAMES)
def test_the_smallest_demo_has_eight_cases_of_each_class(
    tmp_path: Path, dataset: DemoDataset
) -> None:
    spec = DATASETS[dataset].spec
    write_demo(tmp_path / "demo", dataset=dataset, num_cases=8 * len(spec.classes), image_size=32)
    cases = DATASETS[dataset].read(tmp_path / "demo", labelled=True).cases
    assert cases["diagnosis"].value_counts()["count"].to_list() == [8] * len(spec.classes)
    plain = json.loads((tmp_path / "demo" / "truth.json").read_text())
    assert plain["masks"] == "masks"
