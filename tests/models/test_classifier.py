from __future__ import annotations

import functools
import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning
import pytest
import timm
import torch
from lightning.pytorch.cli import instantiate_module
from lightning.pytorch.core.mixins.hparams_mixin import _given_hyperparameters_context
from lightning.pytorch.strategies import FSDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import DataLoader

from tests.tasks import CLASSES, COUNTS, make_batch, make_task
from vitatt.models.checkpoint import read_hyper_parameters
from vitatt.models.classifier import LesionClassifier
from vitatt.models.fusion.metadata_only import MetadataOnly
from vitatt.models.fusion.vitatt import AttentionFusion
from vitatt.models.losses import class_weights
from vitatt.types import LesionBatch, UsageError

pytestmark = pytest.mark.long

TASK = make_task()


def make_model(**arguments: Any) -> LesionClassifier:
    torch.manual_seed(0)
    return LesionClassifier(TASK.to_plain(), **{"encoder": "test_vit", **arguments})


def batches(count: int = 2) -> DataLoader[LesionBatch]:
    return DataLoader([make_batch(TASK, seed=seed) for seed in range(count)], batch_size=None)


def make_trainer(**arguments: Any) -> lightning.Trainer:
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    return lightning.Trainer(
        accelerator="cpu", num_sanity_val_steps=0, max_epochs=1, **{**quiet, **arguments}
    )


FUSIONS: dict[str, Any] = {
    "fusion": AttentionFusion,
    "metadata-only": MetadataOnly,
    "partial": functools.partial(AttentionFusion, join_at=2, missing="token"),
    "command line": {
        "class_path": "vitatt.models.fusion.vitatt.AttentionFusion",
        "init_args": {"join_at": 2, "missing": "token"},
    },
}


def saved_model(fusion: Any, folder: Path, **arguments: Any) -> tuple[LesionClassifier, Path]:
    """A model after an epoch and its checkpoint; the file of its encoder's weights is gone."""
    weights, saved = folder / "encoder.pt", folder / "model.ckpt"
    torch.save(timm.create_model("test_vit", num_classes=0).state_dict(), weights)
    arguments |= {"fusion": fusion, "encoder_weights": str(weights), "encoder": "test_vit"}
    if isinstance(fusion, dict):  # as `LightningCLI` makes it
        signature = inspect.signature(LesionClassifier).parameters.values()
        defaults = {p.name: p.default for p in signature if p.default is not p.empty}
        config = {"task": TASK.to_plain(), **defaults, **arguments}
        with _given_hyperparameters_context(config, "lightning.pytorch.cli.instantiate_module"):
            model = instantiate_module(LesionClassifier, config)
    else:
        model = make_model(**arguments)
    trainer = make_trainer()
    trainer.fit(model, batches())
    trainer.save_checkpoint(saved)
    weights.unlink()
    return model, saved


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
@pytest.mark.parametrize("freeze", [False, True], ids=["learning", "frozen"])
def test_a_checkpoint_alone_gives_the_same_logits(
    fusion: Any, freeze: bool, tmp_path: Path
) -> None:
    model, saved = saved_model(fusion, tmp_path, freeze_encoder=freeze)
    loaded = LesionClassifier.load_from_checkpoint(saved, map_location="cpu").eval()
    assert loaded.task == TASK
    batch = make_batch(TASK, seed=9)
    with torch.no_grad():
        assert torch.equal(loaded(batch).logits, model.eval()(batch).logits)


