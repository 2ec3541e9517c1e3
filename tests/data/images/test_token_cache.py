from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vitatt.data.images.token_cache import TokenCache
from vitatt.types import DataError

SLOTS, SHAPE = 70, (3, 4)


class Encoder:
    """Tokens that tell slot and view; counts what it encodes, and may die at some image."""

    def __init__(self, die_after: int | None = None) -> None:
        self.seen: list[tuple[int, int]] = []
        self.die_after = die_after

    def pixels(self, slots: np.ndarray, view: int) -> Tensor:
        self.seen += [(int(slot), view) for slot in slots]
        if self.die_after is not None and len(self.seen) > self.die_after:
            raise KeyboardInterrupt
        return torch.from_numpy(slots)[:, None, None] + 1000 * view

    def encode(self, pixels: Tensor) -> Tensor:
        return expected_of(pixels)

    def fill(self, cache: TokenCache, slots: object, view: int) -> None:
        cache.fill(np.asarray(slots, dtype=np.int64), view, self.pixels, self.encode)


def expected_of(pixels: Tensor) -> Tensor:
    return pixels + torch.arange(12.0).reshape(SHAPE) / 16


def expected(slots: list[int], views: list[int]) -> Tensor:
    pixels = torch.tensor(slots) + 1000 * torch.tensor(views)
    return expected_of(pixels[:, None, None]).half()


def make(folder: Path, *, key: str = "weights", views: int = 3) -> TokenCache:
    return TokenCache(folder, key=key, num_slots=SLOTS, num_versions=views, token_shape=SHAPE)


def test_tokens_of_images_in_their_views(tmp_path: Path) -> None:
    cache, encoder = make(tmp_path), Encoder()
    for view in (0, 2):
        encoder.fill(cache, range(SLOTS), view)
    slots, views = [5, 69, 5, 0], [2, 0, 0, 2]
    found = cache.fetch(np.array(slots), views)
    assert found.dtype == torch.float16
    assert torch.equal(found, expected(slots, views))


def test_each_image_is_encoded_once(tmp_path: Path) -> None:
    encoder = Encoder()
    encoder.fill(make(tmp_path), [3, 1, 3, 8], 1)
    assert sorted(encoder.seen) == [(1, 1), (3, 1), (8, 1)]
    encoder.fill(make(tmp_path, views=9), [1, 9, 8], 1)
    assert encoder.seen[3:] == [(9, 1)]
    assert torch.equal(make(tmp_path).fetch(np.array([9, 3]), [1, 1]), expected([9, 3], [1, 1]))


def test_another_key_is_another_cache(tmp_path: Path) -> None:
    encoder = Encoder()
    encoder.fill(make(tmp_path), [1], 0)
    encoder.fill(make(tmp_path, key="other weights"), [1], 0)
    assert encoder.seen == [(1, 0), (1, 0)]


def test_what_was_finished_is_kept(tmp_path: Path) -> None:
    dying = Encoder(die_after=40)
    with pytest.raises(KeyboardInterrupt):
        dying.fill(make(tmp_path), range(SLOTS), 0)
    encoder, cache = Encoder(), make(tmp_path)
    encoder.fill(cache, range(SLOTS), 0)
    assert 0 < len(encoder.seen) < SLOTS
    slots = list(range(SLOTS))
    assert torch.equal(cache.fetch(np.array(slots), [0] * SLOTS), expected(slots, [0] * SLOTS))


def test_tokens_are_computed_again_where_the_large_file_was_deleted(tmp_path: Path) -> None:
    Encoder().fill(make(tmp_path), [1, 2], 0)
    (tokens,) = tmp_path.glob("*.f16")
    tokens.unlink()
    cache = make(tmp_path)
    Encoder().fill(cache, [1, 2], 0)
    assert torch.equal(cache.fetch(np.array([1, 2]), [0, 0]), expected([1, 2], [0, 0]))


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="not reserved here")
def test_a_full_disk_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.posix_fallocate

    def nearly_full(handle: int, offset: int, size: int) -> None:
        if size > SLOTS:
            raise OSError(errno.ENOSPC, "no space left on device")
        real(handle, offset, size)

    encoder = Encoder()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", nearly_full)
        with pytest.raises(DataError, match=r"needs \d+ MB in .*`data\.cache_dir`"):
            encoder.fill(make(tmp_path), [1], 0)
    assert encoder.seen == []
    encoder.fill(make(tmp_path), [1], 0)
    assert torch.equal(make(tmp_path).fetch(np.array([1]), [0]), expected([1], [0]))
