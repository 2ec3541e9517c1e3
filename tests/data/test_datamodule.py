from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import lightning
import numpy as np
import polars as pl
import pytest
import torch

from vitatt.data import cases as cases_module
from vitatt.data import datamodule as datamodule_module
from vitatt.data import fold as fold_module
from vitatt.data.datamodule import LesionDataModule
from vitatt.data.datasets import DATASETS
from vitatt.data.images.reading import read_image
from vitatt.types import DataError, FoldSpec, LesionBatch, Tokens, UsageError

PAD_UFES_20 = DATASETS["pad_ufes_20"]
ISIC_2019 = DATASETS["isic_2019"]

pytestmark = pytest.mark.long

Make = Callable[..., LesionDataModule]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was told to the user beside warnings."""
    told: list[str] = []
    for module in (cases_module, datamodule_module, fold_module):
        monkeypatch.setattr(module, "rank_zero_info", told.append)
    return told


def all_images(root: Path) -> list[Path]:
    return sorted((root / "images").iterdir())


def same(one: LesionBatch, other: LesionBatch) -> bool:
    tensors = zip((one.pixels, *one[1:4]), (other.pixels, *other[1:4]), strict=True)
    return one.case_id == other.case_id and all(torch.equal(a, b) for a, b in tensors)


class TestTask:
    def test_fields(self, make_module: Make) -> None:
        module = make_module(fold=2, num_folds=4, seed=3, smoothing=0.2, num_bins=5)
        task = module.task
        training = module.cases("train")
        assert task.dataset == "pad_ufes_20"
        assert task.classes == PAD_UFES_20.spec.classes
        counts = [int((training["diagnosis"] == name).sum()) for name in task.classes]
        assert list(task.class_counts) == counts
        assert sum(counts) == training.height
        assert [f.name for f in task.features] == [f.name for f in PAD_UFES_20.spec.features]
        assert (task.smoothing, task.image_size, task.fold_spec) == (0.2, 32, FoldSpec(2, 4, 3, 5))
        assert max(f.cardinality for f in task.features if f.kind == "numeric") == 5

    def test_fitted_on_training_rows_only(self, make_module: Make) -> None:
        module = make_module()
        training = module.cases("train")
        for feature in module.task.features:
            observed = training[feature.name].drop_nulls()
            if feature.kind == "categorical":
                assert set(feature.categories) == set(observed)
            else:
                assert (feature.centres[0], feature.centres[-1]) == (observed.min(), observed.max())

    def test_a_category_elsewhere_is_not_learned(self, pad_copy: Path, make_module: Make) -> None:
        tested = make_module(root=str(pad_copy)).cases("test")["case_id"].to_list()[0]
        path = pad_copy / "metadata.csv"
        frame = pl.read_csv(path, infer_schema=False)
        strange = pl.when(pl.col("img_id") == tested).then(pl.lit("MOON"))
        frame.with_columns(strange.otherwise("region").alias("region")).write_csv(path)
        module = make_module(root=str(pad_copy))
        region = [f.name for f in module.task.features].index("region")
        assert "MOON" not in module.task.features[region].categories
        with pytest.warns(UserWarning, match=r"'region' .* did not see: MOON \(1 cases\)"):
            dataset = module.dataset_of("test")
        row = module.cases("test")["case_id"].to_list().index(tested)
        assert dataset[row].missing[0, region]

    def test_chosen_features_in_the_datasets_order(self, make_module: Make) -> None:
        module = make_module(features=["itch", "age"])
        assert [f.name for f in module.task.features] == ["age", "itch"]
        batch = next(iter(module.val_dataloader()))
        assert batch.metadata.shape[1] == sum(module.task.cardinalities)
        assert batch.missing.shape[1] == 2

    def test_no_features(self, make_module: Make) -> None:
        module = make_module(features=[])
        assert module.task.features == ()
        batch = next(iter(module.train_dataloader()))
        assert batch.metadata.shape == batch.missing.shape == (16, 0)

    def test_isic(self, make_module: Make, isic_demo: Path) -> None:
        module = make_module(dataset="isic_2019", root=str(isic_demo))
        assert module.task.classes == ISIC_2019.spec.classes
        assert min(module.task.class_counts) > 0

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"features": ["biopsed"]}, "gives the label away"),
            ({"features": ["hair"]}, r"\['hair'\]"),
            ({"features": ["age", "age"]}, "each of"),
            ({"smoothing": 1}, r"`data\.smoothing` to be at least 0 and below 1, but got 1"),
            ({"smoothing": float("nan")}, r"`data\.smoothing` .*but got nan"),
            ({"num_bins": 1}, r"`data\.num_bins` to be at least 2, but got 1"),
            ({"fold": -1}, r"`data\.fold` to be at least 0, but got -1"),
            ({"inner_fold": -1}, r"`data\.inner_fold` to be at least 0, but got -1"),
            ({"image_size": 0}, r"`data\.image_size` to be at least 1, but got 0"),
            ({"batch_size": 0}, r"`data\.batch_size` to be at least 1, but got 0"),
            ({"num_workers": -1}, r"`data\.num_workers` to be at least 0, but got -1"),
            ({"seed": -1}, r"`data\.seed` to be at least 0"),
            ({"seed": 2**32}, r"`data\.seed` .*at most 4294967295, but got 4294967296"),
            ({"fold": 5}, r"`data\.fold`"),
            ({"num_folds": 1}, r"`data\.num_folds`"),
            ({"inner_folds": 1}, r"`data\.inner_folds`"),
            ({"inner_fold": 5}, r"`data\.inner_fold` to be one of 0 to 4 .* but got 5"),
            ({"root": None}, r"`data\.root` is not set.*mendeley"),
            ({"root": "/nowhere"}, "/nowhere does not exist"),
        ],
    )
    def test_settings_that_cannot_be(
        self, changes: dict[str, object], message: str, make_module: Make
    ) -> None:
        with pytest.raises(UsageError, match=message):
            make_module(**changes).setup("fit")


class TestParts:
    def test_sizes_and_groups(self, make_module: Make) -> None:
        module = make_module(fold=4)
        parts = {name: module.cases(name) for name in ("train", "val", "test")}
        assert sum(part.height for part in parts.values()) == module.labelled.frame.height == 240
        assert 38 <= parts["test"].height <= 58
        assert 28 <= parts["val"].height <= 50
        for one, other in itertools.combinations(parts.values(), 2):
            assert not set(one["group"]) & set(other["group"])
            assert not set(one["case_id"]) & set(other["case_id"])
        for name, part in parts.items():
            assert len(module.dataset_of(name)) == part.height

    def test_inner_folds_share_the_training_groups_out(self, make_module: Make) -> None:
        modules = [make_module(fold=1, inner_folds=3, inner_fold=n) for n in range(3)]
        tested = modules[0].cases("test")
        validated = [module.cases("val") for module in modules]
        for module, part in zip(modules, validated, strict=True):
            assert module.cases("test").equals(tested)
            assert not set(part["group"]) & set(module.cases("train")["group"])
        for one, other in itertools.combinations(validated, 2):
            assert not set(one["group"]) & set(other["group"])
        groups = {group for part in validated for group in part["group"]}
        assert groups == set(modules[0].labelled.frame["group"]) - set(tested["group"])
        seen = {module.task.seen for module in modules}
        assert len(seen) == 1, "training and validation saw the same cases in all"

    @pytest.mark.parametrize("name", ["val", "test"])
    def test_evaluation_batches_hold_the_rows_of_their_part(
        self, name: str, make_module: Make
    ) -> None:
        module = make_module()
        part = module.cases(name)
        batches = list(getattr(module, f"{name}_dataloader")())
        assert [b for batch in batches for b in batch.case_id] == part["case_id"].to_list()
        classes = list(module.task.classes)
        targets = torch.cat([batch.target for batch in batches]).tolist()
        assert [classes[target] for target in targets] == part["diagnosis"].to_list()
        expected = np.stack([read_image(path, 32) for path in part["image"]])
        pixels = torch.cat([batch.pixels for batch in batches])
        np.testing.assert_array_equal(pixels.permute(0, 2, 3, 1).numpy(), expected)

    def test_training_is_augmented_and_complete(self, make_module: Make) -> None:
        module = make_module(batch_size=15)
        part = module.cases("train")
        batches = list(module.train_dataloader())
        found = [name for batch in batches for name in batch.case_id]
        assert len(set(found)) == len(found) >= part.height - 1
        image = dict(part.select("case_id", "image").iter_rows())
        plain = read_image(image[batches[0].case_id[0]], 32)
        assert not np.array_equal(batches[0].pixels[0].permute(1, 2, 0).numpy(), plain)

    def test_two_modules_of_one_seed_agree(self, make_module: Make) -> None:
        one, other = (next(iter(make_module().train_dataloader())) for _ in range(2))
        assert same(one, other)
        assert not same(one, next(iter(make_module(seed=1).train_dataloader())))

    def test_the_image_sources_turn(self, make_module: Make) -> None:
        class Source:
            def fetch(self, rows, seeds):
                return Tokens(torch.zeros(len(rows), 5, 3))

        module = make_module()
        module.use_source("val", Source())
        assert next(iter(module.val_dataloader())).image.values.shape == (16, 5, 3)
        assert next(iter(module.test_dataloader())).pixels.shape == (16, 3, 32, 32)
        assert module.panel("val", 4)[0].pixels.shape == (4, 3, 32, 32)

    def test_values_in_words(self, make_module: Make) -> None:
        module = make_module(features=["age", "itch"])
        assert module.describe({"age": 55.0, "itch": None}) == ["55 years", None]


class TestGivenTask:
    def test_is_used_as_it_is(self, make_module: Make, pad_demo: Path) -> None:
        first = make_module(features=["age", "region"], smoothing=0.3, seed=1, fold=1)
        plain = json.loads(json.dumps(first.task.to_plain()))
        second = make_module(task=plain, image_size=99, smoothing=0.0, seed=1, fold=1)
        assert second.task == first.task
        assert second.image_size == 32
        for name in ("val", "test"):
            one, other = (getattr(m, f"{name}_dataloader")() for m in (first, second))
            assert all(same(*pair) for pair in zip(one, other, strict=True))

    def test_predicting_needs_no_labelled_data(self, make_module: Make, pad_copy: Path) -> None:
        task = make_module().task
        frame = pl.read_csv(pad_copy / "metadata.csv", infer_schema=False)
        frame.drop("diagnostic", "biopsed").write_csv(pad_copy / "metadata.csv")
        module = make_module(
            root=None, predict_root=str(pad_copy), task=task.to_plain(), image_size=64, fold=3
        )
        module.setup("predict")
        batches = list(module.predict_dataloader())
        found = [name for batch in batches for name in batch.case_id]
        assert found == frame["img_id"].to_list()
        assert {t for batch in batches for t in batch.target.tolist()} == {-1}
        assert {batch.pixels.shape[1:] for batch in batches} == {(3, 32, 32)}

    def test_labels_of_the_data_to_predict_are_kept(
        self, make_module: Make, pad_demo: Path
    ) -> None:
        task = make_module().task.to_plain()
        module = make_module(root=None, predict_root=str(pad_demo), task=task)
        targets = torch.cat([batch.target for batch in module.predict_dataloader()])
        assert targets.min() >= 0

    def test_predicting_needs_its_folder(self, make_module: Make) -> None:
        module = make_module(root=None, task=make_module().task.to_plain())
        with pytest.raises(DataError, match=r"`data\.predict_root` is not set.*mendeley"):
            module.setup("predict")

    def test_of_another_split(self, make_module: Make) -> None:
        task = make_module().task.to_plain()
        for split in ({"fold": 1}, {"seed": 7}, {"num_folds": 4}, {"inner_folds": 3}):
            module = make_module(task=task, **split)
            with pytest.raises(DataError, match=r"fold 0 of 5 \(inner fold 0 of 5, seed 0\).*Set"):
                _ = module.rows
            with pytest.raises(DataError, match="scored as unseen"):
                module.setup("test")

    def test_of_another_inner_fold(self, make_module: Make) -> None:
        task = make_module(inner_fold=1).task
        assert task.fold_spec == FoldSpec(0, 5, 0, 5, 1)
        plain = json.loads(json.dumps(task.to_plain()))
        message = r"inner fold 1 of 5, seed 0\).*\(inner fold 0 of 5.*`data\.inner_fold`"
        with pytest.raises(DataError, match=message):
            make_module(task=plain).setup("validate")
        make_module(task=plain, inner_fold=1).setup("validate")

    @pytest.mark.parametrize("name", ["train", "val"])
    def test_of_other_cases(self, name: str, pad_copy: Path, make_module: Make) -> None:
        first = make_module(root=str(pad_copy))
        Path(first.cases(name)["image"][0]).unlink()
        module = make_module(root=str(pad_copy), task=first.task.to_plain())
        with pytest.raises(DataError, match=r"trained on other cases .*Use the data it was"):
            _ = module.rows

    def test_of_a_moved_dataset_is_welcome(
        self, pad_copy: Path, tmp_path: Path, make_module: Make
    ) -> None:
        first = make_module(root=str(pad_copy))
        task = first.task.to_plain()
        pad_copy.rename(tmp_path / "elsewhere")
        second = make_module(root=str(tmp_path / "elsewhere"), task=task)
        assert all(np.array_equal(*pair) for pair in zip(first.rows, second.rows, strict=True))

    def test_of_another_dataset(self, make_module: Make, isic_demo: Path) -> None:
        task = make_module().task.to_plain()
        module = make_module(dataset="isic_2019", root=str(isic_demo), task=task)
        with pytest.raises(DataError, match=r"trained on pad_ufes_20 .*ACK.* are isic_2019 .*MEL"):
            _ = module.task

    def test_of_other_classes(self, make_module: Make) -> None:
        task = dataclasses.replace(make_module().task, classes=("ACK", "BCC"))
        with pytest.raises(DataError, match="classes ACK, BCC, but"):
            _ = make_module(task=task.to_plain()).task

    def test_of_another_version(self, make_module: Make) -> None:
        with pytest.raises(ValueError, match="another version"):
            make_module(task={"dataset": "pad_ufes_20"})


class TestPanel:
    def test_is_fixed_and_spread_over_the_classes(self, make_module: Make) -> None:
        for size, each in ((6, 1), (12, 2)):
            batch, rows = make_module().panel("val", size)
            again, _ = make_module().panel("val", size)
            assert same(batch, again)
            assert batch.case_id == rows["case_id"].to_list()
            assert rows["diagnosis"].value_counts()["count"].to_list() == [each] * 6

    def test_is_not_augmented_even_in_training(self, make_module: Make) -> None:
        batch, rows = make_module().panel("train", 5)
        expected = np.stack([read_image(path, 32) for path in rows["image"]])
        np.testing.assert_array_equal(batch.pixels.permute(0, 2, 3, 1).numpy(), expected)
        classes = PAD_UFES_20.spec.classes
        assert [classes[t] for t in batch.target.tolist()] == rows["diagnosis"].to_list()

    def test_of_more_cases_than_there_are(self, make_module: Make) -> None:
        module = make_module()
        batch, rows = module.panel("val", 10_000)
        assert sorted(batch.case_id) == sorted(module.cases("val")["case_id"])
        assert len(batch.case_id) == rows.height

    def test_of_cases_without_diagnosis(self, make_module: Make, pad_copy: Path) -> None:
        task = make_module().task.to_plain()
        frame = pl.read_csv(pad_copy / "metadata.csv", infer_schema=False)
        frame.drop("diagnostic").write_csv(pad_copy / "metadata.csv")
        module = make_module(root=None, predict_root=str(pad_copy), task=task)
        batch, rows = module.panel("predict", 4)
        assert batch.case_id == rows["case_id"].to_list() == frame["img_id"].to_list()[:4]


class TestImagesThatCannotBeUsed:
    def test_unreadable_ones_are_counted_and_left_out(
        self, pad_copy: Path, make_module: Make, said: list[str]
    ) -> None:
        spoilt = all_images(pad_copy)[10:13]
        for number, path in enumerate(spoilt):
            path.write_text(f"no image {number}")
        module = make_module(root=str(pad_copy))
        with pytest.warns(UserWarning, match="3 image files cannot be read") as caught:
            found = set(module.labelled.frame["case_id"])
        message = str(caught[0].message)
        assert all(f"{path} is no image" in message for path in spoilt)
        assert found == {p.name for p in all_images(pad_copy)} - {p.name for p in spoilt}
        assert "240 rows, 0 without an image file, 3 with an unreadable one; 237 cases" in said[0]
        assert sum(len(part) for part in module.rows) == 237

    def test_absent_ones_are_counted_and_left_out(
        self, pad_copy: Path, make_module: Make, said: list[str]
    ) -> None:
        for path in all_images(pad_copy)[::60]:
            path.unlink()
        module = make_module(root=str(pad_copy))
        assert module.labelled.frame.height == 236
        assert "240 rows, 4 without an image file, 0 with an unreadable one; 236 cases" in said[0]

    def test_links_to_nowhere_are_left_out(
        self, pad_copy: Path, make_module: Make, said: list[str]
    ) -> None:
        path = all_images(pad_copy)[0]
        path.unlink()
        path.symlink_to("nowhere")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert make_module(root=str(pad_copy)).labelled.frame.height == 239
        assert "240 rows" in said[0]

    def test_none_is_readable(self, pad_copy: Path, make_module: Make) -> None:
        for number, path in enumerate(all_images(pad_copy)):
            path.write_text(f"no image {number}")
        with pytest.raises(DataError, match=r"None of the 240 image files can be read"):
            make_module(root=str(pad_copy)).setup("fit")

    def test_none_is_there(self, pad_copy: Path, make_module: Make) -> None:
        shutil.rmtree(pad_copy / "images")
        with pytest.raises(DataError, match=r"None of the 240 cases .* has an image file under"):
            make_module(root=str(pad_copy)).setup("fit")

    def test_notes_of_the_tables_are_warnings(self, pad_copy: Path, make_module: Make) -> None:
        path = pad_copy / "metadata.csv"
        frame = pl.read_csv(path, infer_schema=False).with_row_index()
        blank = pl.when(pl.col("index") < 2).then(None).otherwise("diagnostic")
        frame.with_columns(blank.alias("diagnostic")).drop("index").write_csv(path)
        with pytest.warns(UserWarning, match=r"2 rows of metadata\.csv have no label"):
            assert make_module(root=str(pad_copy)).labelled.frame.height == 238


class TestTwins:
    def test_are_never_in_two_parts(self, pad_copy: Path, make_module: Make) -> None:
        table = PAD_UFES_20.read(pad_copy, labelled=True).cases
        path = dict(table.select("case_id", "image").iter_rows())
        patients = table.group_by("group", maintain_order=True).agg(pl.col("case_id").first())
        chain = patients["case_id"].to_list()[:12]
        for one, other in itertools.pairwise(chain[:4]):  # two names of one image each
            second = table.filter(pl.col("case_id") == other).row(0, named=True)
            shutil.copy(path[one], second["image"])
        for one, other in zip(chain[4::2], chain[5::2], strict=True):
            shutil.copy(path[one], path[other])
        warned = r"12 cases share an image with another case .*patients are kept together"
        for fold in range(5):
            module = make_module(root=str(pad_copy), fold=fold)
            with pytest.warns(UserWarning, match=warned):
                frame = module.labelled.frame
            group = dict(frame.select("case_id", "group").iter_rows())
            assert len({group[name] for name in chain[:4]}) == 1
            assert len({group[name] for name in chain}) == 5
            content = frame["image"].replace_strict(module.labelled.cache.digests)
            parts = [set(content.gather(part)) for part in module.rows]
            assert all(a.isdisjoint(b) for a, b in itertools.combinations(parts, 2))

    def test_groups_keep_their_names_otherwise(self, make_module: Make, pad_demo: Path) -> None:
        table = PAD_UFES_20.read(pad_demo, labelled=True).cases
        assert make_module().labelled.frame["group"].to_list() == table["group"].to_list()


class TestPosition:
    """Where in an epoch a training is, which checkpoints hold."""

    def test_goes_on_after_it(self, make_module: Make) -> None:
        before = make_module()
        whole = list(before.train_dataloader())
        loader = before.train_dataloader()
        handed_out = iter(loader)
        for _ in range(3):
            next(handed_out)
        after = make_module()
        after.load_state_dict(json.loads(json.dumps(before.state_dict())))
        rest = list(after.train_dataloader())
        assert all(same(*pair) for pair in zip(rest, whole[3:], strict=True))
        again = list(after.train_dataloader())
        assert all(same(*pair) for pair in zip(again, whole, strict=True))

    def test_is_nothing_before_training(self, make_module: Make) -> None:
        module = make_module()
        assert module.state_dict() == {}
        module.load_state_dict({})
        assert len(list(module.train_dataloader())) == len(module.train_dataloader())

    def test_of_another_batch_size(self, make_module: Make) -> None:
        before = make_module()
        before.train_dataloader()
        after = make_module(batch_size=8)
        with pytest.raises(DataError, match=r"`data\.batch_size` to be 16, .* but got 8"):
            _resume(after, before.state_dict())

    @pytest.mark.filterwarnings("ignore")
    def test_evaluation_may_have_another_batch_size(
        self, make_module: Make, tmp_path: Path
    ) -> None:
        model = Counter()
        settings = {"accelerator": "cpu", "devices": 1, "logger": False, "max_steps": 2}
        settings |= {"enable_progress_bar": False, "enable_model_summary": False}
        trainer = lightning.Trainer(**settings, enable_checkpointing=False)
        trainer.fit(model, datamodule=make_module())
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        for evaluate, name in ((trainer.validate, "val"), (trainer.test, "test")):
            model.seen = []
            module = make_module(batch_size=7)
            evaluate(model, datamodule=module, ckpt_path=tmp_path / "last.ckpt", verbose=False)
            assert model.seen == module.cases(name)["case_id"].to_list()


def _resume(module: LesionDataModule, state: dict[str, object]) -> None:
    module.load_state_dict(state)
    module.train_dataloader()


class Counter(lightning.LightningModule):
    """Notes the cases that it evaluates."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[str] = []

    def training_step(self, batch: LesionBatch) -> torch.Tensor:
        return self.weight * 1

    def validation_step(self, batch: LesionBatch) -> None:
        self.seen += batch.case_id

    def test_step(self, batch: LesionBatch) -> None:
        self.seen += batch.case_id

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_setup_finds_errors_before_the_work(stage: str, make_module: Make) -> None:
    with pytest.raises(DataError, match=r"`data\.root` is not set"):
        make_module(root=None).setup(stage)


