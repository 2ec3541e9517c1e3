"""The parts that every transformer layer of the fusion networks has."""

from __future__ import annotations

from timm.layers import Mlp
from torch import Tensor, nn


class PreNormLayer(nn.Module):
    """A pre-norm transformer layer; subclasses say which tokens attend to which.

    Args:
        dim: Width D of the tokens.
        attention: Its input is normalised by `norm1`.
        dropout: Dropout after attention and in the MLP.
    """

    def __init__(self, dim: int, attention: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attention
        self.drop = nn.Dropout(dropout)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden_features=4 * dim, drop=dropout)

    def update(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """Tokens (B, N, D) plus the output of their attention (B, N, D), then the MLP."""
        tokens = tokens + self.drop(attended)
        return tokens + self.mlp(self.norm2(tokens))
