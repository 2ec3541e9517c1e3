from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.tasks import CARDINALITIES, make_batch, make_task
from vitatt.models.layers.metadata_encoder import (
    MetadataDropout,
    MetadataEncoder,
    ObservedBatchNorm,
)

TASK = make_task()
DIM = 6


def make_encoder(**arguments: object) -> MetadataEncoder:
    torch.manual_seed(0)
    encoder = MetadataEncoder(TASK, DIM, **{"dropout": 0.0, **arguments})
    with torch.no_grad():
        encoder.bias.normal_()
        encoder.norm.running_mean.normal_()
        encoder.norm.running_var.uniform_(0.5, 2)
    return encoder.eval()


def changed_where_missing(metadata: Tensor, missing: Tensor) -> Tensor:
    blocks = metadata.split(CARDINALITIES, dim=1)
    return torch.cat(
        [
            torch.where(gone.unsqueeze(1), 7 * torch.randn_like(block), block)
            for block, gone in zip(blocks, missing.unbind(1), strict=True)
        ],
        dim=1,
    )


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("granularity", ["feature", "joint"])
@pytest.mark.parametrize("mode", ["mask", "token", "uniform"])
def test_what_stands_under_a_missing_feature_changes_nothing(
    mode: str, granularity: str, train: bool
) -> None:
    batch = make_batch(TASK)
    outputs, statistics = [], []
    for metadata in (batch.metadata, changed_where_missing(batch.metadata, batch.missing)):
        encoder = make_encoder(missing=mode, granularity=granularity).train(train)
        tokens, hidden = encoder(metadata, batch.missing)
        outputs.append(tokens[~hidden])
        statistics.append(encoder.norm.running_var)
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(statistics[0], statistics[1])
    encoder = make_encoder(missing=mode, granularity=granularity)
    other = encoder(batch.metadata.flip(1), batch.missing).tokens
    assert not torch.allclose(other, encoder(batch.metadata, batch.missing).tokens)


def test_each_feature_has_its_own_linear_layer_norm_and_embedding() -> None:
    encoder, batch = make_encoder(), make_batch(TASK)
    tokens = encoder(batch.metadata, torch.zeros_like(batch.missing)).tokens
    blocks, weights = (
        batch.metadata.split(CARDINALITIES, dim=1),
        encoder.weight.split(CARDINALITIES),
    )
    for f, (block, weight) in enumerate(zip(blocks, weights, strict=True)):
        expected = nn.functional.batch_norm(
            block @ weight + encoder.bias[f],
            encoder.norm.running_mean,
            encoder.norm.running_var,
            encoder.norm.weight,
            encoder.norm.bias,
        )
        torch.testing.assert_close(tokens[:, f], expected + encoder.feature_embedding[f])


def test_mask_hides_what_is_missing() -> None:
    batch = make_batch(TASK)
    assert torch.equal(
        make_encoder()(batch.metadata, batch.missing).key_padding_mask, batch.missing
    )
    joint = make_encoder(granularity="joint")(batch.metadata, batch.missing)
    assert joint.tokens.shape == (8, 1, DIM)
    assert torch.equal(joint.key_padding_mask, batch.missing.all(1, keepdim=True))
    assert joint.key_padding_mask.any()
    assert not joint.key_padding_mask.all()


def test_token_puts_the_learned_vector_where_a_feature_is_missing() -> None:
    encoder, batch = make_encoder(missing="token"), make_batch(TASK)
    tokens, hidden = encoder(batch.metadata, batch.missing)
    assert not hidden.any()
    learned = (encoder.missing_token + encoder.feature_embedding).expand_as(tokens)
    torch.testing.assert_close(tokens[batch.missing], learned[batch.missing])
    plain = make_encoder()
    plain.load_state_dict(encoder.state_dict(), strict=False)
    expected = plain(batch.metadata, batch.missing).tokens
    torch.testing.assert_close(tokens[~batch.missing], expected[~batch.missing])
    tokens.sum().backward()
    assert encoder.missing_token.grad.abs().sum() > 0


