"""Networks from their settings, and from checkpoints, without a trainer."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitatt.models.checkpoint import check_hyper_parameters, read_checkpoint
from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion.naming import class_of
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.plain_values import read_arguments
from vitatt.models.weight_checks import require_fitting
from vitatt.models.weights_folder import read_weights_folder
from vitatt.types import LesionTask, UsageError

_PREFIX = "network."
"""Of the network's weights in a checkpoint, beside those of the loss."""


class TrainedNetwork(NamedTuple):
    """A network with the task it was trained for.

    Attributes:
        path: File of the checkpoint.
        task: Classes, fitted encoding of the metadata, image size.
        network: In evaluation mode, its weights constants.
    """

    path: Path
    task: LesionTask
    network: LesionNetwork

    @property
    def reads_metadata(self) -> bool:
        """Whether the network has metadata input."""
        return bool(self.network.cardinalities)


def build_network(
    task: LesionTask,
    fusion: Callable[[ImageEncoder, LesionTask], LesionNetwork],
    *,
    encoder: str,
    encoder_weights: str | None = None,
    freeze_encoder: bool | int = False,
    gradient_checkpointing: bool = False,
) -> LesionNetwork:
    """Return a network with its image encoder.

    Args:
        task: Classes, metadata features and image size.
        fusion: A network class, called with encoder and task.
        encoder: timm's name of a vision transformer, CNN or Swin transformer.
        encoder_weights: Path of its weights, or of a checkpoint of another training to take the
            encoder from; ``hub`` to download timm's, or None for random ones.
        freeze_encoder: Keep the encoder as it is, or only this number of its lower blocks.
        gradient_checkpointing: Compute the encoder's activations again in the backward pass.

    Raises:
        UsageError: If the encoder, its weights and the network do not fit together, or the weights
            are of a training on another fold of these data.
    """
    image_encoder = make_encoder(
        encoder,
        image_size=task.image_size,
        weights=encoder_weights,
        frozen=freeze_encoder,
        gradient_checkpointing=gradient_checkpointing,
        views=task.num_views,
    )
    if encoder_weights not in (None, "hub"):
        _require_unseen(Path(str(encoder_weights)).expanduser(), task)
    return fusion(image_encoder, task)


def load_network(path: Path) -> TrainedNetwork:
    """Return the network of a checkpoint or of exported weights, on the CPU.

    It is made from the registry of networks: nothing in the file chooses what is imported.

    Args:
        path: File of the checkpoint, or folder of `vitatt export --format safetensors`.

    Raises:
        UsageError: If the file is no checkpoint of this package, names a network that is none, or
            holds settings or weights that do not fit or are not finite.
    """
    checkpoint = read_weights_folder(path) if path.is_dir() else read_checkpoint(path, mmap=False)
    saved, source = check_hyper_parameters(checkpoint, path), f"The checkpoint {path}"
    task = LesionTask.from_plain(saved["task"])
    fusion = class_of(saved["fusion"]["name"])
    assert fusion is not None, "check_hyper_parameters has checked it"
    asked: tuple[str, ...] = ("encoder", "freeze_encoder")
    own = {name: saved[name] for name in asked if name in saved}
    settings = read_arguments(build_network, own, source, given=("task", "fusion"))
    with without_initialisation():
        network = build_network(
            task, functools.partial(fusion, **saved["fusion"]["init_args"]), **settings
        )
    module = nn.ModuleDict({_PREFIX.removesuffix("."): network})
    weights = checkpoint["state_dict"]
    weights = {name: value for name, value in weights.items() if name.startswith(_PREFIX)}
    require_fitting(weights, module, source)
    types = {name: value.dtype for name, value in module.state_dict().items()}
    weights = {name: value.to(types[name]) for name, value in weights.items()}
    module.load_state_dict(weights, assign=True)  # a copy would take longer than reading them
    return TrainedNetwork(path, task, network.eval().requires_grad_(False))


def _require_unseen(path: Path, task: LesionTask) -> None:
    """Refuse the encoder of a training on cases that a training for `task` tests.

    Raises:
        UsageError: If the file is a checkpoint of another fold of the same dataset.
    """
    if not zipfile.is_zipfile(path):  # as torch saves; safetensors hold weights alone
        return
    saved = read_checkpoint(path).get("hyper_parameters")
    if not isinstance(saved, dict) or not isinstance(saved.get("task"), dict):
        return
    before = LesionTask.from_plain(saved["task"])
    if before.dataset == task.dataset and before.fold_spec != task.fold_spec:
        old, new = (str(one).removeprefix("FoldSpec") for one in (before.fold_spec, task.fold_spec))
        raise UsageError(
            f"The encoder in {path} was trained on another fold of {before.dataset} {old}, so on "
            f"cases that are held out here {new}. Name a checkpoint of the same fold as "
            "`model.encoder_weights`, or of another dataset."
        )


def without_initialisation() -> TorchFunctionMode:
    """Return a context in which new modules keep whatever their weights' memory holds.

    For weights that are loaded next: drawing those of a ViT-S takes about a second.
    """
    return _WithoutInitialisation()


class _WithoutInitialisation(TorchFunctionMode):
    """Leaves out functions that initialise parameters in place: torch's own, and their parts."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        changed = args[0] if args else kwargs.get("tensor")
        initialises = func in _IN_PLACE or getattr(func, "__module__", "") == "torch.nn.init"
        if initialises and isinstance(changed, nn.Parameter):
            return changed
        return func(*args, **kwargs)


_IN_PLACE = frozenset(
    {
        Tensor.add_,
        Tensor.clamp_,
        Tensor.erfinv_,
        Tensor.fill_,
        Tensor.mul_,
        Tensor.normal_,
        Tensor.uniform_,
        Tensor.zero_,
    }
)
"""Steps of timm's own functions: a normal distribution is uniform numbers, their inverse error
function, a factor and a shift."""