def test_numbers_are_checked_before_any_work() -> None:
    with pytest.raises(UsageError, match=r"`data\.batch_size` to be at least 1, but got -1"):
        LesionDataModule("pad_ufes_20", root="/nowhere", batch_size=-1)


class TestUngrouped:
    """Images whose lesion is unknown."""

    @pytest.fixture
    def own_isic(self, isic_demo: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(isic_demo, tmp_path / "own"))

    def blank(self, root: Path, share: float) -> pl.DataFrame:
        """The metadata, in which this share of the images now has no lesion."""
        path = root / "ISIC_2019_Training_Metadata.csv"
        frame = pl.read_csv(path, infer_schema=False)
        gone = pl.int_range(pl.len()) < round(share * frame.height)
        lesion = pl.when(gone).then(None).otherwise("lesion_id").alias("lesion_id")
        frame = frame.with_columns(lesion)
        frame.write_csv(path)
        return frame

    def test_as_published_is_reported_and_nothing_more_is_claimed(
        self, own_isic: Path, make_module: Make, said: list[str]
    ) -> None:
        frame = self.blank(own_isic, 0.1)
        count = frame["lesion_id"].null_count()
        assert 0 < count < 0.2 * frame.height
        module = make_module(dataset="isic_2019", root=str(own_isic))
        expected = rf"{count} of {frame.height} images have no lesion_id: each is a group"
        with pytest.warns(UserWarning, match=expected):
            _ = module.rows
        expected = f"no known lesion is in two splits ({count} images have no lesion_id)."
        assert said[-1].endswith(expected)

    def test_needs_a_word(self, own_isic: Path, make_module: Make) -> None:
        frame = self.blank(own_isic, 0.5)
        count = frame["lesion_id"].null_count()
        module = make_module(dataset="isic_2019", root=str(own_isic))
        message = rf"{count} rows of .* have no lesion_id .*two images of one lesion.*allow_ungr"
        with pytest.raises(DataError, match=message):
            module.setup("fit")

    def test_known_lesions_stay_together_nevertheless(
        self, own_isic: Path, make_module: Make
    ) -> None:
        frame = self.blank(own_isic, 0.5)
        lesion = dict(frame.select("image", "lesion_id").drop_nulls().iter_rows())
        assert len(set(lesion.values())) < len(lesion), "some lesion has two images"
        module = make_module(dataset="isic_2019", root=str(own_isic), allow_ungrouped=True)
        with pytest.warns(UserWarning, match="images have no lesion_id"):
            parts = [module.cases(name) for name in ("train", "val", "test")]
        assert sum(part.height for part in parts) == frame.height
        known = [{lesion[i] for i in part["case_id"] if i in lesion} for part in parts]
        assert all(a.isdisjoint(b) for a, b in itertools.combinations(known, 2))

    def test_all_known_is_said_as_before(self, make_module: Make, said: list[str]) -> None:
        _ = make_module().rows
        assert said[-1].endswith("no patient is in two splits.")
