"""The LightningModule: a network with its loss, metrics and optimizer."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import lightning
import torch
from lightning.pytorch.strategies import FSDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from vitatt.models import losses
from vitatt.models.build import build_network
from vitatt.models.checkpoint import add_temperature, read_checkpoint, read_hyper_parameters
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion.naming import class_of, plain_fusion
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.models.losses import ClassWeights, WeightedLoss
from vitatt.models.metrics import LesionMetrics, logged_name
from vitatt.models.optimizer import make_optimizer, warmup_cosine
from vitatt.models.plain_values import read_arguments
from vitatt.models.sharding import require_as_many_batches, shard
from vitatt.models.weight_checks import require_finite, require_fitting
from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.types import LesionBatch, LesionOutput, LesionTask, UsageError


class StepOutput(TypedDict):
    """Loss and predictions of a step, which callbacks read.

    Attributes:
        loss: Scalar.
        probabilities: (B, C), detached.
        target: (B,).
        case_id: Published name of each case.
    """

    loss: Tensor
    probabilities: Tensor
    target: Tensor
    case_id: list[str]


class LesionClassifier(lightning.LightningModule):
    """Skin lesion classification from an image and metadata.

    A checkpoint holds the task (classes, fitted metadata encoding, image size), the pixel
    statistics and all weights: `load_from_checkpoint` needs no other file.

    Args:
        task: Plain form of the `LesionTask`, on the command line that of the data.
        encoder: timm's name of a vision transformer, CNN or Swin transformer.
        encoder_weights: Path of its weights, or of a checkpoint of another training to take the
            encoder from; ``hub`` to download timm's, or None for random ones.
        freeze_encoder: Keep the encoder as it is, or only this number of its lower blocks.
        fusion: The network that fuses image and metadata. In configurations and on the command
            line, a registered name such as vitatt, film or image_only, or the import path of a
            class of your own; in Python, a class, or a `functools.partial` of one with keywords.
        learning_rate: Learning rate of all parameters outside the encoder.
        encoder_learning_rate: Learning rate of the encoder's last block.
        layer_decay: Factor of the learning rate from one encoder block to the one below.
        weight_decay: Decoupled weight decay.
        warmup: Share of all steps with linear warm-up; then learning rates follow a cosine.
        class_weights: Class weights of the loss, computed from the counts of training cases.
        focal_gamma: Focusing parameter of the focal loss; 0 for cross-entropy.
        label_smoothing: Probability mass spread over all classes; not with the focal loss.
        compile: Compile the network with `torch.compile`; explanations do not use this.
        gradient_checkpointing: Compute the encoder's activations again in the backward pass instead
            of storing them: less memory, about a third more arithmetic.

    Raises:
        UsageError: If a number is out of its range, or the encoder, its weights and the network do
            not fit together.
    """

    ranges: ClassVar[Ranges] = {
        "freeze_encoder": Range(least=0),
        "learning_rate": Range(above=0),
        "encoder_learning_rate": Range(least=0),
        "layer_decay": Range(above=0, most=1),
        "weight_decay": Range(least=0),
        "warmup": Range(least=0, most=1),
        "focal_gamma": Range(least=0),
        "label_smoothing": Range(least=0, below=1),
    }

    def __init__(
        self,
        task: dict[str, Any],
        encoder: str = "vit_small_patch14_dinov2",
        encoder_weights: str | None = None,
        freeze_encoder: bool | int = False,
        fusion: Callable[[ImageEncoder, LesionTask], LesionNetwork] = AttentionFusion,
        learning_rate: float = 1e-4,
        encoder_learning_rate: float = 1e-5,
        layer_decay: float = 1.0,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        class_weights: ClassWeights = "balanced",
        focal_gamma: float = 0.0,
        label_smoothing: float = 0.0,
        compile: bool = False,
        gradient_checkpointing: bool = False,
    ) -> None:
        check_ranges(self.ranges, locals(), "model")
        super().__init__()
        self.save_hyperparameters()
        self.hparams.pop("_instantiator", None)  # of LightningCLI: a function, by import path
        self.task = LesionTask.from_plain(task)
        self.network = build_network(
            self.task,
            fusion,
            encoder=encoder,
            encoder_weights=encoder_weights,
            freeze_encoder=freeze_encoder,
            gradient_checkpointing=gradient_checkpointing,
        )
        self.loss = WeightedLoss(
            losses.class_weights(self.task.class_counts, class_weights),
            gamma=focal_gamma,
            label_smoothing=label_smoothing,
        )
        self.metrics = nn.ModuleDict(
            {
                f"{stage}_metrics": LesionMetrics(self.task.classes, self.task.positive)
                for stage in _STAGES
            }
        )

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path,
        map_location: str | torch.device | None = None,
        *,
        fusion: type[LesionNetwork] | None = None,
        **settings: Any,
    ) -> LesionClassifier:
        """The model of a checkpoint.

        Its network is made from the registry: nothing in the file chooses what is imported.

        Args:
            checkpoint_path: The file.
            map_location: Device of the model; by default the CPU.
            fusion: The class of its network, if it is yours and not registered.
            settings: Arguments of the model in place of the saved ones.

        Raises:
            UsageError: If the file is no checkpoint of this package, has unknown settings, names a
                network that is none, or holds weights that do not fit or are not finite.
        """
        saved = cls.saved_settings(checkpoint_path, fusion)
        name, arguments = saved["fusion"]["name"], saved["fusion"]["init_args"]
        network = class_of(name, fusion)
        assert network is not None, "saved_settings has checked it"
        model = cls(**{**saved, "fusion": functools.partial(network, **arguments), **settings})
        checkpoint = read_checkpoint(checkpoint_path)
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        return model.to(map_location or "cpu")

    @classmethod
    def saved_settings(
        cls, checkpoint_path: str | Path, fusion: type[LesionNetwork] | None = None
    ) -> dict[str, Any]:
        """Arguments of a checkpoint's model, ``task`` and ``fusion`` in plain form, all checked.

        Args:
            checkpoint_path: The file.
            fusion: The class of its network, if it is the user's and not registered.

        Raises:
            UsageError: If the file is no checkpoint of this package, or a setting is unknown or of
                another type.
        """
        saved = read_hyper_parameters(checkpoint_path, fusion)
        checked = {name: saved.pop(name) for name in ("task", "fusion")}
        source = f"The checkpoint {checkpoint_path}"
        return {**read_arguments(cls, saved, source, given=checked), **checked}

    def configure_model(self) -> None:
        """Divide the network among the processes, if the strategy is `ModelParallelStrategy`.

        Raises:
            UsageError: If it is no training, or the strategy is Lightning's older `FSDPStrategy`.
        """
        if self._trainer is not None and isinstance(self.trainer.strategy, FSDPStrategy):
            raise UsageError(
                "`trainer.strategy` FSDPStrategy cannot draw maps. Divide the network by "
                "`--config conf/hardware/sharded.yaml` instead."
            )
        if self.device_mesh is None or isinstance(self.network, FSDPModule):
            return
        if self.trainer.state.fn != TrainerFn.FITTING:
            raise UsageError(
                "ModelParallelStrategy divides the network for training only, and its checkpoints "
                "are whole: leave it out, on one device or several."
            )
        shard(self.network, self.device_mesh["data_parallel"])

    def setup(self, stage: str) -> None:
        """Compile the network, if `compile` is set; names of weights do not change."""
        del stage
        if self.hparams["compile"]:
            self.network.compile()

    def forward(self, batch: LesionBatch) -> LesionOutput:
        """Logits and embedding of a batch."""
        return self.network(batch)

    def metrics_of(self, stage: str) -> LesionMetrics:
        """The metrics of ``train``, ``val`` or ``test``."""
        metrics = self.metrics[f"{stage}_metrics"]
        assert isinstance(metrics, LesionMetrics)
        return metrics

    def on_train_batch_start(self, batch: LesionBatch, batch_idx: int) -> None:
        """Seed random numbers by the step, so that a resumed training draws the same ones."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        place = (seed, self.trainer.current_epoch, batch_idx, self.trainer.global_rank)
        torch.manual_seed(hash(place) & 0x7FFFFFFFFFFFFFFF)

    def training_step(self, batch: LesionBatch, batch_idx: int) -> StepOutput:
        """Loss of a training batch."""
        return self._step(batch, "train")

    def validation_step(self, batch: LesionBatch, batch_idx: int) -> StepOutput:
        """Loss and predictions of a validation batch."""
        return self._step(batch, "val")

    def test_step(self, batch: LesionBatch, batch_idx: int) -> StepOutput:
        """Loss and predictions of a test batch."""
        return self._step(batch, "test")

    def predict_step(self, batch: LesionBatch, batch_idx: int) -> tuple[list[str], Tensor]:
        """Case ids and class probabilities (B, C) of a batch."""
        return list(batch.case_id), self(batch).logits.float().softmax(-1)

    def on_validation_start(self) -> None:
        """Check that the processes of a divided network have the same number of batches."""
        if self.device_mesh is not None:
            require_as_many_batches(sum(self.trainer.num_val_batches))

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training metrics."""
        self._log_metrics("train")

    def on_validation_epoch_end(self) -> None:
        """Log the validation metrics."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the test metrics."""
        self._log_metrics("test")

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Adam with a learning rate for each part, and a schedule that changes after each step."""
        optimizer = make_optimizer(
            self.network,
            learning_rate=self.hparams["learning_rate"],
            encoder_learning_rate=self.hparams["encoder_learning_rate"],
            layer_decay=self.hparams["layer_decay"],
            weight_decay=self.hparams["weight_decay"],
            fused=not self.trainer.gradient_clip_val,
        )
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = warmup_cosine(
            optimizer, total_steps=total, warmup_steps=round(self.hparams["warmup"] * total)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save settings in plain form, without the path of the encoder's first weights.

        ``divided`` is whether the network was divided among processes.

        Raises:
            UsageError: If the network was made by a function that a checkpoint cannot name, or
                weights are not finite; the previous checkpoint is not replaced.
        """
        require_finite(checkpoint.get("state_dict", {}), "The model")
        checkpoint["divided"] = self.device_mesh is not None
        checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = {
            **checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY],
            "encoder_weights": None,  # the checkpoint has the weights
            "fusion": plain_fusion(self.hparams["fusion"]),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Check the weights of a checkpoint before they are loaded.

        Raises:
            UsageError: If weights are not those of this model, or are not finite.
        """
        add_temperature(checkpoint)
        if "state_dict" in checkpoint:  # else the strategy has loaded it already
            require_fitting(checkpoint["state_dict"], self, "The checkpoint")

    def _step(self, batch: LesionBatch, stage: str) -> StepOutput:
        output = self(batch)
        logits = output.logits.float()
        loss = self.loss(logits, batch.target)
        if stage == "train" and output.paths is not None:
            paths = output.paths.float().unbind(1)
            loss = torch.stack([self.loss(one, batch.target) for one in paths]).mean()
        probabilities = logits.detach().softmax(-1)
        self.metrics_of(stage).update(probabilities, batch.target)
        size = len(batch.target)
        if stage == "train":
            self.log("train/loss_step", loss, prog_bar=True, batch_size=size)
        self.log(
            f"{stage}/loss",
            loss,
            on_step=False,
            on_epoch=True,
            prog_bar=stage != "train",
            batch_size=size,
            sync_dist=True,
        )
        return StepOutput(
            loss=loss,
            probabilities=probabilities,
            target=batch.target,
            case_id=list(batch.case_id),
        )

    def _log_metrics(self, stage: str) -> None:
        metrics = self.metrics_of(stage)
        for name, value in metrics.compute().items():
            self.log(logged_name(stage, name), value, prog_bar=name == "balanced_accuracy")
        metrics.reset()


_STAGES = ("train", "val", "test")
