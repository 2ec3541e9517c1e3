"""Explanation methods: the registry, and one function that calls any of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


class Method(NamedTuple):
    """An explanation method.

    Attributes:
        title: Name for figures and tables.
        function: Called with network, batch and target (B, K), it returns their `Relevance`. If it
            reads attention, it is called with a `RecordedForward` and the target, and returns the
            `ClassRow` of each of the K classes.
        reads_attention: Whether it needs attention layers, whose calls are recorded for it.
        class_specific: Whether relevance depends on the class. If it reads attention, the forward
            pass is recorded with gradients, and one backward pass per class is counted.
        signed: Whether relevance may be negative, for evidence against the class.
    """

    title: str
    function: Callable[..., Any]
    reads_attention: bool
    class_specific: bool
    signed: bool


METHODS: dict[str, Method] = {
    "tmme": Method("TMME", tmme, True, True, False),
    "attention": Method("attention", last_attention, True, False, False),
    "rollout": Method("rollout", rollout, True, False, False),
    "grad_cam": Method("Grad-CAM", grad_cam, False, True, False),
    "integrated_gradients": Method(
        "integrated gradients", integrated_gradients, False, True, False
    ),
    "occlusion": Method("occlusion", occlusion, False, True, False),
    "random": Method("random", random_relevance, False, False, False),
}
"""Explanation methods by registered name."""


def explain(
    network: LesionNetwork,
    batch: LesionBatch,
    target: Tensor | None = None,
    *,
    method: str = "tmme",
) -> Relevance:
    """Relevance of each patch and metadata feature for chosen classes, see `explain_by`."""
    return explain_by(network, batch, target, methods=[method])[method]


def explain_by(
    network: LesionNetwork,
    batch: LesionBatch,
    target: Tensor | None = None,
    *,
    methods: Sequence[str],
) -> dict[str, Relevance]:
    """Relevance of each patch and metadata feature by several methods.

    The batch is explained in parts, so that the activations of all layers take about 0.5 GB at most
    (on a GPU, a quarter of the free memory). TMME, attention and rollout share a forward pass.

    Args:
        network: Any network with an image encoder; left as it was.
        batch: Cases, as pixels.
        target: Classes to explain, (B, K) int64; by default the predicted one, K = 1.
        methods: Names of `METHODS`; those that are not class-specific (``attention`` of the last
            layer, ``rollout``, ``random``) give the same relevance for every class.

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


def _explain_part(
    network: LesionNetwork, batch: LesionBatch, target: Tensor, methods: Sequence[str]
) -> dict[str, Relevance]:
    found: dict[str, Relevance] = {}
    for names in _by_pass([name for name in methods if METHODS[name].reads_attention]):
        found |= _read_attention(network, batch, target, names)
    for name in methods:
        if name not in found:
            start = _now(batch)
            relevance: Relevance = METHODS[name].function(network, batch, target)
            seconds = _now(batch) - start
            found[name] = relevance._replace(cost=relevance.cost._replace(seconds=seconds))
    return found


def _by_pass(reading: Sequence[str]) -> list[list[str]]:
    """Attention-reading methods by recorded pass.

    A class-specific method uses the graph up, so that it comes last in its pass.
    """
    specific = [name for name in reading if METHODS[name].class_specific]
    shared = [name for name in reading if name not in specific]
    passes = [[*shared, *specific[:1]], *([name] for name in specific[1:])]
    return [names for names in passes if names]


def _read_attention(
    network: LesionNetwork, batch: LesionBatch, target: Tensor, names: Sequence[str]
) -> dict[str, Relevance]:
    """Relevance by methods that share a forward pass, of which the last may be class-specific."""
    found = {}
    start = _now(batch)
    gradients = METHODS[names[-1]].class_specific
    with recorded_forward(network, batch, gradients=gradients) as recorded:
        forward = _now(batch) - start
        for name in names:
            start = _now(batch)
            rows = METHODS[name].function(recorded, target)
            backwards = target.shape[1] if METHODS[name].class_specific else 0
            cost = Cost(1, backwards, forward + _now(batch) - start)
            found[name] = Relevance.of_rows(rows, network, recorded.logits, cost)
    return found


def _now(batch: LesionBatch) -> float:
    """Seconds, after all work on the device is done."""
    if batch.metadata.is_cuda:
        torch.cuda.synchronize(batch.metadata.device)
    return time.perf_counter()


def check_methods(network: LesionNetwork, methods: Sequence[str]) -> None:
    """Check that methods apply to a network.

    Raises:
        UsageError: If one does not; the message names those that do.
    """
    name = type(network).__name__
    if network.encoder is None:
        raise UsageError(
            f"Expected a network with an image encoder, but {name} has none: no method applies."
        )
    refused = [one for one in dict.fromkeys(methods) if METHODS[one].reads_attention]
    if refused and not network.layouts:
        others = [other for other, method in METHODS.items() if not method.reads_attention]
        raise UsageError(
            f"{', '.join(refused)} read how a class token attends to all tokens, and {name} has no "
            f"such attention. Methods that apply to it: {', '.join(others)}."
        )


def _check(network: LesionNetwork, batch: LesionBatch, methods: Sequence[str]) -> None:
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