@pytest.mark.parametrize("granularity", ["feature", "joint"])
def test_uniform_is_a_uniform_soft_one_hot(granularity: str) -> None:
    encoder = make_encoder(missing="uniform", granularity=granularity)
    batch = make_batch(TASK)
    blocks = [
        torch.where(gone.unsqueeze(1), torch.full_like(block, 1 / block.shape[1]), block)
        for block, gone in zip(
            batch.metadata.split(CARDINALITIES, 1), batch.missing.unbind(1), strict=True
        )
    ]
    expected = encoder(torch.cat(blocks, 1), torch.zeros_like(batch.missing))
    actual = encoder(batch.metadata, batch.missing)
    assert not actual.key_padding_mask.any()
    torch.testing.assert_close(actual.tokens, expected.tokens)


@pytest.mark.parametrize(("p_feature", "p_all"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_dropout_hides_with_the_given_probabilities(p_feature: float, p_all: float) -> None:
    torch.manual_seed(0)
    size, count = 20_000, 4
    missing = torch.zeros(size, count, dtype=torch.bool)
    missing[:, 0] = True
    drop = MetadataDropout(p_feature, p_all)
    hidden = drop(missing)
    assert hidden[:, 0].all(), "what is missing stays missing"
    observed = hidden[:, 1:]
    each = 1 - (1 - p_feature) * (1 - p_all)
    together = p_all + (1 - p_all) * p_feature ** (count - 1)
    assert observed.float().mean(0).tolist() == pytest.approx([each] * 3, abs=0.015)
    assert observed.all(1).float().mean().item() == pytest.approx(together, abs=0.015)
    assert torch.equal(drop.eval()(missing), missing)


@pytest.mark.parametrize("dropout", ["dropout", "dropout_all"])
def test_encoder_drops_in_training_only(dropout: str) -> None:
    encoder, batch = make_encoder(**{dropout: 0.5}), make_batch(TASK, 64)
    assert torch.equal(encoder(batch.metadata, batch.missing).key_padding_mask, batch.missing)
    hidden = encoder.train()(batch.metadata, batch.missing).key_padding_mask
    assert (hidden & ~batch.missing).any()
    assert (hidden | ~batch.missing).all()


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_dropout_out_of_range(value: float) -> None:
    with pytest.raises(ValueError, match=r"`dropout` to be in \[0, 1\)"):
        MetadataDropout(value, 0.0)
    with pytest.raises(ValueError, match=r"`dropout_all` to be in \[0, 1\)"):
        MetadataDropout(0.0, value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batch_norm_is_that_of_the_observed_tokens(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    ours, theirs = ObservedBatchNorm(DIM).to(dtype), nn.BatchNorm1d(DIM).to(dtype)
    with torch.no_grad():
        ours.weight.normal_()
        ours.bias.normal_()
    theirs.load_state_dict(ours.state_dict())
    for _ in range(4):
        tokens = torch.randn(7, 3, DIM, dtype=dtype) * 3 + 2
        observed = torch.rand(7, 3) < 0.6
        tokens[~observed] = 1e3
        actual = ours(tokens.requires_grad_(), observed)[observed]
        expected = theirs(tokens[observed])
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
        kernel = torch.randn_like(actual)
        gradients = [
            torch.autograd.grad((output * kernel).sum(), tokens)[0] for output in (actual, expected)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)
    actual = ours.eval()(tokens, observed)[observed]
    torch.testing.assert_close(actual, theirs.eval()(tokens[observed]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_batch_norm_of_too_few_tokens_keeps_its_statistics(count: int) -> None:
    norm = ObservedBatchNorm(DIM)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    mean, var = norm.running_mean.clone(), norm.running_var.clone()
    observed = torch.zeros(4, 3, dtype=torch.bool)
    observed[0, :count] = True
    tokens = torch.randn(4, 3, DIM, requires_grad=True)
    output = norm(tokens, observed)
    assert torch.equal(norm.running_mean, mean)
    assert torch.equal(norm.running_var, var)
    torch.testing.assert_close(output, (tokens - mean) / (var + norm.eps).sqrt())
    output.sum().backward()
    assert torch.isfinite(tokens.grad).all()
