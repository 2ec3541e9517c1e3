from __future__ import annotations

import torch

from vitatt.models.layers.class_head import ClassHead


def test_temperature_divides_logits_in_evaluation_alone() -> None:
    torch.manual_seed(0)
    head, embedding = ClassHead(4, 3), torch.randn(5, 4)
    plain = head.eval()(embedding)
    torch.testing.assert_close(plain.sum(-1), torch.zeros(5))
    head.temperature.fill_(2.0)
    torch.testing.assert_close(head(embedding), plain / 2)
    torch.testing.assert_close(head.train()(embedding), plain)
