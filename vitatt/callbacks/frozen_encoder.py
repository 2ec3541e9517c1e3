"""Tokens of the encoder's frozen blocks, computed once, and training on them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar

import lightning
import numpy as np
import polars as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from torch import Tensor

from vitatt.callbacks.batches import datamodule_of
from vitatt.data.datamodule import SplitName
from vitatt.data.dataset import PixelSource
from vitatt.data.images.token_cache import TokenCache
from vitatt.data.images.transforms import TrainingAugmentation
from vitatt.data.views import slots_of
from vitatt.models.classifier import LesionClassifier
from vitatt.models.encoders.base import ImageEncoder
from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.types import Tokens, UsageError


class TokenCaching(Callback):
    """Train on cached tokens of the encoder's frozen blocks.

    Training cases come in one of `augmentations` versions, chosen anew in every epoch; validation
    cases in the plain one. Maps, `vitatt test` and `vitatt predict` see pixels.

    Args:
        augmentations: Augmented versions of each training image; 0 computes tokens in every step.
    """

    ranges: ClassVar[Ranges] = {"augmentations": Range(least=0)}

    def __init__(self, augmentations: int = 0) -> None:
        check_ranges(self.ranges, locals(), "token_cache")
        self.augmentations = augmentations

    def on_fit_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Compute the tokens that are not cached yet, and serve them instead of pixels."""
        assert isinstance(pl_module, LesionClassifier)
        if self.augmentations == 0 or pl_module.network.encoder is None:
            return
        if pl_module.device_mesh is not None:
            raise UsageError(
                "A network that is divided among processes cannot train on cached tokens: set "
                "`token_cache.augmentations` to 0, or `trainer.strategy` to ddp."
            )
        self.serve(trainer, pl_module, ("val", "train"))
        rank_zero_info(
            f"Training on {self.augmentations} cached augmentations of each image, through the "
            f"lower {pl_module.network.cached_blocks} of the encoder's "
            f"{pl_module.network.encoder.num_blocks} blocks."
        )

    def serve(
        self, trainer: lightning.Trainer, module: LesionClassifier, splits: Sequence[SplitName]
    ) -> None:
        """Serve tokens of these splits, and compute those that are not cached yet.

        Raises:
            UsageError: If the network's tokens cannot be computed beforehand.
        """
        tokens, datamodule = (
            FrozenTokens(trainer, module, self.augmentations),
            datamodule_of(trainer),
        )
        for split in splits:
            count = self.augmentations if split == "train" else 0
            datamodule.use_source(split, tokens.source(datamodule.cases(split), count))

    def plain_tokens(
        self, trainer: lightning.Trainer, module: LesionClassifier, cases: pl.DataFrame
    ) -> TokenSource:
        """Tokens of images without augmentation; those that are not cached yet are computed.

        Args:
            trainer: Has the data and the precision.
            module: Has the network.
            cases: Rows of labelled cases.

        Raises:
            UsageError: If the network's tokens cannot be computed beforehand.
        """
        return FrozenTokens(trainer, module, self.augmentations).source(cases, augmentations=0)

    def prepare(self, trainer: lightning.Trainer, module: LesionClassifier) -> None:
        """Compute every version of every image, for later trainings as well.

        Raises:
            UsageError: If the network's tokens cannot be computed beforehand.
        """
        labelled = datamodule_of(trainer).labelled
        slots = slots_of(labelled.frame, labelled.cache)
        FrozenTokens(trainer, module, self.augmentations).fill(slots, range(1 + self.augmentations))


