"""The written-out backward pass of attention against autograd through plain formulas."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.attention.call import (
    AttentionCall,
    attention_probabilities,
    packed,
    unpack,
)
from vitatt.explain.attention.class_row import ClassRow
from vitatt.explain.attention.differentiation import full_precision
from vitatt.explain.attention.probe import AttentionProbe
from vitatt.explain.attention.recorded_forward import recorded_forward
from vitatt.explain.methods.tmme import tmme
from vitatt.models.fusion.network import ClasslessLayout, PoolLayout, TokenLayout

CASES, HEADS, TOKENS, WIDTH = 5, 3, 7, 4
LAYOUT = TokenLayout(1, 4, 2)


def make_call(
    *, queries: int = TOKENS, masked: str = "none", scale: float | None = None
) -> AttentionCall:
    generator = torch.Generator().manual_seed(0)

    def random(tokens: int) -> Tensor:
        shape = (CASES, HEADS, tokens, WIDTH)
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    masks = {
        "none": None,
        "cases": torch.rand(CASES, 1, 1, TOKENS, generator=generator) > 0.4,
        "all": torch.rand(1, 1, queries, TOKENS, generator=generator) > 0.4,
        "heads": torch.rand(HEADS, queries, TOKENS, generator=generator) > 0.4,
        "plain": torch.rand(queries, TOKENS, generator=generator) > 0.4,
        "bias": torch.randn(1, HEADS, queries, TOKENS, generator=generator, dtype=torch.float64),
        "bias of all": torch.randn(HEADS, queries, TOKENS, generator=generator).double(),
    }
    mask = masks[masked]
    if mask is not None and mask.dtype == torch.bool:
        mask[..., 0] = True  # a query with no key at all is NaN in any softmax
    return AttentionCall(random(queries), random(TOKENS), random(TOKENS), mask, scale, LAYOUT)


def of_formulas(call: AttentionCall, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Abar and gradients, by autograd through a softmax that is written out."""
    scores = call.query @ call.key.mT * (call.scale or WIDTH**-0.5)
    if call.mask is not None and call.mask.is_floating_point():
        scores = scores + call.mask
    elif call.mask is not None:
        scores = scores + torch.zeros_like(scores).masked_fill(~call.mask, -torch.inf)
    attention = scores.softmax(-1)
    value = (attention @ call.value * weights).sum()
    found = torch.autograd.grad(value, [attention, *call[:3]])
    return (attention * found[0]).clamp(min=0).mean(1), list(found[1:])


