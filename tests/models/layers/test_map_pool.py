from __future__ import annotations

import pytest
import torch

import tests.tasks  # noqa: F401  (it registers an encoder with register tokens)
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.layers.map_pool import MapPool


@pytest.mark.parametrize(
    ("name", "prefix", "count"),
    [
        ("test_vit", 1, 2),
        ("vitatt_test_registers", 4, 2),
        ("vitatt_test_siglip", 1, 2),
        ("vitatt_test_mean", 3, 1),
        ("test_efficientnet", 1, 1),
    ],
)
def test_registers_are_left_out_and_a_mean_is_not_taken_twice(
    name: str, prefix: int, count: int
) -> None:
    encoder = make_encoder(name, image_size=64)
    tokens = torch.randn(3, encoder.num_prefix + encoder.num_patches, encoder.dim)
    assert encoder.num_prefix == prefix
    pool = MapPool(encoder)
    mean = sum(tokens[:, n] for n in range(prefix, tokens.shape[1])) / encoder.num_patches
    expected = torch.stack([tokens[:, 0], mean][2 - count :], dim=1)
    assert pool.count == count
    torch.testing.assert_close(pool(tokens), expected)
