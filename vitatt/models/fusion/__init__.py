"""Networks that fuse image and metadata, by registered name."""

from __future__ import annotations

from vitatt.models.fusion.bottleneck import BottleneckFusion
from vitatt.models.fusion.concatenation import Concatenation
from vitatt.models.fusion.cross_attention import CrossAttention
from vitatt.models.fusion.film import FiLM
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metablock import MetaBlock
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.metanet import MetaNet
from vitatt.models.fusion.missing_pattern import MissingPattern
from vitatt.models.fusion.mutual_attention import MutualAttention
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import UsageError

FUSIONS: dict[str, type[LesionNetwork]] = {
    "vitatt": AttentionFusion,
    "image_only": ImageOnly,
    "metadata_only": MetadataOnly,
    "missing_pattern": MissingPattern,
    "concatenation": Concatenation,
    "film": FiLM,
    "metablock": MetaBlock,
    "metanet": MetaNet,
    "cross_attention": CrossAttention,
    "mutual_attention": MutualAttention,
    "bottleneck": BottleneckFusion,
}
"""Network classes by the names that ``model.fusion``, checkpoints and benchmark arms use."""


def register_fusion(name: str, network: type[LesionNetwork]) -> None:
    """Register a network class, so that configurations and checkpoints can name it.

    Args:
        name: Such as ``my_fusion``.
        network: Called with an encoder and a task, and with its other arguments as keywords.

    Raises:
        UsageError: If the name is taken or no identifier, or the class is no `LesionNetwork`.
    """
    if not name.isidentifier():
        raise UsageError(
            f"Expected argument `name` to consist of letters, digits and underscores, but got "
            f"{name!r}."
        )
    if not (isinstance(network, type) and issubclass(network, LesionNetwork)):
        raise UsageError(
            f"Expected argument `network` to be a subclass of LesionNetwork, but got {network!r}."
        )
    if FUSIONS.get(name, network) is not network:
        raise UsageError(
            f"The fusion name '{name}' is taken by {FUSIONS[name].__qualname__}. Taken names: "
            f"{', '.join(FUSIONS)}."
        )
    FUSIONS[name] = network
