"""Published datasets, read from tiny files in their layouts."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.published_files import PUBLISHED, write_published
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS
from vitatt.data.datasets.publications import PUBLICATIONS
from vitatt.data.datasets.table import LesionTable
from vitatt.types import DataError


def dataset_of(layout: str) -> str:
    return layout.removesuffix("_jpeg")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("published")
    for layout in PUBLISHED:
        write_published(layout, root / layout)
    return {layout: root / layout for layout in PUBLISHED}


def table_of(folder: Path, *, labelled: bool = True) -> LesionTable:
    return DATASETS[dataset_of(folder.name)].read(folder, labelled=labelled)


def test_every_published_dataset_has_a_layout_and_is_listed() -> None:
    assert {dataset_of(layout) for layout in PUBLISHED} == set(DATASETS) == set(PUBLICATIONS)


@pytest.mark.parametrize("layout", PUBLISHED)
def test_every_case_has_its_image_group_and_class(layout: str, folders: dict[str, Path]) -> None:
    table = table_of(folders[layout])
    assert table.absent == []
    assert set(table.cases["diagnosis"]) == set(table.spec.classes)
    assert table.cases["group"].null_count() == 0
    assert table.cases["image"].n_unique() == table.cases.height
    observed = [name for name in table.cases.columns if table.cases[name].null_count() == 0]
    assert {"case_id", "group", "diagnosis", "image"} <= set(observed)
    empty = [
        feature.name
        for feature in table.spec.features
        if table.cases[feature.name].null_count() == table.cases.height
    ]
    assert sorted(empty) == sorted(table.lacking)
    assert not any("unpublished" in note or "differently" in note for note in table.notes)


def test_labels_are_those_of_the_files(folders: dict[str, Path]) -> None:
    frame = pl.read_csv(folders["derm7pt"] / "meta" / "meta.csv", infer_schema=False)
    classes = dict(zip(frame["case_num"], frame["diagnosis"], strict=True))
    names = {"reed or spitz nevus": "NEV", "melanoma (in situ)": "MEL", "vascular lesion": "MISC"}
    for case, found in table_of(folders["derm7pt"]).cases.select("case_id", "diagnosis").rows():
        assert names.get(classes[case], found) == found
    frame = pl.read_csv(folders["isic_2024"] / "train-metadata.csv", infer_schema=False)
    expected = {"0": "benign", "1": "malignant"}
    assert table_of(folders["isic_2024"]).cases["diagnosis"].to_list() == [
        expected[one] for one in frame["target"]
    ]


def test_both_forms_of_isic_2024_are_alike(folders: dict[str, Path]) -> None:
    kaggle, archive = (table_of(folders[name]) for name in ("isic_2024", "isic_2024_jpeg"))
    assert archive.cases.drop("image").equals(kaggle.cases.drop("image"))
    modules = [
        LesionDataModule(
            "isic_2024", str(folders[name]), image_size=8, cache_dir=str(folders[name] / "cache")
        )
        for name in ("isic_2024", "isic_2024_jpeg")
    ]
    one, other = (module.dataset_of("test").batches(64) for module in modules)
    for left, right in zip(one, other, strict=True):
        assert left.case_id == right.case_id
        assert left.image.values.equal(right.image.values)  # type: ignore[union-attr]


def test_the_label_of_a_lesion_is_that_of_both_images(folders: dict[str, Path]) -> None:
    cases = table_of(folders["milk10k"]).cases
    assert cases["group"].to_list() == cases["case_id"].to_list()
    frame = pl.read_csv(folders["milk10k"] / "MILK10k_Training_Metadata.csv")
    for lesion, images in cases.select("case_id", "image").rows():
        of_lesion = frame.filter(lesion_id=lesion)
        for view, image in zip(("clinical: close-up", "dermoscopic"), images, strict=True):
            assert Path(image).stem == of_lesion.filter(image_type=view)["isic_id"].item()
    truth = pl.read_csv(folders["milk10k"] / "MILK10k_Training_GroundTruth.csv")
    for lesion, diagnosis in cases.select("group", "diagnosis").rows():
        assert truth.filter(lesion_id=lesion)[diagnosis].to_list() == [1.0]


def test_a_lesion_without_an_image_is_said(folders: dict[str, Path], tmp_path: Path) -> None:
    root = Path(shutil.copytree(folders["milk10k"], tmp_path / "milk10k"))
    path = root / "MILK10k_Training_Metadata.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-2]) + "\n")
    table = table_of(root)
    assert table.cases.height == 60
    assert len(table.absent) == 1
    assert any("1 labelled cases are not in MILK10k_Training_Metadata" in n for n in table.notes)


def test_an_uncertain_diagnosis_is_left_out(folders: dict[str, Path]) -> None:
    table = table_of(folders["isic_archive"])
    assert table.cases.height == 45
    assert "15 rows of metadata.csv have no label or indeterminate and are left out." in table.notes
    assert table_of(folders["isic_archive"], labelled=False).cases.height == 60


def test_groups_are_lesions_where_there_are_no_patients(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    root = Path(shutil.copytree(folders["isic_archive"], tmp_path / "isic_archive"))
    path = root / "metadata.csv"
    frame = pl.read_csv(path, infer_schema=False)
    frame.drop("patient_id").write_csv(path)
    table = table_of(root)
    assert set(table.cases["group"]) <= set(frame["lesion_id"])
    assert "metadata.csv has no patient_id: groups are those of lesion_id." in table.notes
    frame.drop("patient_id", "lesion_id").write_csv(path)
    with pytest.raises(DataError, match=r"metadata\.csv has no column patient_id"):
        table_of(root)


@pytest.mark.filterwarnings("ignore:15 rows of metadata.csv have no label:UserWarning")
def test_optional_features_without_a_value_are_not_used(folders: dict[str, Path]) -> None:
    root = folders["isic_archive"]
    module = LesionDataModule(
        "isic_archive", str(root), image_size=8, cache_dir=str(root / "cache")
    )
    used = [feature.name for feature in module.task.features]
    expected = ["age_approx", "sex", "anatom_site_1", "fitzpatrick_skin_type", "image_type"]
    assert used == expected
    named = LesionDataModule(
        "isic_archive",
        str(root),
        features=["sex", "anatom_site_2"],
        image_size=8,
        cache_dir=str(root / "cache"),
    )
    with pytest.raises(DataError, match="'anatom_site_2' is missing in all"):
        _ = named.task


@pytest.mark.parametrize(
    ("dataset", "column", "reason"),
    [
        ("isic_2024", "iddx_full", "it gives the label away"),
        ("isic_2024", "lesion_id", "its presence gives the label away"),
        ("isic_2024", "tbp_lv_dnn_lesion_confidence", "new cases do not have"),
        ("isic_2020", "benign_malignant", "it is the label"),
        ("ham10000", "dx_type", "how the diagnosis was confirmed"),
        ("derm7pt", "management", "it follows from the diagnosis"),
        ("milk10k", "image_manipulation", "what was done to the image"),
        ("isic_archive", "diagnosis_3", "it gives the label away"),
        ("pad_ufes_20", "biopsed", "every cancer was confirmed by biopsy"),
    ],
)
def test_published_leaks_are_barred(dataset: str, column: str, reason: str) -> None:
    with pytest.raises(DataError, match=f"'{column}' of .* cannot be a feature: .*{reason}"):
        DATASETS[dataset].spec.select([column])
