"""TMME of cases with several views, written naively: one matrix over all tokens of a case.

The tokens are the class token, the prefix tokens of each view, the patches of each view, and the
metadata. The encoder's layers of a view act on its own tokens. Then the class token is the mean of
those of the views that are there, so that its row of relevance is the mean of theirs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.explain.reference_tmme import (
    Layer,
    State,
    _add_up,
    _block,
    _join,
    _metadata_tokens,
    _norm,
)
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch


def reference_views(network: LesionNetwork, batch: LesionBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Relevance of patches (B, C, V P) and features (B, C, F), and logits (B, C), in float64."""
    state = {key: value.double() for key, value in network.state_dict().items()}
    cases = [_one_case(network, state, batch, case) for case in range(len(batch.target))]
    patches, features, logits = (torch.stack(parts) for parts in zip(*cases, strict=True))
    return patches, features, logits


def _one_case(
    network: LesionNetwork, state: State, batch: LesionBatch, case: int
) -> tuple[Tensor, Tensor, Tensor]:
    vit = network.encoder.vit
    side = vit.patch_embed.img_size[0]
    heads, patch, eps = vit.blocks[0].attn.num_heads, vit.patch_embed.patch_size[0], vit.norm.eps
    present = [not gone for gone in batch.image.absent[case].tolist()]
    num_views, num_patches = len(present), (side // patch) ** 2
    names = ("cls_token", "dist_token", "reg_token")
    prefix = torch.cat(
        [state[f"encoder.vit.{name}"][0] for name in names if f"encoder.vit.{name}" in state]
    )
    first_patch = 1 + num_views * len(prefix)
    layers: list[Layer] = []
    encoded = []
    for view in range(num_views):
        own = slice(view * side, (view + 1) * side)
        tokens = _embed(state, batch.pixels[case][:, own].double(), prefix, patch)
        start, below = 1 + view * len(prefix), first_patch + view * num_patches
        where = [*range(start, start + len(prefix)), *range(below, below + num_patches)]
        allowed = torch.ones(len(where), dtype=torch.bool)
        for number in range(len(vit.blocks)):
            name = f"encoder.vit.blocks.{number}."
            tokens = _block(state, name, tokens, allowed, where, heads, eps, layers)
        encoded.append(_norm(state, "encoder.vit.norm", tokens, eps))
    below_fusion = len(layers)

    share = [there / sum(present) for there in present]
    class_token = sum(share[view] * encoded[view][0] for view in range(num_views))
    image = [class_token[None], *(tokens[len(prefix) :] for tokens in encoded)]
    if "view_embedding" in state:
        for view in range(num_views):
            image[1 + view] = image[1 + view] + state["view_embedding"][view]
    tokens = torch.cat(image)
    metadata, seen = torch.zeros(0, tokens.shape[1], dtype=torch.float64), torch.ones(0).bool()
    if "metadata_encoder.weight" in state:
        metadata, seen = _metadata_tokens(network, state, batch, case)
        tokens = _join(state, tokens, metadata, 1)
    of_patches = torch.tensor(present).repeat_interleave(num_patches)
    allowed = torch.cat([torch.ones(1, dtype=torch.bool), of_patches, seen])
    total = first_patch + num_views * num_patches + len(metadata)
    where = [0, *range(first_patch, total)]
    added = None
    if "additive.weight" in state:
        assert all(present), "the reference has the mean over all patches"
        added = _add_up(state, tokens, allowed, where, num_views * num_patches, layers)
    for number in range(len(getattr(network, "blocks", ()))):
        own_heads = network.blocks[number].attn.num_heads
        tokens = _block(state, f"blocks.{number}.", tokens, allowed, where, own_heads, 1e-5, layers)
    logits = state["head.weight"] @ _norm(state, "norm", tokens[0], 1e-5) + state["head.bias"]
    if added is not None:
        logits = (logits + added) / 2
    logits = logits - logits.mean()

    rows = []
    for logit in logits:
        matrices = [layer.attention for layer in layers]
        gradients = torch.autograd.grad(logit, matrices, retain_graph=True, allow_unused=True)
        relevance = torch.eye(total, dtype=torch.float64)
        for number, (layer, gradient) in enumerate(zip(layers, gradients, strict=True)):
            if number == below_fusion:
                relevance[0] = _mean_of_views(relevance, share, len(prefix))
            gradient = torch.zeros_like(layer.attention) if gradient is None else gradient
            mean = (layer.attention * gradient).clamp(min=0).mean(0).detach()
            whole = torch.zeros(total, total, dtype=torch.float64)
            for i, row in enumerate(layer.tokens):
                whole[row, layer.tokens] = mean[i]
            relevance = relevance + whole @ relevance
        if below_fusion == len(layers):
            relevance[0] = _mean_of_views(relevance, share, len(prefix))
        rows.append(relevance[0])
    row = torch.stack(rows)
    last = total - len(metadata)
    return row[:, first_patch:last], row[:, last:], logits.detach()


def _mean_of_views(relevance: Tensor, share: list[float], num_prefix: int) -> Tensor:
    rows = [weight * relevance[1 + view * num_prefix] for view, weight in enumerate(share)]
    return torch.stack(rows).sum(0)


def _embed(state: State, pixels: Tensor, prefix: Tensor, patch: int) -> Tensor:
    """The tokens of one image before the first block."""
    pixels = (pixels - state["encoder.mean"][0]) / state["encoder.std"][0]
    kernel = state["encoder.vit.patch_embed.proj.weight"]
    cut = pixels.unfold(1, patch, patch).unfold(2, patch, patch)  # (3, h, w, patch, patch)
    patches = torch.einsum("chwij,dcij->hwd", cut, kernel).flatten(0, 1)
    patches = patches + state["encoder.vit.patch_embed.proj.bias"]
    position = state["encoder.vit.pos_embed"][0]
    if len(position) == len(patches):
        return torch.cat([prefix, patches + position])
    return torch.cat([prefix, patches]) + position
