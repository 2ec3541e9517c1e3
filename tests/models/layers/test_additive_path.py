from __future__ import annotations

import torch

from tests.tasks import make_batch, make_network, make_task
from vitatt.explain.methods import explain
from vitatt.models.layers.additive_path import AdditivePath

PATCHES, FEATURES, DIM, CLASSES = 4, 3, 8, 5


def make_path() -> tuple[AdditivePath, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    path = AdditivePath(DIM, CLASSES).double()
    torch.nn.init.normal_(path.weight)
    torch.nn.init.normal_(path.bias)
    tokens = torch.randn(6, 1 + PATCHES + FEATURES, DIM, dtype=torch.float64)
    mask = torch.rand(6, tokens.shape[1]) < 0.4
    mask[:, : 1 + PATCHES] = False
    mask[0, 1 + PATCHES :] = True
    return path, tokens, mask


def test_logits_are_a_sum_over_observed_tokens() -> None:
    path, tokens, mask = make_path()
    for case in range(len(tokens)):
        expected = path.bias.clone()
        for n in range(tokens.shape[1]):
            if mask[case, n]:
                continue
            token = tokens[case, n]
            token = (token - token.mean()) / (token.var(unbiased=False) + 1e-5).sqrt()
            kind = 0 if n == 0 else 1 if n <= PATCHES else 2
            expected = expected + path.weight[kind] @ token / (PATCHES if kind == 1 else 1)
        torch.testing.assert_close(path(tokens, mask, PATCHES)[case], expected)


def test_contributions_are_what_the_logits_lose_without_a_token() -> None:
    path, tokens, mask = make_path()
    whole, each = path(tokens, mask, PATCHES), path.contributions(tokens, PATCHES)
    for n in range(1 + PATCHES, tokens.shape[1]):
        hidden = mask.clone()
        hidden[:, n] = True
        lost = whole - path(tokens, hidden, PATCHES)
        torch.testing.assert_close(lost, each[:, n] * ~mask[:, n, None])


def test_without_training_it_says_nothing() -> None:
    path, tokens, mask = AdditivePath(DIM, CLASSES), *make_path()[1:]
    assert (path(tokens.float(), mask, PATCHES) == 0).all()


def test_a_feature_without_relevance_changes_no_logit() -> None:
    """Of a network in which both paths ignore one feature, and of which neither ignores it."""
    task = make_task()
    batch = make_batch(task)
    hidden = batch._replace(missing=batch.missing.clone())
    hidden.missing[:, 2] = True
    target = torch.arange(len(task.classes)).expand(len(batch.target), -1)

    def of_feature(network: torch.nn.Module) -> tuple[float, float]:
        relevance = explain(network, batch, target).features[..., 2].abs().max()
        with torch.no_grad():
            change = (network(batch).logits - network(hidden).logits).abs().max()
        return float(relevance), float(change)

    network = make_network(task, additive=True)
    relevance, change = of_feature(network)
    assert relevance > 1e-3
    assert change > 1e-3
    # An attention path that cannot see metadata leaves the additive path alone, and its evidence
    # is in the explanation.
    blocks = network.blocks[0]
    with torch.no_grad():
        blocks.attn.proj.weight.zero_()
        blocks.attn.proj.bias.zero_()
    relevance, change = of_feature(network)
    assert relevance > 1e-3
    assert change > 1e-3
    with torch.no_grad():
        network.additive.weight.zero_()
    assert of_feature(network) == (0.0, 0.0)
