"""Checkpoints of strangers, of older versions, and of networks that users write."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tasks import make_batch, make_task
from vitatt.models.checkpoint import read_hyper_parameters
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion import FUSIONS, register_fusion
from vitatt.models.fusion.image_only import ImageOnly
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.types import UsageError

TASK = make_task()
Change = Callable[[dict[str, Any]], object]


class OwnFusion(ImageOnly):
    """A user's network."""


def checkpoint_of(model: LesionClassifier) -> dict[str, Any]:
    """A checkpoint as the trainer makes it, without what only the trainer reads."""
    checkpoint = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    return checkpoint


def make_model(fusion: Any = AttentionFusion, **settings: Any) -> LesionClassifier:
    torch.manual_seed(0)
    return LesionClassifier(TASK.to_plain(), encoder="test_vit", fusion=fusion, **settings).eval()


def saved(path: Path, fusion: Any, change: Change = id) -> Path:
    checkpoint = checkpoint_of(make_model(fusion))
    change(checkpoint["hyper_parameters"])
    torch.save(checkpoint, path / "model.ckpt")
    return path / "model.ckpt"


def assert_same(path: Path, model: LesionClassifier, **arguments: Any) -> LesionClassifier:
    loaded = LesionClassifier.load_from_checkpoint(path, **arguments).eval()
    batch = make_batch(TASK, seed=9)
    with torch.no_grad():
        assert torch.equal(loaded(batch).logits, model(batch).logits)
    return loaded


def test_a_network_is_saved_by_its_registered_name(tmp_path: Path) -> None:
    fusion = functools.partial(AttentionFusion, depth=2)
    path = saved(tmp_path, fusion)
    plain = torch.load(path, weights_only=True)["hyper_parameters"]
    assert plain["fusion"] == {"name": "vitatt", "init_args": {"depth": 2}}
    assert "_instantiator" not in plain
    loaded = assert_same(path, make_model(fusion), map_location="cpu")
    assert checkpoint_of(loaded)["hyper_parameters"] == plain


def as_before_0_1_0(class_path: str, arguments: dict[str, Any]) -> Change:
    def change(settings: dict[str, Any]) -> None:
        settings["_instantiator"] = "lightning.pytorch.cli.instantiate_module"
        settings["fusion"] = {"class_path": class_path, "init_args": arguments}
        settings["task"]["split"] = settings["task"].pop("fold_spec")

    return change


