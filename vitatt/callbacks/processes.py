"""Items of all processes of a training, gathered in the first one."""

from __future__ import annotations

from typing import Any, TypeVar

import torch.distributed

_Item = TypeVar("_Item")


def gather(items: list[_Item]) -> list[_Item]:
    """The items of all processes, in the first one; nothing in the others."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return items
    first = torch.distributed.get_rank() == 0
    parts: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.gather_object(items, parts if first else None, dst=0)
    return [item for part in parts for item in part] if first else []
