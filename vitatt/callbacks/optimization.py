"""Learning rates and gradient norm of a training."""

from __future__ import annotations

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.distributed.tensor import DTensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from vitatt.models.classifier import LesionClassifier


class OptimizationRecord(Callback):
    """Log how a training is optimized, as often as its loss.

    - ``optimizer/learning_rate``: of the parameters outside the encoder;
    - ``optimizer/encoder_learning_rate``: of the encoder's last block, unless it is frozen; those
      of blocks below are `layer_decay` times that of the one above;
    - ``optimizer/gradient_norm``: Euclidean norm of all gradients together, before they are
      clipped.
    """

    def on_before_optimizer_step(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        optimizer: Optimizer,
    ) -> None:
        """Log the learning rates of the step and the norm of its gradients."""
        assert isinstance(pl_module, LesionClassifier)
        encoder = pl_module.network.encoder
        of_encoder = set() if encoder is None else {id(p) for p in encoder.parameters()}
        rates = {"learning_rate": 0.0, "encoder_learning_rate": 0.0}
        for group in optimizer.param_groups:
            inside = id(group["params"][0]) in of_encoder
            name = "encoder_learning_rate" if inside else "learning_rate"
            rates[name] = max(rates[name], group["lr"])
        gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
        norm = get_total_norm(gradients)
        if isinstance(norm, DTensor):  # of a network that is divided among processes
            norm = norm.full_tensor()
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            norm = norm / scaler.get_scale()  # the fused optimizer unscales them only in its step
        values = {name: torch.tensor(rate) for name, rate in rates.items() if rate > 0}
        for name, value in {**values, "gradient_norm": norm}.items():
            pl_module.log(f"optimizer/{name}", value, on_step=True, on_epoch=False)
