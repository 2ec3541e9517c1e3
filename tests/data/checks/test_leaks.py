"""Each leak is planted in demo data and must be named; clean data must not be accused."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from PIL import Image, ImageEnhance

from vitatt.data.checks.check_data import check
from vitatt.data.checks.leaks import (
    COPY,
    ENCODING,
    GAPS,
    IMAGES,
    Finding,
    check_encoding,
    find_leaks,
    label_copies,
    missing_pattern,
    require_no_leaks,
    shared_images,
)
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS
from vitatt.data.metadata.association import associate
from vitatt.data.metadata.encoding import fit_features
from vitatt.types import DataError

PAD_UFES_20 = DATASETS["pad_ufes_20"]

pytestmark = pytest.mark.long

Make = Callable[..., LesionDataModule]
FEATURES = PAD_UFES_20.spec.features
AGE = [feature for feature in FEATURES if feature.name == "age"]


@pytest.fixture
def plant(make_module: Make) -> Make:
    """A data module whose columns were changed as they are read."""

    def planted(settings: dict[str, object] | None = None, **columns: pl.Expr) -> LesionDataModule:
        module = make_module(**(settings or {}))
        frame = module.labelled.frame.with_columns(**columns)
        module.fold_data.labelled = module.labelled._replace(frame=frame)
        return module

    return planted


def failed(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.check, one.culprit) for one in findings if not one.ok]


def test_a_sound_dataset_is_not_accused(make_module: Make, isic_demo: Path) -> None:
    for module in (make_module(), make_module(dataset="isic_2019", root=str(isic_demo))):
        findings = find_leaks(module.fold_data)
        assert [one.check for one in findings] == [COPY, GAPS, IMAGES, ENCODING]
        assert failed(findings) == []
        require_no_leaks(findings)


def test_no_features_cannot_leak(make_module: Make) -> None:
    findings = find_leaks(make_module(features="hc-0").fold_data)
    assert failed(findings) == []
    assert [one.outcome for one in findings[:2]] == ["no metadata is used"] * 2


class TestLabelCopies:
    def test_a_category_with_a_few_errors(self, plant: Make) -> None:
        noisy = pl.int_range(pl.len()) < 0.02 * pl.len()
        copy = pl.when(noisy).then(pl.lit("X")).otherwise("diagnosis")
        findings = find_leaks(plant({"features": ["age", "gender"]}, gender=copy).fold_data)
        assert failed(findings) == [(COPY, "gender")]
        assert findings[0].outcome.startswith("'gender' alone gives the diagnosis away: ")
        with pytest.raises(DataError, match=r"'gender' alone gives .*`data\.features`"):
            require_no_leaks(findings)

    def test_a_number_without_order(self, plant: Make) -> None:
        """Means say little of it: each diagnosis lies at both ends."""
        values = {"ACK": 50, "BCC": 10, "MEL": 90, "NEV": 30, "SCC": 70, "SEK": 20}
        sign = pl.when(pl.int_range(pl.len()) % 2 == 0).then(1.0).otherwise(-1.0)
        training = plant(age=pl.col("diagnosis").replace_strict(values) * sign).cases("train")
        assert associate(training, AGE)["association"][0] < 0.5
        (finding,) = label_copies(training, AGE)
        assert (finding.culprit, finding.ok) == ("age", False)

    def test_a_copy_with_gaps(self, plant: Make) -> None:
        """A guess fails where it is not recorded; the association of the rest does not."""
        known = pl.int_range(pl.len()) % 2 == 0
        training = plant(smoke=pl.when(known).then("diagnosis")).cases("train")
        (finding,) = label_copies(training, [f for f in FEATURES if f.name == "smoke"])
        assert (finding.culprit, finding.ok) == ("smoke", False)
        accuracy = float(finding.outcome.split("accuracy ")[1].split(",")[0])
        assert accuracy < 0.9

    def test_two_are_both_named(self, plant: Make) -> None:
        copy = pl.col("diagnosis")
        settings: dict[str, object] = {"features": ["smoke", "age", "region"]}
        findings = find_leaks(plant(settings, smoke=copy, region=copy).fold_data)
        with pytest.raises(DataError) as caught:
            require_no_leaks(findings)
        assert "'smoke' alone" in str(caught.value)
        assert "'region' alone" in str(caught.value)

    def test_few_rows_with_values_of_their_own_are_none(self, make_module: Make) -> None:
        training = make_module().cases("train")
        few = pl.when(pl.int_range(pl.len()) < 2).then(pl.int_range(pl.len()).cast(pl.Float64))
        training = training.with_columns(age=few)
        training = training.with_columns(diagnosis=pl.col("diagnosis").shuffle(seed=1))
        assert associate(training, AGE)["association"][0] == pytest.approx(1)
        assert label_copies(training, AGE)[0].ok

    def test_a_copy_that_is_not_used_does_no_harm(self, plant: Make) -> None:
        module = plant({"features": ["age", "region"]}, gender=pl.col("diagnosis"))
        require_no_leaks(find_leaks(module.fold_data))

    def test_check_data_names_it(self, pad_copy: Path, make_module: Make) -> None:
        path = pad_copy / "metadata.csv"
        frame = pl.read_csv(path, infer_schema=False)
        frame.with_columns(gender="diagnostic").write_csv(path)
        text, problems = check(make_module(root=str(pad_copy), num_folds=2))
        (problem,) = problems
        assert problem.startswith("'gender' alone gives the diagnosis away")
        assert "Leaks looked for\n  copies of the label: 'gender'" in text


class TestMissingPattern:
    def test_gaps_that_tell(self, plant: Make) -> None:
        benign = pl.col("diagnosis").is_in(["ACK", "NEV", "SEK"])
        smoke = pl.when(~benign).then(pl.col("smoke").fill_null("False"))
        module = plant({"features": ["smoke", "age", "itch"]}, smoke=smoke)
        finding = missing_pattern(module.cases("train"), module.fold_data.chosen)
        assert (finding.check, finding.culprit, finding.ok) == (GAPS, "smoke", False)
        association = associate(module.cases("train"), FEATURES).filter(feature="smoke")
        assert f"association {association['missing_association'][0]:.3f}" in finding.outcome
        require_no_leaks(find_leaks(module.fold_data))

    def test_complete_metadata_is_chance(self, plant: Make) -> None:
        finding = missing_pattern(plant(age=pl.lit(3.0)).cases("train"), AGE)
        found, chance = re.findall(r"\d\.\d+", finding.outcome)
        assert float(found) == pytest.approx(float(chance), abs=0.05)
        assert finding.ok


@pytest.mark.filterwarnings("ignore:.*share an image.*")
class TestSharedImages:
    def test_two_patients(self, pad_copy: Path, make_module: Make) -> None:
        table = PAD_UFES_20.read(pad_copy, labelled=True).cases
        one = table.row(0, named=True)
        other = table.filter(pl.col("group") != one["group"]).row(3, named=True)
        shutil.copy(one["image"], other["image"])
        module = make_module(root=str(pad_copy))
        (finding,) = shared_images(module.labelled)
        assert (finding.check, finding.ok) == (IMAGES, False)
        assert finding.culprit == f"{one['case_id']}, {other['case_id']}"
        names = [f"{row['case_id']} ({row['group']})" for row in (one, other)]
        assert finding.outcome.startswith(" = ".join(names))
        assert finding.outcome in check(module).text
        places = [
            name
            for name in ("train", "val", "test")
            for case_id in module.cases(name)["case_id"]
            if case_id in (one["case_id"], other["case_id"])
        ]
        assert len(places) == 2
        assert len(set(places)) == 1, "as the finding says, they are kept together"

    def test_nearly_the_same_of_two_patients(self, pad_copy: Path, make_module: Make) -> None:
        table = PAD_UFES_20.read(pad_copy, labelled=True).cases
        one = table.row(0, named=True)
        other = table.filter(
            (pl.col("group") != one["group"]) & (pl.col("diagnosis") != one["diagnosis"])
        ).row(3, named=True)
        with Image.open(one["image"]) as image:
            ImageEnhance.Brightness(image.convert("RGB")).enhance(0.9).save(other["image"])
        module = make_module(root=str(pad_copy))
        names = "|".join((one["case_id"], other["case_id"]))
        warned = (
            rf"1 pairs of images under two patients are nearly the same \(({names}) and ({names}), "
            r"\.\.\.\): at most 72 of 256 bits .* Their patients are kept together in every split"
        )
        with pytest.warns(UserWarning, match=warned):
            findings = shared_images(module.labelled)
        (finding,) = findings
        assert (finding.check, finding.ok) == (IMAGES, False)
        assert set(finding.culprit.split(", ")) == {one["case_id"], other["case_id"]}
        assert f"{one['case_id']} ({one['group']})" in finding.outcome
        assert re.search(r"nearly the same image \(similarity (1\.00|0\.9\d)\)", finding.outcome)
        text, problems = check(module)
        assert finding.outcome in text
        assert "Images nearly the same under several names: 1\n" in text
        (line,) = [line for line in text.splitlines() if line.endswith("the labels disagree")]
        for row in (one, other):
            assert f"{row['case_id']} ({row['group']}, {row['diagnosis']})" in line
        assert problems == [
            "Pairs of images that are nearly the same, with different diagnoses: 1. One of each is "
            "probably wrong."
        ]
        places = {
            name
            for name in ("train", "val", "test")
            for case_id in module.cases(name)["case_id"]
            if case_id in (one["case_id"], other["case_id"])
        }
        assert len(places) == 1, "as the finding says, they are kept together"

    def test_twice_of_one_patient_is_none(self, pad_copy: Path, make_module: Make) -> None:
        table = PAD_UFES_20.read(pad_copy, labelled=True).cases
        pair = table.filter(pl.col("group").is_duplicated()).partition_by("group")[0]
        shutil.copy(pair["image"][0], pair["image"][1])
        (finding,) = shared_images(make_module(root=str(pad_copy)).labelled)
        assert finding.ok


class TestEncoding:
    def test_fitted_on_all_rows(self, make_module: Make) -> None:
        module = make_module()
        every = fit_features(module.labelled.frame, FEATURES, num_bins=8)
        leaking = dataclasses.replace(module.task, features=every)
        first = next(
            own.name for own, other in zip(module.task.features, every, strict=True) if own != other
        )
        training = module.cases("train")
        check_encoding(module.task, training, FEATURES, 8)
        with pytest.raises(DataError, match=rf"'{first}' was not fitted on the {training.height}"):
            check_encoding(leaking, training, FEATURES, 8)

    def test_each_kind_of_difference_is_named(self, make_module: Make) -> None:
        module = make_module(features=["age", "region"])
        task, training, features = module.task, module.cases("train"), module.fold_data.chosen
        age, region = task.features
        shifted = dataclasses.replace(age, centres=tuple(c + 0.1 for c in age.centres))
        more = dataclasses.replace(region, categories=(*region.categories, "MOON"))
        fewer = dataclasses.replace(region, categories=region.categories[1:])
        for changed, message in (
            ((shifted, region), "'age' .* its centres are"),
            ((age, more), "'region' .* has categories that they lack: MOON"),
            ((age, fewer), f"'region' .* lacks categories that they have: {region.categories[0]}"),
            ((age,), "'region' .* choose it, but it is not among"),
        ):
            leaking = dataclasses.replace(task, features=changed)
            with pytest.raises(DataError, match=message):
                check_encoding(leaking, training, features, 8)
        with pytest.raises(DataError, match=r"'age' .* its centres are"):
            check_encoding(task, training, features, 7)
        counts = dataclasses.replace(task, class_counts=tuple(n + 1 for n in task.class_counts))
        with pytest.raises(DataError, match=r"'diagnosis' .* it counts"):
            check_encoding(counts, training, features, 8)

    def test_a_checkpoint_that_saw_the_test_part(self, make_module: Make) -> None:
        """Its encoding was fitted on all rows: named and refused."""
        module = make_module()
        every = fit_features(module.labelled.frame, FEATURES, num_bins=8)
        leaking = dataclasses.replace(module.task, features=every)
        findings = find_leaks(make_module(task=leaking.to_plain()).fold_data)
        ((name, culprit),) = failed(findings)
        assert name == ENCODING
        with pytest.raises(DataError, match=rf"'{culprit}' .*fit inside the fold"):
            require_no_leaks(findings)
