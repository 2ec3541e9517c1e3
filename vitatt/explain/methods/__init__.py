"""Explanation methods behind one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from vitatt.explain.attention.differentiation import differentiable
from vitatt.explain.attention.recorded_forward import recorded_forward
from vitatt.explain.methods.attention_maps import last_attention, rollout
from vitatt.explain.methods.grad_cam import grad_cam
from vitatt.explain.methods.integrated_gradients import integrated_gradients
from vitatt.explain.methods.memory import cases_at_once
from vitatt.explain.methods.occlusion import occlusion
from vitatt.explain.methods.random import random_relevance
from vitatt.explain.methods.relevance import Cost, Relevance
from vitatt.explain.methods.tmme import tmme
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import LesionBatch, Pixels, UsageError

Method = Literal[
    "tmme", "attention", "rollout", "grad_cam", "integrated_gradients", "occlusion", "random"
]
METHODS: tuple[Method, ...] = get_args(Method)

TITLES: dict[Method, str] = {
    "tmme": "TMME",
    "attention": "attention",
    "rollout": "rollout",
    "grad_cam": "Grad-CAM",
    "integrated_gradients": "integrated gradients",
    "occlusion": "occlusion",
    "random": "random",
}
"""Names for people."""

CLASSLESS: frozenset[Method] = frozenset({"attention", "rollout", "random"})
"""Methods into which no class enters."""


def explain(
    network: LesionNetwork,
    batch: LesionBatch,
    target: Tensor | None = None,
    *,
    method: Method = "tmme",
) -> Relevance:
    """Relevance of each patch and metadata feature for chosen classes, see `explain_by`."""
    return explain_by(network, batch, target, methods=[method])[method]


def explain_by(
    network: LesionNetwork,
    batch: LesionBatch,
    target: Tensor | None = None,
    *,
    methods: Sequence[Method],
) -> dict[Method, Relevance]:
    """Relevance of each patch and metadata feature by several methods.

    The batch goes in parts, so that the activations of all layers take some 0.5 GB at most (on a
    GPU, a quarter of the free memory). Methods that read attention (TMME, attention, rollout) share
    a pass.

    Args:
        network: Any network with an image encoder; left as it was.
        batch: Cases, as pixels.
        target: Classes to explain, (B, K) int64; by default the predicted one, K = 1.
        methods: Any of `METHODS`; ``attention`` (last layer), ``rollout`` and ``random`` give every
            class the same.

    Raises:
        UsageError: If a method does not apply to the network (the message names those that do).
        ValueError: If the batch is empty or holds tokens instead of pixels, or `target` is no
            (B, K) matrix of classes.
    """
    _check(network, batch, methods)
    if target is not None:
        _check_target(target, len(batch.target), network.head.out_features)
    size = cases_at_once(network, batch)
    parts = []
    for start in range(0, len(batch.target), size):
        rows = slice(start, start + size)
        part = batch.cases(rows)
        classes = predict(network, part).unsqueeze(1) if target is None else target[rows]
        with torch.inference_mode(False):
            classes = classes.clone()  # made in inference mode, it cannot take part in a graph
        parts.append(_explain_part(network, part, classes, methods))
    return {method: Relevance.concatenate([part[method] for part in parts]) for method in methods}


def predict(network: LesionNetwork, batch: LesionBatch) -> Tensor:
    """The predicted class of each case, (B,); the network is left as it was."""
    with differentiable(network) as function, torch.no_grad():
        return function(batch).logits.argmax(1)


_READ_ATTENTION: frozenset[Method] = frozenset({"tmme", "attention", "rollout"})

_OTHERS: dict[Method, Callable[[LesionNetwork, LesionBatch, Tensor], Relevance]] = {
    "grad_cam": grad_cam,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
    "random": random_relevance,
}


def _explain_part(
    network: LesionNetwork, batch: LesionBatch, target: Tensor, methods: Sequence[Method]
) -> dict[Method, Relevance]:
    found: dict[Method, Relevance] = {}
    if reading := [method for method in methods if method in _READ_ATTENTION]:
        found = _read_attention(network, batch, target, reading)
    for method in methods:
        if method not in found:
            start = _now(batch)
            relevance = _OTHERS[method](network, batch, target)
            seconds = _now(batch) - start
            found[method] = relevance._replace(cost=relevance.cost._replace(seconds=seconds))
    return found


def _read_attention(
    network: LesionNetwork, batch: LesionBatch, target: Tensor, methods: Sequence[Method]
) -> dict[Method, Relevance]:
    found = {}
    start = _now(batch)
    with recorded_forward(network, batch, gradients="tmme" in methods) as recorded:
        forward = _now(batch) - start
        # TMME last: it uses the graph up.
        for method in sorted(methods, key=lambda name: name == "tmme"):
            start, times = _now(batch), target.shape[1]
            if method == "tmme":
                rows, backwards = tmme(recorded, target), times
            else:
                read = last_attention if method == "attention" else rollout
                rows, backwards = [read(recorded.calls)] * times, 0
            cost = Cost(1, backwards, forward + _now(batch) - start)
            found[method] = Relevance.of_rows(rows, network, recorded.logits, cost)
    return found


def _now(batch: LesionBatch) -> float:
    """Seconds, when the device has done what it was asked for."""
    if batch.metadata.is_cuda:
        torch.cuda.synchronize(batch.metadata.device)
    return time.perf_counter()


def check_methods(network: LesionNetwork, methods: Sequence[Method]) -> None:
    """See that methods apply to a network.

    Raises:
        UsageError: If one does not; the message names those that do.
    """
    name = type(network).__name__
    if network.encoder is None:
        raise UsageError(
            f"Expected a network with an image encoder, but {name} has none: no method applies."
        )
    refused = [method for method in dict.fromkeys(methods) if method in _READ_ATTENTION]
    if refused and not network.layouts:
        others = [method for method in METHODS if method not in _READ_ATTENTION]
        raise UsageError(
            f"{', '.join(refused)} read how a class token attends to all tokens, and {name} has no "
            f"such attention. Methods that apply to it: {', '.join(others)}."
        )


def _check(network: LesionNetwork, batch: LesionBatch, methods: Sequence[Method]) -> None:
    if unknown := [method for method in methods if method not in METHODS]:
        raise ValueError(f"Expected methods among {', '.join(METHODS)}, but got {unknown}.")
    check_methods(network, methods)
    if not isinstance(batch.image, Pixels):
        raise ValueError(
            "Expected pixels (B, 3, H, W) to explain, but got tokens of shape "
            f"{tuple(batch.image.values.shape)}: the encoder's layers would not run."
        )
    if not len(batch.target):
        raise ValueError("Expected at least one case to explain, but the batch has none.")


def _check_target(target: Tensor, size: int, count: int) -> None:
    if target.ndim != 2 or len(target) != size or not target.numel():
        raise ValueError(
            f"Expected argument `target` to have shape ({size}, K), but got {tuple(target.shape)}."
        )
    if not 0 <= int(target.min()) <= int(target.max()) < count:
        raise ValueError(
            f"Expected argument `target` to hold classes 0 to {count - 1}, but got values from "
            f"{int(target.min())} to {int(target.max())}."
        )
