"""Names of networks: registered ones, and import paths that older versions wrote."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from vitatt.models.encoders.base import ImageEncoder
from vitatt.models.fusion import FUSIONS, register_fusion
from vitatt.models.fusion.film import FiLM
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.naming import class_of, class_path, name_of, plain_fusion
from vitatt.models.fusion.network import LesionNetwork
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import LesionTask, UsageError


class OwnFusion(ImageOnly):
    """A user's network."""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[LesionNetwork]]:
    """The registry, as it was after the test."""
    for name, network in FUSIONS.items():
        monkeypatch.setitem(FUSIONS, name, network)
    monkeypatch.setitem(FUSIONS, "own", OwnFusion)
    monkeypatch.delitem(FUSIONS, "own")
    return FUSIONS


def test_every_network_of_the_package_is_registered_once() -> None:
    found = {
        kind
        for kind in LesionNetwork.__subclasses__()
        if kind.__module__.startswith("vitatt.models.fusion.")
    }
    assert set(FUSIONS.values()) == found
    assert len(set(FUSIONS.values())) == len(FUSIONS)


def test_a_network_of_the_users_is_registered(registry: dict[str, Any]) -> None:
    register_fusion("own", OwnFusion)
    register_fusion("own", OwnFusion)  # as when a notebook's cell runs again
    assert class_of("own") is OwnFusion
    assert name_of(class_path(OwnFusion)) == "own"
    assert plain_fusion(OwnFusion) == {"name": "own", "init_args": {}}


@pytest.mark.parametrize(
    ("name", "network", "message"),
    [
        ("film", OwnFusion, "name 'film' is taken by FiLM. Taken names: vitatt, image_only"),
        ("own.fusion", OwnFusion, "letters, digits and underscores, but got 'own.fusion'"),
        ("own", dict, "subclass of LesionNetwork, but got <class 'dict'>"),
        ("own", OwnFusion.forward, "subclass of LesionNetwork, but got <function"),
    ],
)
def test_what_cannot_be_registered(
    registry: dict[str, Any], name: str, network: Any, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        register_fusion(name, network)
    assert "own" not in registry


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("vitatt.models.fusion.AttentionFusion", "vitatt"),
        ("vitatt.models.fusion.vitatt.AttentionFusion", "vitatt"),
        ("vitatt.models.baselines.film.FiLM", "film"),
        ("vitatt.models.baselines.metadata_only.MetadataOnly", "metadata_only"),
        ("film", "film"),
        ("os.system", "os.system"),
        ("vitatt.models.fusion.film.F", "vitatt.models.fusion.film.F"),
    ],
)
def test_names_of_import_paths(path: str, name: str) -> None:
    assert name_of(path) == name


def test_classes_by_name_are_registered_or_given() -> None:
    path = class_path(OwnFusion)
    assert class_of("film") is FiLM
    assert class_of(path) is None, "in memory, but neither registered nor given"
    assert class_of(path, OwnFusion) is OwnFusion
    assert class_of(path, FiLM) is None
    assert class_of("os.system", OwnFusion) is None


@pytest.mark.parametrize(
    "fusion",
    [
        functools.partial(AttentionFusion, depth=2),
        {"name": "vitatt", "init_args": {"depth": 2}},
        {"class_path": "vitatt.models.fusion.AttentionFusion", "init_args": {"depth": 2}},
        {"class_path": "vitatt", "dict_kwargs": {"depth": 2}, "init_args": None},
    ],
)
def test_plain_form(fusion: Any) -> None:
    assert plain_fusion(fusion) == {"name": "vitatt", "init_args": {"depth": 2}}


def test_a_function_has_no_plain_form() -> None:
    def make(encoder: ImageEncoder, task: LesionTask) -> LesionNetwork:
        return ImageOnly(encoder, task)

    for fusion in (make, functools.partial(make, dropout=0.5), functools.partial(FiLM, None)):
        with pytest.raises(UsageError, match="so that checkpoints can name it, but got"):
            plain_fusion(fusion)