class FrozenTokens:
    """The cached tokens of a network's frozen blocks, and how they are computed.

    Args:
        trainer: Has the data and the precision.
        module: Has the network.
        augmentations: Augmented versions of each image.

    Attributes:
        cache: Where they are.

    Raises:
        UsageError: If the network's tokens cannot be computed beforehand.
    """

    def __init__(
        self, trainer: lightning.Trainer, module: LesionClassifier, augmentations: int
    ) -> None:
        encoder = module.network.encoder
        blocks = module.network.cached_blocks
        if encoder is None or not blocks:
            raise UsageError(
                f"Expected frozen encoder blocks below those that metadata joins, to cache their "
                f"tokens (`token_cache.augmentations: {augmentations}`), but got none: set "
                "`token_cache.augmentations` to 0, or `model.freeze_encoder` to true or a number "
                "of lower blocks and `join_at`, if it is given, above 0."
            )
        datamodule = datamodule_of(trainer)
        self._trainer = trainer
        self._encoder = encoder
        self._blocks = blocks
        self._device = module.device
        self._images = datamodule.labelled.cache
        self._seed = datamodule.fold_spec.seed
        self._augmentation = TrainingAugmentation(datamodule.image_size)
        self.cache = TokenCache(
            datamodule.cache_dir,
            key="\n".join(
                [
                    _digest(encoder),
                    repr(encoder.backbone),
                    str(blocks),
                    repr(self._augmentation),
                    self._images.key,
                    str(self._seed),
                    str(trainer.precision),
                ]
            ),
            num_slots=len(self._images.pixels),
            num_versions=1 + augmentations,
            token_shape=encoder.token_shape(blocks),
        )

    def fill(self, slots: NDArray[np.int64], versions: Sequence[int]) -> None:
        """Compute the tokens of these images in these versions, as far as they are not there."""
        slots = slots[slots >= 0]
        for version in versions:
            self.cache.fill(slots, version, self._pixels, self._encode)

    def source(self, cases: pl.DataFrame, augmentations: int) -> TokenSource:
        """The tokens of labelled cases; those that are not there yet are computed.

        The encoder takes them from then on for what its frozen blocks would compute.

        Args:
            cases: Rows.
            augmentations: Augmented versions to choose from; 0 for the plain image.
        """
        slots = slots_of(cases, self._images)
        self.fill(slots, range(1, 1 + augmentations) if augmentations else (0,))
        self._encoder.given_blocks = self._blocks
        return TokenSource(self.cache, slots, augmentations)

    def _pixels(self, slots: NDArray[np.int64], version: int) -> Tensor:
        source = PixelSource(self._images, slots, self._augmentation if version else None)
        seeds = [hash((self._seed, version, int(slot))) & 0xFFFFFFFF for slot in slots]
        return source.fetch(np.arange(len(slots)), seeds).values

    @torch.inference_mode()
    def _encode(self, image: Tensor) -> Tensor:
        with self._trainer.precision_plugin.forward_context():
            return self._encoder.tokens_after(image.to(self._device), self._blocks)


class TokenSource:
    """Cached tokens as the image part of a batch.

    Args:
        cache: Filled for these images.
        slots: Slot of each row, (N,), or of its views, (N, V), -1 for absent ones.
        augmentations: Augmented versions to choose from by a row's seed; 0 for the plain image.
    """

    def __init__(self, cache: TokenCache, slots: NDArray[np.int64], augmentations: int) -> None:
        self._cache = cache
        self._slots = slots
        self._augmentations = augmentations

    def fetch(self, rows: NDArray[np.int64], seeds: Sequence[int]) -> Tokens:
        """Tokens, float16; those of absent views are 0."""
        slots = self._slots[rows]
        if slots.ndim == 1:
            return Tokens(self._cache.fetch(slots, self._drawn(seeds)))
        present = torch.from_numpy(slots >= 0)
        of_views = [hash((seed, view)) for seed in seeds for view in range(slots.shape[1])]
        tokens = self._cache.fetch(slots.ravel().clip(0), self._drawn(of_views))
        tokens = tokens.unflatten(0, slots.shape) * present[..., None, None]
        return Tokens(tokens.flatten(1, 2), ~present)

    def _drawn(self, seeds: Sequence[int]) -> list[int]:
        return [1 + seed % self._augmentations if self._augmentations else 0 for seed in seeds]


def _digest(encoder: ImageEncoder) -> str:
    """Digest of everything that the tokens depend on."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in encoder.frozen_state().items():
        digest.update(name.encode())
        flat = tensor.detach().cpu().flatten()  # a count of batches has no dimension
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
