"""What a case looks like once a part of it is hidden."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.tasks import CARDINALITIES, make_batch, make_network, make_task, tensors
from vitatt.explain.attention.differentiation import own_inputs
from vitatt.explain.methods.perturb import fill, perturb, perturb_features, pixel_mask
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.types import LesionBatch, Pixels

SIZE, GRID, PATCH = 5, 3, 16
TASK = make_task(image_size=GRID * PATCH)
MEAN = (131, 122, 94)
"""Not the encoder's own: (0.5, 0.5, 0.5) would not tell the channels apart."""


@pytest.fixture
def batch() -> LesionBatch:
    return make_batch(TASK, SIZE)


@pytest.fixture
def patches() -> Tensor:
    chosen = torch.rand(SIZE, GRID, GRID, generator=torch.Generator().manual_seed(1)) < 0.4
    chosen[0], chosen[1] = True, False
    return chosen


@pytest.fixture
def features() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(SIZE, len(CARDINALITIES), generator=generator) < 0.5


def network_of(**arguments: object) -> torch.nn.Module:
    network = make_network(TASK, **arguments)
    network.encoder.mean.copy_(torch.tensor([130.6, 122.4, 93.51]).view(1, 3, 1, 1))
    return network


def test_hidden_pixels_take_the_rounded_mean_colour(
    batch: LesionBatch, patches: Tensor, features: Tensor
) -> None:
    hidden = perturb(network_of(), batch, patches, features)
    assert hidden.pixels.dtype == torch.uint8
    actual, before = hidden.pixels.numpy(), batch.pixels.numpy()
    for case in range(SIZE):
        for y in range(GRID * PATCH):
            for x in range(GRID * PATCH):
                if patches[case, y // PATCH, x // PATCH]:
                    assert tuple(actual[case, :, y, x]) == MEAN
                else:
                    assert np.array_equal(actual[case, :, y, x], before[case, :, y, x])
    assert (hidden.pixels != batch.pixels).any()


def test_hidden_pixels_of_a_float_image_take_the_mean_itself(
    batch: LesionBatch, patches: Tensor, features: Tensor
) -> None:
    network = network_of()
    whole = batch.with_pixels(batch.pixels.float() + 0.25)
    image = perturb(network, whole, patches, features).pixels
    assert image.dtype == torch.float32
    inside = np.kron(patches.numpy(), np.ones((1, PATCH, PATCH))) > 0
    for channel in range(3):
        values = image[:, channel].numpy()
        assert (values[inside] == network.encoder.mean[0, channel].item()).all()
        assert (values[~inside] == whole.pixels[:, channel].numpy()[~inside]).all()
    # Normalisation turns it into zero.
    assert fill(network, whole.pixels).sub(network.encoder.mean).abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hidden_features_are_missing_and_uniform(features: Tensor, dtype: torch.dtype) -> None:
    batch = make_batch(TASK, SIZE, dtype=dtype)
    hidden = perturb_features(network_of(), batch, features)
    assert hidden.metadata.dtype == dtype
    changed = 0
    for case in range(SIZE):
        start = 0
        for number, cardinality in enumerate(CARDINALITIES):
            block = slice(start, start + cardinality)
            start += cardinality
            if features[case, number]:
                expected = torch.tensor([1 / cardinality] * cardinality, dtype=dtype)
                changed += 1
                assert hidden.missing[case, number]
            else:
                expected = batch.metadata[case, block]
                assert hidden.missing[case, number] == batch.missing[case, number]
            torch.testing.assert_close(hidden.metadata[case, block], expected, rtol=0, atol=0)
    assert 0 < changed < SIZE * len(CARDINALITIES)


def test_everything_else_stays(batch: LesionBatch, patches: Tensor, features: Tensor) -> None:
    before = own_inputs(batch)._replace(case_id=list(batch.case_id))
    chosen = patches.clone(), features.clone()
    network = network_of()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    hidden = perturb(network, batch, patches, features)
    for part, copy in zip(tensors(batch), tensors(before), strict=True):
        assert torch.equal(part, copy)
    assert torch.equal(patches, chosen[0])
    assert torch.equal(features, chosen[1])
    assert torch.equal(hidden.target, before.target)
    assert list(hidden.case_id) == list(before.case_id)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name])
    # What comes back is not the caller's memory: it may be written to.
    hidden.pixels.zero_()
    hidden.metadata.zero_()
    hidden.missing.zero_()
    for part, copy in zip(tensors(batch), tensors(before), strict=True):
        assert torch.equal(part, copy)


