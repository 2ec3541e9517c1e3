"""Metadata tokens from soft one-hot vectors."""

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
    """Metadata tokens of a batch.

    Attributes:
        tokens: (B, M, D); M is F, or 1 if all features share a token.
        key_padding_mask: True where a token is not attended to, (B, M) bool.
    """

    tokens: Tensor
    key_padding_mask: Tensor

    def mean(self) -> Tensor:
        """Mean (B, D) of the tokens that may be attended to; 0 if there are none."""
        known = (~self.key_padding_mask).unsqueeze(2).to(self.tokens.dtype)
        return (self.tokens * known).sum(1) / known.sum(1).clamp(min=1)


class MetadataDropout(nn.Module):
    """Marks observed features as missing in training, so that the network learns without them.

    Args:
        p_feature: Probability that an observed feature is dropped.
        p_all: Probability that all features of a case are dropped together.
    """

    def __init__(self, p_feature: float, p_all: float) -> None:
        super().__init__()
        for name, value in (("dropout", p_feature), ("dropout_all", p_all)):
            if not 0 <= value < 1:
                raise UsageError(f"Expected argument `{name}` to be in [0, 1), but got {value}.")
        self.p_feature = p_feature
        self.p_all = p_all

    def forward(self, missing: Tensor) -> Tensor:
        """The missing mask (B, F), with dropped features set to True."""
        if not self.training or (self.p_feature == 0 and self.p_all == 0):
            return missing
        chance = torch.rand(missing.shape, device=missing.device)
        case_chance = torch.rand(len(missing), 1, device=missing.device)
        return missing | (chance < self.p_feature) | (case_chance < self.p_all)


class ObservedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation with statistics over the observed tokens of all processes."""

    def forward(self, tokens: Tensor, observed: Tensor) -> Tensor:  # type: ignore[override]
        """Normalised tokens (B, M, D), given which are observed, (B, M) bool."""
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, var = self.running_mean, self.running_var
        tokens = tokens.to(mean.dtype)  # bfloat16 would round the statistics to two digits
        if self.training:
            weight = observed.unsqueeze(-1).to(tokens.dtype)
            count = _over_processes(weight.sum())
            batch_mean = _over_processes((tokens * weight).sum((0, 1))) / count.clamp(min=1)
            squares = ((tokens - batch_mean).square() * weight).sum((0, 1))
            batch_var = _over_processes(squares) / count.clamp(min=1)
            enough = count > 1  # a tensor: its value on the host would need a synchronisation
            mean = torch.where(enough, batch_mean, mean)
            var = torch.where(enough, batch_var, var)
            with torch.no_grad():
                momentum = torch.where(enough, self.momentum or 0.1, 0.0)
                unbiased = var * count / (count - 1).clamp(min=1)
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(unbiased, momentum)
        return (tokens - mean) * torch.rsqrt(var + self.eps) * self.weight + self.bias


def _over_processes(value: Tensor) -> Tensor:
    """The sum over all training processes, differentiable in each of them."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    return all_reduce(value)


class MetadataEncoder(nn.Module):
    """One token per metadata feature, or one for all.

    The token of feature f with soft one-hot vector s_f is ``norm(W_f s_f + b_f) + e_f``: a linear
    layer for each feature, batch normalisation over observed tokens, and a learned feature
    embedding.

    Args:
        task: The features and their cardinalities.
        dim: Width D of the tokens.
        granularity: ``feature`` for one token per feature, ``joint`` for one token of the whole
            vector.
        missing: How a feature that was not observed is encoded: masked in the attention (``mask``),
            as a learned vector (``token``), or as a uniform soft one-hot vector (``uniform``).
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
        # (F, sum of K_f), 1 where a column belongs to a feature: one product serves all features.
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
        """Tokens of soft one-hot vectors (B, sum of K_f) with missing mask (B, F)."""
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