@pytest.mark.parametrize(
    ("network", "path", "arguments"),
    [
        (AttentionFusion, "vitatt.models.fusion.AttentionFusion", {"depth": None, "join_at": 3}),
        (AttentionFusion, "vitatt.models.fusion.vitatt.AttentionFusion", {}),
        (MetadataOnly, "vitatt.models.baselines.metadata_only.MetadataOnly", {"hidden": 8}),
    ],
)
def test_checkpoints_from_before_0_1_0(
    network: Any, path: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    fusion = functools.partial(network, **arguments)
    file = saved(tmp_path, fusion, as_before_0_1_0(path, arguments))
    loaded = assert_same(file, make_model(fusion))
    assert loaded.task == TASK
    again = checkpoint_of(loaded)["hyper_parameters"]
    assert FUSIONS[again["fusion"]["name"]] is network
    assert again["fusion"]["init_args"] == arguments
    assert again["task"] == TASK.to_plain()


def test_a_checkpoint_that_names_no_network_is_of_the_default_one(tmp_path: Path) -> None:
    path = saved(tmp_path, AttentionFusion, lambda settings: settings.pop("fusion"))
    assert_same(path, make_model())


def test_a_network_of_the_users_is_given_or_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = saved(tmp_path, OwnFusion), make_model(OwnFusion)
    name = f"{__name__}.OwnFusion"
    assert torch.load(path, weights_only=True)["hyper_parameters"]["fusion"]["name"] == name
    for arguments in ({}, {"fusion": ImageOnly}):
        with pytest.raises(UsageError, match=f"names '{name}' as its network, which is none"):
            LesionClassifier.load_from_checkpoint(path, **arguments)
    assert_same(path, model, fusion=OwnFusion)
    monkeypatch.setitem(FUSIONS, "own", OwnFusion)  # to be forgotten after the test
    register_fusion("own", OwnFusion)
    loaded = assert_same(path, model)
    assert checkpoint_of(loaded)["hyper_parameters"]["fusion"]["name"] == "own"


def test_settings_can_be_replaced(tmp_path: Path) -> None:
    path = saved(tmp_path, AttentionFusion)
    loaded = LesionClassifier.load_from_checkpoint(path, learning_rate=0.5)
    assert loaded.hparams["learning_rate"] == 0.5


SPEC = {"class_path": "evil_module.Evil", "init_args": {}}

STRANGE: dict[str, tuple[Change, str]] = {
    "path": (lambda s: s.update(fusion="evil_module.Evil"), "names 'evil_module.Evil'"),
    "class path": (lambda s: s.update(fusion=SPEC), "names 'evil_module.Evil'"),
    "name": (lambda s: s.update(fusion={"name": "evil_module.Evil"}), "names 'evil_module.Evil'"),
    "misspelt": (lambda s: s.update(fusion={"name": "flim"}), r"'flim'.* Did you mean film\?"),
    "no name": (lambda s: s.update(fusion={"init_args": {}}), "Expected `fusion` in the checkpo"),
    "two in one": (lambda s: s.update(fusion={"name": {}, **SPEC}), "Expected `fusion` in the ch"),
    "instantiator": (
        lambda s: s.update(_instantiator="evil_module.make"),
        "asks for its model to be made by 'evil_module.make'.*Nothing was imported",
    ),
    "no instantiator": (lambda s: s.update(_instantiator=None), "to be made by None"),
    "class of the model": (
        lambda s: s.update(_class_path="evil_module.Evil"),
        "unknown settings: _class_path",
    ),
    "argument of the network": (
        lambda s: s["fusion"]["init_args"].update(depth=SPEC),
        "fusion.init_args.depth is {.*, but int or None is expected",
    ),
    "unknown argument of the network": (
        lambda s: s["fusion"]["init_args"].update(encoder=SPEC),
        "unknown settings: fusion.init_args.encoder",
    ),
    "argument of the model": (lambda s: s.update(warmup=SPEC), "warmup is {.*, but float is exp"),
    "encoder": (lambda s: s.update(encoder=SPEC), "encoder is {.*, but str is expected"),
    "task": (lambda s: s.update(task=SPEC), "Expected a task with the keys"),
    "no task": (lambda s: s.update(task=None), "Expected a task with the keys"),
    "dataset": (lambda s: s["task"].update(dataset=SPEC), "task of the checkpoint .* other types"),
    "text of the dataset": (
        lambda s: s["task"].update(dataset="{class_path: evil_module.Evil}"),
        "Expected `dataset` of the task .* to be a word, but got '{class_path",
    ),
    "label": (
        lambda s: s["task"]["features"][0].update(label=SPEC),
        "task of the checkpoint .* other types",
    ),
}


@pytest.fixture
def evil_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that appears as soon as a module on the path is imported."""
    mark = tmp_path / "imported"
    (tmp_path / "evil_module.py").write_text(f"open({str(mark)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    return mark


@pytest.mark.parametrize("kind", STRANGE)
def test_nothing_in_a_checkpoint_chooses_what_is_imported(
    kind: str, evil_module: Path, tmp_path: Path
) -> None:
    change, message = STRANGE[kind]
    path = saved(tmp_path, AttentionFusion, change)
    with pytest.raises(UsageError, match=message) as caught:
        LesionClassifier.load_from_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert not evil_module.exists()
    assert "evil_module" not in sys.modules


def test_what_is_read_is_plain(tmp_path: Path) -> None:
    path = saved(tmp_path, AttentionFusion, lambda s: s["fusion"]["init_args"].update(dropout=0))
    found = read_hyper_parameters(path)
    assert found["fusion"] == {"name": "vitatt", "init_args": {"dropout": 0.0}}
    assert found["task"] == TASK.to_plain()
