from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def single_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tensors of tests are tiny: more threads only wait for one another, on a busy machine long."""
    if "performance" in request.path.parts:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