def test_hiding_nothing_changes_nothing(batch: LesionBatch) -> None:
    nothing = torch.zeros(SIZE, GRID, GRID, dtype=torch.bool)
    hidden = perturb(network_of(), batch, nothing, torch.zeros_like(batch.missing))
    for part, expected in zip(tensors(hidden), tensors(batch), strict=True):
        assert torch.equal(part, expected)


def test_hiding_is_final(batch: LesionBatch, patches: Tensor, features: Tensor) -> None:
    """Hidden twice is hidden once, and it does not matter what stood there."""
    network = network_of()
    once = perturb(network, batch, patches, features)
    twice = perturb(network, once, patches, features)
    other = batch._replace(image=Pixels(255 - batch.pixels), metadata=batch.metadata.flip(0))
    everything = torch.ones_like(patches), torch.ones_like(features)
    for one, same in zip(tensors(once), tensors(twice), strict=True):
        assert torch.equal(one, same)
    of_one, of_other = (perturb(network, each, *everything) for each in (batch, other))
    assert torch.equal(of_one.pixels, of_other.pixels)
    assert torch.equal(of_one.metadata, of_other.metadata)
    assert not torch.equal(perturb(network, other, patches, features).pixels, once.pixels)


def test_a_network_without_metadata_keeps_them(
    batch: LesionBatch, patches: Tensor, features: Tensor
) -> None:
    hidden = perturb(network_of(fusion=ImageOnly), batch, patches, features)
    assert torch.equal(hidden.metadata, batch.metadata)
    assert torch.equal(hidden.missing, batch.missing)
    assert (hidden.pixels[0] == torch.tensor(MEAN).view(3, 1, 1)).all()


@pytest.mark.parametrize(("rows", "columns", "height", "width"), [(3, 3, 16, 16), (2, 5, 4, 7)])
def test_geometry_of_the_mask(rows: int, columns: int, height: int, width: int) -> None:
    patches = torch.rand(4, rows, columns, generator=torch.Generator().manual_seed(0)) < 0.5
    image = torch.zeros(4, 3, rows * height, columns * width)
    mask = pixel_mask(patches, image)
    assert mask.shape == (4, 1, rows * height, columns * width)
    assert mask.dtype == torch.bool
    expected = np.kron(patches.numpy(), np.ones((1, height, width), dtype=np.uint8)).astype(bool)
    assert np.array_equal(mask[:, 0].numpy(), expected)


def test_the_encoder_sees_the_same_patches_hidden() -> None:
    """The mask's patch (y, x) is the encoder's token y * w + x."""
    network = make_network(TASK).double()
    batch = make_batch(TASK, 1, dtype=torch.float64)
    encoder = network.encoder
    nothing = torch.zeros_like(batch.missing)
    with torch.no_grad():
        before = encoder.embed(batch.pixels)[0, encoder.num_prefix :]
        for y, x in ((0, 1), (1, 0), (2, 1)):
            patches = torch.zeros(1, GRID, GRID, dtype=torch.bool)
            patches[0, y, x] = True
            image = perturb(network, batch, patches, nothing).pixels
            after = encoder.embed(image)[0, encoder.num_prefix :]
            changed = (after - before).abs().amax(1) > 1e-9
            assert changed.nonzero().flatten().tolist() == [y * GRID + x]
