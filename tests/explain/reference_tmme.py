"""TMME written a second time, naively, to hold the fast one against.

Source: Chefer, Gur, Wolf, ICCV 2021, eq. 5 and 6. One case and one class at a time, explicit
attention matrices, the full N x N matrix of relevance from the first layer to the last, and a
forward pass of its own from nothing but the network's weights.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch

State = dict[str, Tensor]


class Reference(NamedTuple):
    """For a batch and all C classes, in float64.

    Attributes:
        patches: (B, C, P).
        features: (B, C, M).
        logits: (B, C).
        attention: Class token's probabilities in the last layer, mean over heads, over the patches
            and the metadata tokens, (B, P + M).
    """

    patches: Tensor
    features: Tensor
    logits: Tensor
    attention: Tensor


class Layer(NamedTuple):
    """Attention (heads, q, n) of a layer, and which of all N tokens its keys and queries are."""

    attention: Tensor
    tokens: list[int]
    queries: list[int]


def reference_tmme(network: LesionNetwork, batch: LesionBatch) -> Reference:
    """TMME of every case for every class."""
    state = {key: value.double() for key, value in network.state_dict().items()}
    cases = [_one_case(network, state, batch, case) for case in range(len(batch.target))]
    return Reference(*(torch.stack(parts) for parts in zip(*cases, strict=True)))


def _one_case(network: LesionNetwork, state: State, batch: LesionBatch, case: int) -> Reference:
    logits, layers, num_patches, num_metadata = _forward(network, state, batch, case)
    total = 1 + max(max(layer.tokens) for layer in layers)
    first_metadata = total - num_metadata
    first_patch = first_metadata - num_patches
    rows = []
    for logit in logits:
        gradients = torch.autograd.grad(
            logit, [layer.attention for layer in layers], retain_graph=True
        )
        relevance = torch.eye(total, dtype=torch.float64)
        for (attention, tokens, queries), gradient in zip(layers, gradients, strict=True):
            heads = (attention * gradient).clamp(min=0)
            whole = torch.zeros(total, total, dtype=torch.float64)
            for i, row in enumerate(queries):
                whole[row, tokens] = heads[:, i].mean(0).detach()
            relevance = relevance + whole @ relevance
        rows.append(relevance[0])
    row = torch.stack(rows)
    last = layers[-1].attention.detach().mean(0)[0, -(num_patches + num_metadata) :]
    return Reference(
        row[:, first_patch:first_metadata], row[:, first_metadata:], logits.detach(), last
    )


def _forward(
    network: LesionNetwork, state: State, batch: LesionBatch, case: int
) -> tuple[Tensor, list[Layer], int, int]:
    layers: list[Layer] = []
    vit = network.encoder.vit
    heads, patch = vit.blocks[0].attn.num_heads, vit.patch_embed.patch_size[0]
    final = "norm" if "encoder.vit.norm.weight" in state else "fc_norm"
    vit_eps = getattr(vit, final).eps

    # The image: cut into patches, embedded, with prefix tokens and positions.
    pixels = batch.pixels[case].double()
    pixels = (pixels - state["encoder.mean"][0]) / state["encoder.std"][0]
    kernel = state["encoder.vit.patch_embed.proj.weight"]
    side = pixels.shape[-1] // patch
    patches = torch.stack(
        [
            (kernel * pixels[:, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch]).sum(
                (1, 2, 3)
            )
            for y in range(side)
            for x in range(side)
        ]
    )
    patches = patches + state["encoder.vit.patch_embed.proj.bias"]
    names = ("cls_token", "dist_token", "reg_token")
    prefix = torch.cat(
        [
            patches[:0],
            *(state[f"encoder.vit.{name}"][0] for name in names if f"encoder.vit.{name}" in state),
        ]
    )
    position = state.get("encoder.vit.pos_embed", torch.zeros(1, 1, 1))[0]
    if len(position) == len(patches):
        tokens = torch.cat([prefix, patches + position])
    else:
        tokens = torch.cat([prefix, patches]) + position
    has_class = "encoder.vit.cls_token" in state
    # Token 0 is the class token, also if the blocks do not have it.
    num_prefix, num_patches = len(prefix) + (not has_class), len(patches)

    # The metadata.
    metadata = torch.zeros(0, tokens.shape[1], dtype=torch.float64)
    seen = torch.ones(0, dtype=torch.bool)
    if "metadata_encoder.weight" in state:
        metadata, seen = _metadata_tokens(network, state, batch, case)
    num_metadata = len(metadata)
    join_at = getattr(network, "join_at", None)
    fuses = num_metadata > 0
    everything = list(range(num_prefix + num_patches + num_metadata))
    image_part = everything[not has_class : num_prefix + num_patches]
    rotation = rotation_table(vit, side) if getattr(vit, "rope", None) is not None else None

    # The encoder's blocks.
    allowed = torch.ones(len(image_part), dtype=torch.bool)
    where = image_part
    for number in range(len(vit.blocks)):
        if number == join_at:
            tokens = _join(state, tokens, metadata, num_prefix)
            allowed = torch.cat([allowed, seen])
            where = everything
        name = f"encoder.vit.blocks.{number}."
        bias = _bias(state, name, side)
        tokens = _block(state, name, tokens, allowed, where, heads, vit_eps, layers, rotation, bias)
    pooled_first = not has_class and final == "fc_norm"
    if not pooled_first:
        tokens = _norm(state, f"encoder.vit.{final}", tokens, vit_eps)
    if not has_class:
        registers = len(prefix)
        keys = everything[1 + registers : 1 + registers + num_patches]
        pooled = _pool(state, tokens[registers:], keys, heads, vit_eps, layers)
        tokens = torch.cat([pooled[None], tokens])
    if pooled_first:
        tokens = _norm(state, f"encoder.vit.{final}", tokens, vit_eps)

    # The fusion layers: only the class token comes along, unless metadata joined before.
    if fuses and join_at is None:
        tokens = _join(state, torch.cat([tokens[:1], tokens[num_prefix:]]), metadata, 1)
        allowed = torch.cat([torch.ones(1 + num_patches, dtype=torch.bool), seen])
        where = [0, *everything[num_prefix:]]
    added = None
    if "additive.weight" in state:
        added = _add_up(state, tokens, allowed, where, num_patches, layers)
    for number in range(len(getattr(network, "blocks", ()))):
        own_heads = network.blocks[number].attn.num_heads
        tokens = _block(state, f"blocks.{number}.", tokens, allowed, where, own_heads, 1e-5, layers)
    class_token = _norm(state, "norm", tokens[0], 1e-5)
    logits = state["head.weight"] @ class_token + state["head.bias"]
    if added is not None:
        logits = (logits + added) / 2
    logits = logits - logits.sum() / len(logits)
    return logits, layers, num_patches, num_metadata


def _metadata_tokens(
    network: LesionNetwork, state: State, batch: LesionBatch, case: int
) -> tuple[Tensor, Tensor]:
    """Metadata tokens (M, D) and which of them may be attended to (M,)."""
    encoder = network.metadata_encoder
    own = {k.removeprefix("metadata_encoder."): v for k, v in state.items() if "metadata_" in k}
    sizes = encoder.owner.sum(1).long().tolist()
    vectors = list(batch.metadata[case].double().split(sizes))
    missing = batch.missing[case].tolist()
    for f, size in enumerate(sizes):
        if missing[f]:
            fill = 1 / size if encoder.missing == "uniform" else 0.0
            vectors[f] = torch.full((size,), fill, dtype=torch.float64)
    if encoder.joint:
        groups, absent = [torch.cat(vectors)], [all(missing)]
        weights = [own["weight"]]
    else:
        groups, absent = vectors, missing
        weights = list(own["weight"].split(sizes))
    tokens = []
    for t, (vector, weight) in enumerate(zip(groups, weights, strict=True)):
        token = sum(vector[k] * weight[k] for k in range(len(vector))) + own["bias"][t]
        token = (token - own["norm.running_mean"]) / (own["norm.running_var"] + 1e-5).sqrt()
        token = token * own["norm.weight"] + own["norm.bias"]
        if encoder.missing == "token" and absent[t]:
            token = own["missing_token"][t]
        tokens.append(token + own["feature_embedding"][t])
    hides = encoder.missing == "mask"
    seen = torch.tensor([not (hides and gone) for gone in absent])
    return torch.stack(tokens), seen


def _join(state: State, image: Tensor, metadata: Tensor, num_prefix: int) -> Tensor:
    kind = state["modality_embedding"]
    return torch.cat(
        [image[:num_prefix] + kind[0], image[num_prefix:] + kind[1], metadata + kind[2]]
    )


def _block(
    state: State,
    name: str,
    tokens: Tensor,
    allowed: Tensor,
    where: list[int],
    heads: int,
    eps: float,
    layers: list[Layer],
    rotation: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """A pre-norm transformer layer; appends its attention matrix to `layers`.

    Args:
        rotation: Angles (P, d) by which queries and keys of the last P tokens are rotated.
        bias: Added to the scores, (heads, n, n).
    """
    normed = _norm(state, f"{name}norm1", tokens, eps)
    query, key, value = _query_key_value(state, f"{name}attn.", normed)
    width = query.shape[1] // heads
    matrices = []
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        q, k = query[:, part], key[:, part]
        if f"{name}attn.q_norm.weight" in state:
            q = _norm(state, f"{name}attn.q_norm", q, eps)
            k = _norm(state, f"{name}attn.k_norm", k, eps)
        if rotation is not None:
            q, k = _rotated(q, rotation), _rotated(k, rotation)
        scores = (q @ k.T) / width**0.5
        if bias is not None:
            scores = scores + bias[h]
        scores[:, ~allowed] = -torch.inf
        matrices.append(torch.exp(scores - scores.amax(1, keepdim=True)))
        matrices[-1] = matrices[-1] / matrices[-1].sum(1, keepdim=True)
    attention = torch.stack(matrices)
    if not attention.requires_grad:
        attention.requires_grad_()
    layers.append(Layer(attention, where, where))
    heard = [attention[h] @ value[:, h * width : (h + 1) * width] for h in range(heads)]
    attended = _linear(state, f"{name}attn.proj", torch.cat(heard, dim=1))
    scales = [state.get(f"{name}ls{n}.gamma", state.get(f"{name}gamma_{n}", 1.0)) for n in (1, 2)]
    tokens = tokens + attended * scales[0]
    hidden = F.gelu(_linear(state, f"{name}mlp.fc1", _norm(state, f"{name}norm2", tokens, eps)))
    return tokens + _linear(state, f"{name}mlp.fc2", hidden) * scales[1]


def _query_key_value(state: State, name: str, x: Tensor) -> tuple[Tensor, ...]:
    """Projections of tokens; some networks have no bias, or none of the keys."""
    projected = x @ state[f"{name}qkv.weight"].T
    if f"{name}qkv.bias" in state:
        projected = projected + state[f"{name}qkv.bias"]
    query, key, value = projected.chunk(3, dim=-1)
    if f"{name}q_bias" in state:
        query, value = query + state[f"{name}q_bias"], value + state[f"{name}v_bias"]
    return query, key, value


def rotation_table(vit: Any, side: int) -> Tensor:
    """Angles (P, d) of DINOv3's rotary position: pairs are the halves of a head's width.

    Patch centres are from -1 to 1 along each axis, and frequency j of d / 4 has the period
    ``temperature ** (4 j / d)``; first those of rows, then those of columns.
    """
    width = vit.embed_dim // vit.blocks[0].attn.num_heads
    angles = torch.zeros(side * side, width, dtype=torch.float64)
    for y in range(side):
        for x in range(side):
            for axis, place in enumerate((y, x)):
                centre = 2 * (place + 0.5) / side - 1
                for j in range(width // 4):
                    angle = 2 * math.pi * centre / vit.rope.temperature ** (4 * j / width)
                    for half in (0, width // 2):
                        angles[y * side + x, half + axis * (width // 4) + j] = angle
    return angles


def _rotated(part: Tensor, angles: Tensor) -> Tensor:
    """Queries or keys (n, d) of a head, those of the patches rotated."""
    prefix, patches = part[: -len(angles)], part[-len(angles) :]
    half = patches.shape[1] // 2
    first, second = patches[:, :half], patches[:, half:]
    cos, sin = angles[:, :half].cos(), angles[:, :half].sin()
    rotated = torch.cat([first * cos - second * sin, second * cos + first * sin], dim=1)
    return torch.cat([prefix, rotated])


def _bias(state: State, name: str, side: int) -> Tensor | None:
    """BEiT's relative position bias (heads, n, n): of one table for all blocks, and of the block's.

    The table has a row for each difference in rows and columns, and three rows for the class token
    as query, as key, and as both.
    """
    tables = [
        state[place]
        for place in (
            "encoder.vit.rel_pos_bias.relative_position_bias_table",
            f"{name}attn.relative_position_bias_table",
        )
        if place in state
    ]
    if not tables:
        return None
    table = sum(tables)
    bias = torch.zeros(table.shape[1], 1 + side**2, 1 + side**2, dtype=torch.float64)
    for i in range(1 + side**2):
        for j in range(1 + side**2):
            if i and j:
                (y, x), (v, u) = divmod(i - 1, side), divmod(j - 1, side)
                row = (y - v + side - 1) * (2 * side - 1) + x - u + side - 1
            else:
                row = -1 if i == j else -3 if i == 0 else -2
            bias[:, i, j] = table[row]
    return bias


def _pool(
    state: State, tokens: Tensor, keys: list[int], heads: int, eps: float, layers: list[Layer]
) -> Tensor:
    """The class token (D,) of an attention pool, a learnt query; of no pool, the mean."""
    name = "encoder.vit.attn_pool."
    if f"{name}latent" not in state:
        return tokens.mean(0)
    query = _linear(state, f"{name}q", state[f"{name}latent"][0])
    key, value = _linear(state, f"{name}kv", tokens).chunk(2, dim=-1)
    width = query.shape[1] // heads
    parts = [slice(h * width, (h + 1) * width) for h in range(heads)]
    scores = torch.stack([query[:, part] @ key[:, part].T for part in parts]) / width**0.5
    attention = scores.softmax(-1)
    layers.append(Layer(attention, keys, [0]))
    heard = torch.cat([attention[h] @ value[:, part] for h, part in enumerate(parts)], dim=1)
    x = _linear(state, f"{name}proj", heard)
    hidden = F.gelu(_linear(state, f"{name}mlp.fc1", _norm(state, f"{name}norm", x, eps)))
    return (x + _linear(state, f"{name}mlp.fc2", hidden))[0]


def _add_up(
    state: State,
    tokens: Tensor,
    allowed: Tensor,
    where: list[int],
    num_patches: int,
    layers: list[Layer],
) -> Tensor:
    """Logits of the additive path; only the class token's row of its attention is not zero."""
    normed = _norm(state, "additive.norm", tokens, 1e-5)
    kinds = [0] + [1] * num_patches + [2] * (len(tokens) - 1 - num_patches)
    factors = [1.0] + [1 / num_patches] * num_patches + [1.0] * (len(tokens) - 1 - num_patches)
    attention = torch.zeros(1, len(tokens), len(tokens), dtype=torch.float64)
    attention[0, 0, allowed] = 1 / allowed.sum().double()
    attention.requires_grad_()
    layers.append(Layer(attention, where, where))
    logits = state["additive.bias"]
    for n, token in enumerate(normed):
        share = attention[0, 0, n] * allowed.sum()
        logits = logits + share * factors[n] * (state["additive.weight"][kinds[n]] @ token)
    return logits


def _linear(state: State, name: str, x: Tensor) -> Tensor:
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def _norm(state: State, name: str, x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]
