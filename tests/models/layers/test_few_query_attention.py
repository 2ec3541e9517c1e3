from __future__ import annotations

import pytest
import torch
from torch import nn

from vitatt.models.layers.few_query_attention import FewQueryAttention
from vitatt.types import UsageError

DIM, HEADS = 24, 3


def torchs(ours: FewQueryAttention) -> nn.MultiheadAttention:
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True, dtype=torch.float64)
    weights = [ours.query.weight, ours.key.weight, ours.value.weight]
    nothing = torch.zeros(2 * DIM, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat(weights))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, nothing]))
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
    return theirs


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("count", [1, 5])
def test_it_is_multi_head_attention(count: int, masked: bool) -> None:
    torch.manual_seed(0)
    ours = FewQueryAttention(DIM, HEADS).double()
    for parameter in ours.parameters():
        nn.init.normal_(parameter)
    query = torch.randn(4, count, DIM, dtype=torch.float64, requires_grad=True)
    context = torch.randn(4, 9, DIM, dtype=torch.float64, requires_grad=True)
    ignored = torch.rand(4, 9) < 0.4
    ignored[:, 2] = False
    mask = ignored if masked else None
    expected, _ = torchs(ours)(query, context, context, key_padding_mask=mask)
    actual = ours(query, context, mask)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)
    gradients = [
        torch.autograd.grad(result.sin().sum(), (query, context)) for result in (actual, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("heads", [0, 5])
def test_heads_that_do_not_divide_the_width(heads: int) -> None:
    with pytest.raises(UsageError, match=f"divide the token width 24, but got {heads}"):
        FewQueryAttention(DIM, heads)
