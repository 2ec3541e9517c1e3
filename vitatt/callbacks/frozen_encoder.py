"""Tokens of the encoder's frozen blocks, computed once, and training on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor

from vitatt.data.datamodule import LesionDataModule, Part
from vitatt.data.dataset import PixelSource
from vitatt.data.token_cache import TokenCache
from vitatt.data.transforms import TrainingAugmentation
from vitatt.models.classifier import LesionClassifier
from vitatt.models.image_encoder import ImageEncoder
from vitatt.types import UsageError


class TokenCaching(Callback):
    """Trains on cached tokens of the encoder's frozen blocks.

    Training cases come in one of `views` augmented views, chosen anew in every epoch; validation
    cases in the plain one. Maps, `vitatt test` and `vitatt predict` see pixels.

    Args:
        views: Augmented views of each training image; 0 computes tokens in every step.
    """

    def __init__(self, views: int = 0) -> None:
        if views < 0:
            raise UsageError(f"Expected `token_cache.views` to be at least 0, but got {views}.")
        self.views = views

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Compute what is not cached yet, and serve tokens instead of pixels."""
        assert isinstance(pl_module, LesionClassifier)
        encoder = pl_module.network.encoder
        if self.views == 0 or encoder is None:
            return
        if not pl_module.network.takes_tokens:
            raise UsageError(
                "Expected frozen encoder blocks through which no metadata passes, to cache their "
                "tokens: set `model.freeze_encoder` to true, or to a number of lower blocks that "
                "is not above `join_at`, or set `token_cache.views` to 0."
            )
        datamodule = trainer.datamodule
        assert isinstance(datamodule, LesionDataModule)
        images = datamodule.labelled.cache
        augmentation = TrainingAugmentation(datamodule.image_size)
        shape = (encoder.num_prefix + encoder.num_patches, encoder.dim)
        tokens = TokenCache(
            datamodule.cache_dir,
            key="\n".join(
                [
                    _digest(encoder),
                    repr(encoder.vit),
                    str(encoder.frozen_blocks),
                    repr(augmentation),
                    images.key,
                    str(datamodule.split.seed),
                    str(trainer.precision),
                ]
            ),
            num_slots=len(images.pixels),
            num_views=1 + self.views,
            token_shape=shape,
        )

        def pixels(slots: NDArray[np.int64], view: int) -> Tensor:
            changed = None if view == 0 else augmentation
            source = PixelSource(images, slots, changed)
            seeds = [hash((datamodule.split.seed, view, int(slot))) & 0xFFFFFFFF for slot in slots]
            return source.fetch(np.arange(len(slots)), seeds)

        @torch.inference_mode()
        def encode(image: Tensor) -> Tensor:
            with trainer.precision_plugin.forward_context():
                return encoder.tokens_after(image.to(pl_module.device), encoder.frozen_blocks)

        slots = {part: images.rows(datamodule.part(part)["image"].to_list()) for part in _PARTS}
        tokens.fill(slots["val"], 0, pixels, encode)
        for view in range(1, 1 + self.views):
            tokens.fill(slots["train"], view, pixels, encode)
        encoder.given_blocks = encoder.frozen_blocks
        datamodule.use_source("train", TokenSource(tokens, slots["train"], self.views))
        datamodule.use_source("val", TokenSource(tokens, slots["val"], 0))
        rank_zero_info(
            f"Training on {self.views} cached views of each image; {encoder.frozen_blocks} of the "
            f"encoder's {encoder.num_blocks} blocks rest."
        )


class TokenSource:
    """Cached tokens as the image part of a batch.

    Args:
        cache: Filled for these images.
        slots: Slot of each row.
        views: Augmented views to choose from by a row's seed; 0 for the plain view.
    """

    def __init__(self, cache: TokenCache, slots: NDArray[np.int64], views: int) -> None:
        self._cache = cache
        self._slots = slots
        self._views = views

    def fetch(self, rows: NDArray[np.int64], seeds: Sequence[int]) -> Tensor:
        """Tokens (B, N, D) float16."""
        views = [1 + seed % self._views if self._views else 0 for seed in seeds]
        return self._cache.fetch(self._slots[rows], views)


_PARTS: tuple[Part, ...] = ("train", "val")


def _digest(encoder: ImageEncoder) -> str:
    """What the tokens depend on: every frozen weight, and the pixel statistics."""
    digest = hashlib.blake2b(digest_size=16)
    frozen = [(name, p) for name, p in encoder.named_parameters() if not p.requires_grad]
    for name, tensor in [*frozen, *encoder.named_buffers()]:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