@pytest.mark.parametrize("fusion", FUSIONS.values(), ids=FUSIONS)
def test_a_checkpoint_holds_plain_types_and_no_path(fusion: Any, tmp_path: Path) -> None:
    _, saved = saved_model(fusion, tmp_path, learning_rate=3e-4)
    checkpoint = torch.load(saved, weights_only=True)
    assert str(tmp_path) not in str(checkpoint["hyper_parameters"])
    hyper_parameters = read_hyper_parameters(saved)
    assert hyper_parameters["task"] == TASK.to_plain()
    assert hyper_parameters["learning_rate"] == 3e-4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"garbage", "cannot be read as a checkpoint"),
        (b"", "cannot be read as a checkpoint"),
        ({"hyper_parameters": {}}, "is no checkpoint of `vitatt fit`"),
        ([1], "is no checkpoint of `vitatt fit`"),
        ({"hyper_parameters": {"task": {"classes": ["A"]}}}, "written by another version"),
    ],
)
def test_what_is_no_checkpoint(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        read_hyper_parameters(path)


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_metrics_are_logged(command: str) -> None:
    trainer, model = make_trainer(), make_model()
    if command == "fit":
        trainer.fit(model, batches(), batches())
        stages = ["train", "val"]
    else:
        getattr(trainer, command)(model, batches(), verbose=False)
        stages = ["val" if command == "validate" else "test"]
    for stage in stages:
        for name in ("loss", "balanced_accuracy", "auroc", "selection"):
            assert f"{stage}/{name}" in trainer.callback_metrics
        assert f"{stage}_by_class/sensitivity_{CLASSES[0]}" in trainer.callback_metrics
        assert not model.metrics_of(stage).probabilities, "reset after the epoch"


def test_steps_hand_over_what_callbacks_need() -> None:
    model, batch = make_model().eval(), make_batch(TASK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of logging without a trainer
        output = model.validation_step(batch, 0)
    logits = model(batch).logits
    weight = class_weights(COUNTS, "balanced")
    expected = torch.nn.functional.cross_entropy(logits, batch.target, weight)
    expected = expected * weight[batch.target].mean()  # ours divides by the number of cases
    torch.testing.assert_close(output["loss"], expected)
    torch.testing.assert_close(output["probabilities"], logits.softmax(-1).detach())
    assert not output["probabilities"].requires_grad
    assert torch.equal(output["target"], batch.target)
    assert output["case_id"] == batch.case_id


def test_predictions() -> None:
    model = make_model()
    found = make_trainer().predict(model, batches(1))
    ids, probabilities = found[0]
    batch = make_batch(TASK)
    assert ids == batch.case_id
    expected = model.eval()(batch).logits.softmax(-1)
    torch.testing.assert_close(probabilities, expected.detach())


def test_training_moves_what_may_learn_and_nothing_else() -> None:
    model = make_model(freeze_encoder=True, warmup=0.0)
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    make_trainer().fit(model, batches())
    assert not model.network.encoder.training
    for name, value in model.network.state_dict().items():
        kept = name.startswith("encoder.") or name == "head.temperature"
        if kept or name.endswith("num_batches_tracked"):
            assert torch.equal(value, before[name]), name
        elif "qkv.bias" not in name:
            assert not torch.equal(value, before[name]), name


def test_learning_rates_follow_the_schedule_by_parts() -> None:
    model = make_model(warmup=0.5, learning_rate=1e-3, encoder_learning_rate=1e-5)
    rates: list[set[float]] = []

    class Watch(lightning.Callback):
        def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
            groups = trainer.optimizers[0].param_groups
            rates.append({round(group["lr"], 12) for group in groups})

    make_trainer(callbacks=[Watch()]).fit(model, batches(4))
    # After step s the rate is that of step s + 1: two steps up, two down.
    assert rates == [{1e-3, 1e-5}, {1e-3, 1e-5}, {5e-4, 5e-6}, {0.0}]


def test_what_is_random_in_a_step_depends_on_the_step_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def weights_after(seed: str, before: int) -> torch.Tensor:
        monkeypatch.setenv("PL_GLOBAL_SEED", seed)
        model = make_model(warmup=0.0)
        torch.manual_seed(before)
        make_trainer().fit(model, batches())
        return model.network.head.weight.detach()

    assert torch.equal(weights_after("1", 5), weights_after("1", 6))
    assert not torch.equal(weights_after("1", 5), weights_after("2", 5))


@pytest.mark.parametrize(
    ("strategy", "mesh", "message"),
    [
        (FSDPStrategy(), None, "FSDPStrategy cannot draw maps"),
        (None, object(), "divides the network for training only"),
    ],
)
def test_a_strategy_that_cannot_be_used(strategy: Any, mesh: Any, message: str) -> None:
    model = make_model()
    model._device_mesh = mesh
    state = SimpleNamespace(fn=TrainerFn.TESTING)
    model._trainer = SimpleNamespace(strategy=strategy, state=state)  # type: ignore[assignment]
    with pytest.raises(UsageError, match=message):
        model.configure_model()
