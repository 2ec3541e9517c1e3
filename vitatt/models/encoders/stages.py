"""How timm's hierarchical networks are divided into a stem, stages, and layers after them."""

from __future__ import annotations

from typing import NamedTuple

from timm.models.convnext import ConvNeXt
from timm.models.efficientnet import EfficientNet
from timm.models.resnet import ResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from torch import nn


class Division(NamedTuple):
    """Names of the layers of a network, in the order in which `forward_features` calls them.

    Attributes:
        stem: Layers before the first stage.
        stages: Stages, or one container of all of them.
        top: Layers after the last stage.
        head: Where the norm is, if there is one, that timm applies to the mean of the last map.
        channels_last: Whether maps are (B, h, w, C).
    """

    stem: tuple[str, ...]
    stages: tuple[str, ...]
    top: tuple[str, ...] = ()
    head: str = ""
    channels_last: bool = False

    def stages_of(self, network: nn.Module) -> list[nn.Module]:
        """The stages of a network."""
        parts = self.layers_of(network, self.stages)
        return parts if len(parts) > 1 else list(parts[0].children())

    def pooled_norms_of(self, network: nn.Module) -> list[nn.Module]:
        """The norm of the mean of the last map, or nothing."""
        norm = getattr(network.get_submodule(self.head), "norm", None) if self.head else None
        return [] if norm is None else [norm]

    def layers_of(self, network: nn.Module, names: tuple[str, ...]) -> list[nn.Module]:
        """Layers of a network by name."""
        return [network.get_submodule(name) for name in names]


_SWIN = Division(("patch_embed",), ("layers",), ("norm",), channels_last=True)

DIVISIONS: dict[type[nn.Module], Division] = {
    EfficientNet: Division(("conv_stem", "bn1"), ("blocks",), ("conv_head", "bn2")),
    ResNet: Division(("conv1", "bn1", "act1", "maxpool"), ("layer1", "layer2", "layer3", "layer4")),
    ConvNeXt: Division(("stem",), ("stages",), ("norm_pre",), head="head"),
    SwinTransformer: _SWIN,
    SwinTransformerV2: _SWIN,
}
"""Networks whose last feature map serves as patch tokens, by timm's class."""


def division_of(network: nn.Module) -> Division | None:
    """The division of a network; None if it is of another class."""
    found = [division for kind, division in DIVISIONS.items() if isinstance(network, kind)]
    return found[0] if found else None
