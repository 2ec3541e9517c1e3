"""Comparison of encoders, so that networks on one frozen encoder can run it once."""

from __future__ import annotations

import torch

from vitatt.models.encoders.base import ImageEncoder


def same_tokens(one: ImageEncoder, other: ImageEncoder) -> bool:
    """Return whether two encoders in evaluation mode give the same tokens of the same pixels.

    They do if architecture, image size and all weights and statistics are equal.
    """
    if one is other:
        return True
    if (repr(one), one.num_heads, one.grid_size) != (repr(other), other.num_heads, other.grid_size):
        return False
    weights, others = one.state_dict(), other.state_dict()
    return all(torch.equal(weight, others[name]) for name, weight in weights.items())
