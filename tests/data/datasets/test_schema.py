from __future__ import annotations

import pytest

from vitatt.data.datasets import DATASETS
from vitatt.data.datasets.schema import DatasetSpec
from vitatt.types import DataError

PAD_UFES_20 = DATASETS["pad_ufes_20"]
ISIC_2019 = DATASETS["isic_2019"]


@pytest.mark.parametrize("spec", [PAD_UFES_20.spec, ISIC_2019.spec], ids=lambda spec: spec.name)
class TestEverySpec:
    def test_is_consistent(self, spec: DatasetSpec) -> None:
        names = [feature.name for feature in spec.features]
        assert len(set(names)) == len(names)
        assert not set(names) & set(spec.barred)
        assert set(spec.class_titles) == set(spec.classes)
        assert all(bool(f.unit) == (f.kind == "numeric") for f in spec.features)

    def test_all_features_unless_named(self, spec: DatasetSpec) -> None:
        assert spec.select(None) == spec.features
        assert spec.select([]) == ()

    def test_selection_keeps_the_datasets_order(self, spec: DatasetSpec) -> None:
        names = [feature.name for feature in spec.features]
        assert [f.name for f in spec.select(names[2::-1])] == names[:3]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["age", "biopsed"], r"'biopsed' of PAD-UFES-20 cannot be .* gives the label away.*Remove"),
        (["diagnostic"], "it is the label"),
        (["patient_id"], "identifies the patient"),
        (["lesion_id"], "identifies the lesion"),
        (["img_id"], "identifies the image"),
        (["age", "hair", "eyes"], r"got \['hair', 'eyes'\].*It has: smoke, .*age.*elevation"),
        (["Age"], r"got \['Age'\]"),
        (["age", "itch", "age"], r"once, but got \['age', 'itch', 'age'\]"),
    ],
)
def test_features_that_cannot_be(names: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        PAD_UFES_20.spec.select(names)