@pytest.fixture(params=["a case at a time", "all cases at once", "all at once, as on a GPU"])
def _parts_of_work(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = "vitatt.explain.attention.probe"
    if request.param == "a case at a time":
        monkeypatch.setattr(f"{probe}._CACHE", 1)
    if request.param == "all at once, as on a GPU":
        monkeypatch.setattr(f"{probe}._parts", lambda call: [(slice(None), slice(None))])


@pytest.mark.usefixtures("_parts_of_work")
@pytest.mark.parametrize("scale", [None, 0.9])
@pytest.mark.parametrize(
    "masked", ["none", "cases", "all", "heads", "plain", "bias", "bias of all"]
)
@pytest.mark.parametrize("queries", [1, TOKENS])
def test_relevance_and_gradients_are_those_of_the_formulas(
    queries: int, masked: str, scale: float | None
) -> None:
    call = make_call(queries=queries, masked=masked, scale=scale)
    weights = torch.randn(CASES, HEADS, queries, WIDTH, dtype=torch.float64)
    expected, by_inputs = of_formulas(call, weights)
    probe = AttentionProbe(torch.device("cpu"))
    output = probe.attend(call)
    torch.testing.assert_close(output, attention_probabilities(call) @ call.value)
    row = some_row()
    below = probe.read((output * weights).sum(), row, keep=True)
    above = torch.cat(row.kinds, dim=1)
    carried = above + torch.einsum("bq,bqn->bn", above[:, :queries], expected)
    torch.testing.assert_close(torch.cat(below.kinds, dim=1), carried, rtol=1e-12, atol=1e-14)
    actual = by_probe(call, weights, list(call[:3]))
    torch.testing.assert_close(actual, by_inputs, rtol=1e-11, atol=1e-13)


@pytest.mark.usefixtures("_parts_of_work")
def test_an_attention_pool_passes_the_class_tokens_relevance_to_its_keys() -> None:
    """The class token is the query, and not among the keys; it keeps its own relevance."""
    call = make_call(queries=1)._replace(layout=PoolLayout(2, 5))
    weights = torch.randn(CASES, HEADS, 1, WIDTH, dtype=torch.float64)
    expected, _ = of_formulas(call, weights)
    row = ClassRow(*torch.rand(CASES, 3 + 5 + 2, dtype=torch.float64).split([3, 5, 2], dim=1))
    probe = AttentionProbe(torch.device("cpu"))
    below = probe.read((probe.attend(call) * weights).sum(), row, keep=False)
    passed = row.prefix[:, :1] * expected[:, 0]
    torch.testing.assert_close(below.prefix[:, :1], row.prefix[:, :1], rtol=0, atol=0)
    torch.testing.assert_close(below.prefix[:, 1:], row.prefix[:, 1:] + passed[:, :2])
    torch.testing.assert_close(below.patches, row.patches + passed[:, 2:])
    torch.testing.assert_close(below.metadata, row.metadata, rtol=0, atol=0)


def test_a_layer_without_class_token_leaves_its_relevance() -> None:
    layout = ClasslessLayout(2, 5)
    start = ClassRow.start(torch.zeros(CASES, 1), [layout, PoolLayout(0, 5), TokenLayout(1, 5, 2)])
    assert [part.shape[1] for part in start.kinds] == [3, 5, 2]
    row = start._replace(patches=torch.rand(CASES, 5), prefix=torch.rand(CASES, 3))
    assert torch.equal(row.of(layout), torch.cat([row.prefix[:, 1:], row.patches], dim=1))
    passed = torch.rand(CASES, 7)
    below = row.below(passed, layout)
    assert torch.equal(below.prefix[:, :1], row.prefix[:, :1])
    assert torch.equal(below.of(layout), row.of(layout) + passed)


def some_row() -> ClassRow:
    """A row as it may arrive at the layer."""
    row = torch.rand(CASES, TOKENS, dtype=torch.float64)
    return ClassRow(*row.split(LAYOUT.sizes, dim=1))


def by_probe(call: AttentionCall, weights: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    """Gradients by inputs, through a probe."""
    probe = AttentionProbe(torch.device("cpu"))
    probe.row = some_row()
    return list(torch.autograd.grad((probe.attend(call) * weights).sum(), inputs))


@pytest.mark.usefixtures("_parts_of_work")
def test_gradients_by_a_projection_that_holds_all_three() -> None:
    shape = (CASES, TOKENS, 3 * HEADS * WIDTH)
    inputs = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    whole = inputs * 2
    query, key, value = unpack(whole, HEADS)
    call = AttentionCall(query, key, value, None, None, LAYOUT)
    assert packed(call) is whole
    weights = torch.randn(CASES, HEADS, TOKENS, WIDTH, dtype=torch.float64)
    _, expected = of_formulas(call, weights)
    in_place = torch.stack(expected).permute(1, 3, 0, 2, 4).flatten(2)
    (by_whole,) = by_probe(call, weights, [whole])
    torch.testing.assert_close(by_whole, in_place, rtol=1e-11, atol=1e-13)
    torch.testing.assert_close(by_probe(call, weights, [inputs]), [2 * by_whole])


def test_gradients_by_keys_and_values_of_a_query_that_is_constant() -> None:
    call = make_call(queries=1)
    call = call._replace(query=call.query.detach())
    weights = torch.randn(CASES, HEADS, 1, WIDTH, dtype=torch.float64)
    moving = call._replace(query=call.query.clone().requires_grad_(True))
    _, expected = of_formulas(moving, weights)
    actual = by_probe(call, weights, [call.key, call.value])
    torch.testing.assert_close(actual, expected[1:], rtol=1e-11, atol=1e-13)


def test_only_inputs_that_fill_one_projection_in_its_order_are_packed() -> None:
    whole = torch.randn(CASES, TOKENS, 3 * HEADS * WIDTH, requires_grad=True) * 1
    query, key, value = unpack(whole, HEADS)
    for parts in [
        (key, query, value),
        (query, key, key),
        (query, key.detach(), value),
        (query, key, value.clone()),
        (query[:, :, :1], key, value),
        (query.clone(), key.clone(), value.clone()),
    ]:
        assert packed(AttentionCall(*parts, None, None, LAYOUT)) is None
    wider = torch.randn(CASES, TOKENS, 4 * HEADS * WIDTH)[:, :, : 3 * HEADS * WIDTH]
    query, key, value = unpack(wider, HEADS)
    assert packed(AttentionCall(query, key, value, None, None, LAYOUT)) is None


def test_the_blocks_of_an_encoder_are_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task()
    network, batch = make_network(task), make_batch(task, 3)
    found: list[Tensor | None] = []

    def note(call: AttentionCall) -> Tensor | None:
        found.append(packed(call))
        return found[-1]

    monkeypatch.setattr("vitatt.explain.attention.probe.packed", note)
    with recorded_forward(network, batch):
        pass
    blocks = network.encoder.num_blocks
    assert blocks
    assert all(whole is not None for whole in found[:blocks])


def test_a_head_whose_relevance_is_negative_does_not_lessen_that_of_others() -> None:
    value = torch.tensor([[[[1.0], [-2.0]], [[-1.0], [5.0]]]], requires_grad=True)  # heads, keys
    equal = torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 2, 1)  # so attention is 1 / 2
    call = AttentionCall(equal[0], equal[1], value, None, None, TokenLayout(1, 1, 0))
    probe = AttentionProbe(torch.device("cpu"))
    row = ClassRow.start(torch.zeros(1, 1), [call.layout])
    below = probe.read(probe.attend(call).sum(), row, keep=False)
    # By key: half the mean over heads of max(1, 0) and max(-1, 0); of max(-2, 0) and max(5, 0).
    expected = torch.tensor([[1 + 0.25, 1.25]])
    torch.testing.assert_close(torch.cat(below.kinds, dim=1), expected)


@pytest.mark.parametrize("arguments", [{}, {"join_at": 2, "depth": 1}])
def test_layers_are_passed_last_first_and_once_a_pass(
    arguments: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    network, batch = make_network(task, **arguments), make_batch(task, 3)
    layouts: list[TokenLayout] = []
    below = ClassRow.below

    def note(row: ClassRow, passed: Tensor, layout: TokenLayout) -> ClassRow:
        layouts.append(layout)
        return below(row, passed, layout)

    monkeypatch.setattr(ClassRow, "below", note)
    with recorded_forward(network, batch) as recorded:
        tmme(recorded, torch.tensor([[0, 1]] * 3))
    assert layouts == network.layouts[::-1] * 2


def test_gradients_go_back_by_read_only() -> None:
    probe = AttentionProbe(torch.device("cpu"))
    with pytest.raises(AssertionError, match="by `read` only"):
        probe.attend(make_call()).sum().backward()


def test_a_pass_without_gradients_explains_no_class() -> None:
    task = make_task()
    network, batch = make_network(task), make_batch(task, 3)
    with recorded_forward(network, batch, gradients=False) as recorded:
        assert not recorded.logits.requires_grad
        with pytest.raises(ValueError, match="gradients=True"):
            tmme(recorded, torch.zeros(3, 1, dtype=torch.long))


@pytest.mark.parametrize("option", [{"is_causal": True}, {"dropout_p": 0.5}, {"enable_gqa": True}])
def test_attention_of_another_kind_is_refused(
    option: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task()
    network, batch = make_network(task), make_batch(task, 3)
    attention = network.encoder.vit.blocks[1].attn
    plain = F.scaled_dot_product_attention

    def forward(tokens: Tensor, **_: object) -> Tensor:
        heads = tokens.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        mixed: Tensor = plain(heads, heads, heads, **option)  # type: ignore[arg-type]
        return mixed.transpose(1, 2).flatten(2)

    monkeypatch.setattr(attention, "forward", forward)
    name, value = next(iter(option.items()))
    with (
        pytest.raises(RuntimeError, match=rf"layer 1 to be softmax.*{name}={value}"),
        recorded_forward(network, batch),
    ):
        pass


def test_relevance_is_computed_in_full_precision_and_the_setting_comes_back() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        with torch.autocast("cpu", torch.bfloat16), full_precision(torch.zeros(1)):
            assert torch.get_float32_matmul_precision() == "highest"
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
