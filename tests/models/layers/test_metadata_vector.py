from __future__ import annotations

import pytest
import torch

from tests.tasks import CARDINALITIES, make_batch, make_task
from vitatt.models.layers.metadata_vector import MetadataVector

TASK = make_task()


def test_the_vector_feature_by_feature() -> None:
    batch = make_batch(TASK)
    vector = MetadataVector(TASK, 0.0, 0.0)
    found = vector(batch.metadata, batch.missing)
    assert found.shape == (8, vector.width) == (8, sum(CARDINALITIES) + 4)
    for case in range(8):
        column = 0
        for feature, count in enumerate(CARDINALITIES):
            gone = bool(batch.missing[case, feature])
            for _ in range(count):
                expected = 1 / count if gone else float(batch.metadata[case, column])
                assert float(found[case, column]) == pytest.approx(expected)
                column += 1
            assert float(found[case, sum(CARDINALITIES) + feature]) == gone


def test_what_is_hidden_in_training_is_as_if_it_were_missing() -> None:
    torch.manual_seed(0)
    batch = make_batch(TASK, 400)
    vector = MetadataVector(TASK, 0.3, 0.2)
    marks = sum(CARDINALITIES)
    found = vector.train()(batch.metadata, batch.missing)
    hidden = found[:, marks:].bool()
    assert (hidden | ~batch.missing).all(), "what is missing stays missing"
    observed = hidden[1:][~batch.missing[1:]].float().mean()
    assert observed.item() == pytest.approx(1 - 0.7 * 0.8, abs=0.06)
    torch.testing.assert_close(vector.eval()(batch.metadata, hidden), found)
    assert torch.equal(vector(batch.metadata, batch.missing)[:, marks:].bool(), batch.missing)


def test_no_features() -> None:
    task = make_task(())
    batch = make_batch(task)
    vector = MetadataVector(task, 0.1, 0.1)
    assert vector.width == 0
    assert vector(batch.metadata, batch.missing).shape == (8, 0)


def test_it_adds_nothing_to_a_checkpoint() -> None:
    assert not MetadataVector(TASK, 0.1, 0.1).state_dict()
