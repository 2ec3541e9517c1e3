"""Soft one-hot metadata to tokens."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce

from vitatt.types import LesionTask, UsageError

Missing = Literal["mask", "token", "uniform"]
Granularity = Literal["feature", "joint"]


class MetadataTokens(NamedTuple):
    """Tokens of a batch.

    Attributes:
        tokens: (B, M, D); M is F, or 1 if all features share a token.
        hidden: True where a token must not be attended to, (B, M) bool.
    """

    tokens: Tensor
    hidden: Tensor

    def mean(self) -> Tensor:
        """Mean (B, D) of the tokens that are not hidden; 0 if all are."""
        known = (~self.hidden).unsqueeze(2).to(self.tokens.dtype)
        return (self.tokens * known).sum(1) / known.sum(1).clamp(min=1)


class MetadataDropout(nn.Module):
    """Hides observed features while training, so that absent metadata does no harm later.

    Args:
        p_feature: Probability that an observed feature is hidden.
        p_all: Probability that all features of a case are hidden together.
    """

    def __init__(self, p_feature: float, p_all: float) -> None:
        super().__init__()
        for name, value in (("dropout", p_feature), ("dropout_all", p_all)):
            if not 0 <= value < 1:
                raise UsageError(f"Expected argument `{name}` to be in [0, 1), but got {value}.")
        self.p_feature = p_feature
        self.p_all = p_all

    def forward(self, missing: Tensor) -> Tensor:
        """The missing mask (B, F) with more of it set."""
        if not self.training or (self.p_feature == 0 and self.p_all == 0):
            return missing
        chance = torch.rand(missing.shape, device=missing.device)
        case_chance = torch.rand(len(missing), 1, device=missing.device)
        return missing | (chance < self.p_feature) | (case_chance < self.p_all)


class ObservedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose statistics come from observed tokens only, of all processes."""

    def forward(self, tokens: Tensor, observed: Tensor) -> Tensor:  # type: ignore[override]
        """Normalised tokens (B, M, D), given which are observed, (B, M) bool."""
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, var = self.running_mean, self.running_var
        tokens = tokens.to(mean.dtype)  # statistics in bfloat16 would be rounded to two digits
        if self.training:
            weight = observed.unsqueeze(-1).to(tokens.dtype)
            count = _over_processes(weight.sum())
            batch_mean = _over_processes((tokens * weight).sum((0, 1))) / count.clamp(min=1)
            squares = ((tokens - batch_mean).square() * weight).sum((0, 1))
            batch_var = _over_processes(squares) / count.clamp(min=1)
            enough = count > 1  # as tensors throughout: asking the device would stall the step
            mean = torch.where(enough, batch_mean, mean)
            var = torch.where(enough, batch_var, var)
            with torch.no_grad():
                momentum = torch.where(enough, self.momentum or 0.1, 0.0)
                unbiased = var * count / (count - 1).clamp(min=1)
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(unbiased, momentum)
        return (tokens - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias


def _over_processes(value: Tensor) -> Tensor:
    """The sum over all training processes; gradients flow back to each of them."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    return all_reduce(value)


class MetadataEncoder(nn.Module):
    """One token per metadata feature (or one for all).

    Feature f with its soft one-hot vector s_f becomes ``norm(W_f s_f + b_f) + e_f``: an own linear
    layer, batch normalisation over observed tokens, and a learned embedding of the feature.

    Args:
        task: The features and their cardinalities.
        dim: Width D of the tokens.
        granularity: ``feature`` for a token each, ``joint`` for one token of the whole vector.
        missing: What a feature that was not observed becomes: not attended to (``mask``), a learned
            vector (``token``), or a uniform soft one-hot (``uniform``).
        dropout: Probability of hiding an observed feature in training.
        dropout_all: Probability of hiding all features of a case in training.
    """

    owner: Tensor

    def __init__(
        self,
        task: LesionTask,
        dim: int,
        *,
        granularity: Granularity = "feature",
        missing: Missing = "mask",
        dropout: float = 0.1,
        dropout_all: float = 0.0,
    ) -> None:
        super().__init__()
        cardinalities = torch.tensor(task.cardinalities, dtype=torch.long)
        num_features, width = len(task.features), int(cardinalities.sum())
        feature_of = torch.repeat_interleave(torch.arange(num_features), cardinalities)
        # Which column belongs to which feature, (F, sum of K_f): one product then serves them all.
        owner = (torch.arange(num_features).unsqueeze(1) == feature_of).float()
        self.register_buffer("owner", owner, persistent=False)
        self.joint = granularity == "joint" and num_features > 0
        self.num_tokens = 1 if self.joint else num_features
        self.missing = missing
        self.drop = MetadataDropout(dropout, dropout_all)
        bound = (1 / cardinalities.sqrt())[feature_of].unsqueeze(1)
        if self.joint:
            bound = torch.full((width, 1), 1 / math.sqrt(max(width, 1)))
        self.weight = nn.Parameter((torch.rand(width, dim) * 2 - 1) * bound)
        self.bias = nn.Parameter(torch.zeros(self.num_tokens, dim))
        self.norm = ObservedBatchNorm(dim)
        self.feature_embedding = nn.Parameter(torch.randn(self.num_tokens, dim) * 0.02)
        if missing == "token":
            self.missing_token = nn.Parameter(torch.randn(self.num_tokens, dim) * 0.02)

    def forward(self, metadata: Tensor, missing: Tensor) -> MetadataTokens:
        """Tokens of soft one-hot vectors (B, sum of K_f) with their missing mask (B, F)."""
        hidden = self.drop(missing)
        columns = hidden.to(metadata.dtype) @ self.owner  # (B, sum of K_f), 1 where hidden
        if self.missing == "uniform":
            uniform = (self.owner / self.owner.sum(1, keepdim=True)).sum(0)
            metadata = torch.lerp(metadata, uniform.expand_as(metadata), columns)
            hidden = torch.zeros_like(hidden)
        else:
            metadata = metadata * (1 - columns)
        if self.joint:
            vectors = metadata.unsqueeze(1)
            hidden = hidden.all(1, keepdim=True)
        else:
            vectors = metadata.unsqueeze(1) * self.owner  # (B, F, sum of K_f), each row one block
        tokens = self.norm(vectors @ self.weight + self.bias, ~hidden)
        if self.missing == "token":
            tokens = torch.where(hidden.unsqueeze(-1), self.missing_token, tokens)
            hidden = torch.zeros_like(hidden)
        return MetadataTokens(tokens + self.feature_embedding, hidden)
