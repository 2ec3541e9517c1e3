"""Advice where a split cannot be made: other numbers of folds, found by trying each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from vitatt.types import FoldSpec

MOST_FOLDS = 20
MOST_GROUPS = 20

Works = Callable[[FoldSpec, int], bool]
"""Whether a split works once each lacking class has cases of that number of further groups."""


def advise(
    works: Works, fold_spec: FoldSpec, *, inner: bool, whose: str, group: str, least: int = 1
) -> str:
    """Return a sentence with a number of folds that works, or else with the groups to add.

    Args:
        works: Tries a split.
        fold_spec: The split that does not work.
        inner: Whether the number of inner folds is the cause.
        whose: The classes that lack groups, for the message.
        group: ``patient`` or ``lesion``.
        least: Fewest groups to ask for; fewer might work by chance only.
    """
    for other in _candidates(fold_spec, inner):
        if works(other, 0):
            changed = [
                f"`data.{name} {getattr(other, name)}`"
                for name in ("num_folds", "inner_folds")
                if getattr(other, name) != getattr(fold_spec, name)
            ]
            return f"{' with '.join(changed)} would do."
    needed = next((more for more in range(least, MOST_GROUPS + 1) if works(fold_spec, more)), None)
    count = f"at least {needed}" if needed else f"more than {MOST_GROUPS}"
    return (
        f"No `data.num_folds` or `data.inner_folds` up to {MOST_FOLDS} would do: add cases of "
        f"{whose}, from {count} more {group}s."
    )


def _candidates(fold_spec: FoldSpec, inner: bool) -> Iterator[FoldSpec]:
    """Yield other numbers of folds, nearest first: of the kind at fault, of the other, of both."""
    order = ["inner_folds", "num_folds"] if inner else ["num_folds", "inner_folds"]
    for name in order:
        now = getattr(fold_spec, name)
        for number in _others(now):
            yield from _possible(dataclasses.replace(fold_spec, **{name: number}))
    for number in _others(fold_spec.num_folds):
        if number != fold_spec.inner_folds:
            yield from _possible(
                dataclasses.replace(fold_spec, num_folds=number, inner_folds=number)
            )


def _others(now: int) -> list[int]:
    numbers = [number for number in range(2, MOST_FOLDS + 1) if number != now]
    return sorted(numbers, key=lambda number: abs(number - now))


def _possible(fold_spec: FoldSpec) -> Iterator[FoldSpec]:
    """Yield the split if its folds exist."""
    if fold_spec.fold < fold_spec.num_folds and fold_spec.inner_fold < fold_spec.inner_folds:
        yield fold_spec
