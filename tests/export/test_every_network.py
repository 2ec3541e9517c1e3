"""Every registered network with every kind of encoder: the export gives what the network gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.inference.conftest import make_uneven
from tests.models.encoders.test_families import EVERY, MAPS
from tests.tasks import make_task
from vitatt.export.graph import PlainGraph
from vitatt.export.made_cases import in_batches, made_cases
from vitatt.export.onnx_file import save_onnx
from vitatt.export.parity import TOLERANCE, compare
from vitatt.export.program import run_program, save_program, traced
from vitatt.inference.onnx_models import run_file
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion import FUSIONS
from vitatt.models.fusion.network import LesionNetwork
from vitatt.types import FeatureEncoding, LesionTask, UsageError

pytestmark = pytest.mark.long

ENCODERS = {"test_vit": 32, "test_efficientnet": 64}
"""A small transformer and a small CNN, which every network is tried with, and image sizes."""

OTHERS = sorted({*EVERY} - {*ENCODERS})
"""A small encoder of each other family."""

VIEWS = ("close-up", "dermoscopic")


def task_of(encoder: str = "test_vit", views: tuple[str, ...] = ()) -> LesionTask:
    """With a numeric feature beside the categorical ones."""
    task = make_task(image_size=ENCODERS.get(encoder, 64))
    age = FeatureEncoding("age", "age", "numeric", "years", centres=(10.0, 40.0, 70.0))
    return dataclasses.replace(task, features=(age, *task.features), views=views)


def make(
    arm: str, encoder: str, views: tuple[str, ...] = (), **settings: object
) -> tuple[LesionNetwork, LesionTask]:
    torch.manual_seed(0)
    task = task_of(encoder, views)
    made = make_encoder(encoder, image_size=task.image_size, views=task.num_views)
    network = FUSIONS[arm](made, task, **settings)
    made.requires_grad_(encoder == "test_vit")  # other encoders' maps may overflow with these
    make_uneven([one for one in network.parameters() if one.requires_grad], 0)
    network.head.temperature.fill_(1.7)
    return network.eval().requires_grad_(False), task


def largest_difference(network: LesionNetwork, task: LesionTask, folder: Path) -> float:
    """Of ONNX and of the saved program, in batches of one, of three and of two cases."""
    graph, cases = PlainGraph(network, task), in_batches(made_cases(task, 6), (1, 3, 2))
    program = traced(graph, task, "the network")
    save_onnx(program, graph, folder / "model.onnx", "the network")
    save_program(program, folder / "model.pt2")
    exported = run_file(folder / "model.onnx"), run_program(folder / "model.pt2", graph)
    found = [compare(graph, one, cases) for one in exported]
    assert all(one.cases == 6 and set(one.differences) == set(graph.outputs) for one in found)
    return max(one.largest for one in found)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("arm", FUSIONS)
def test_the_same_outputs(arm: str, encoder: str, tmp_path: Path) -> None:
    assert largest_difference(*make(arm, encoder), tmp_path) < TOLERANCE / 10


@pytest.mark.parametrize("encoder", OTHERS)
def test_encoders_of_every_family(encoder: str, tmp_path: Path) -> None:
    arm = "vitatt" if encoder in MAPS else "image_only"  # with the attention of the encoder itself
    assert largest_difference(*make(arm, encoder), tmp_path) < TOLERANCE / 10


@pytest.mark.parametrize("arm", ["vitatt", "image_only", "mutual_attention", "bottleneck"])
def test_cases_of_views(arm: str, tmp_path: Path) -> None:
    assert largest_difference(*make(arm, "test_vit", VIEWS), tmp_path) < TOLERANCE / 10


@pytest.mark.parametrize(
    "settings",
    [
        {"join_at": 0},
        {"join_at": 1, "depth": 1},
        {"additive": True, "depth": 2},
        {"granularity": "joint"},
        {"missing": "token"},
        {"missing": "uniform"},
    ],
    ids=str,
)
def test_settings_of_vitatt(settings: dict[str, object], tmp_path: Path) -> None:
    assert largest_difference(*make("vitatt", "test_vit", **settings), tmp_path) < TOLERANCE / 10


@pytest.mark.parametrize(
    ("arm", "encoder"),
    [("vitatt", "test_efficientnet"), ("film", "test_convnext"), ("film", "test_resnet")],
)
def test_other_image_sizes_with_a_cnn(arm: str, encoder: str, tmp_path: Path) -> None:
    network, task = make(arm, encoder)
    graph = PlainGraph(network, task)
    program = traced(graph, task, "the network", any_image_size=True)
    save_onnx(program, graph, tmp_path / "model.onnx", "the network")
    cases = made_cases(task, 2)
    pixels = cases.pixels.repeat(2, axis=2).repeat(3, axis=3)
    for size in (cases.pixels, pixels):
        found = compare(graph, run_file(tmp_path / "model.onnx"), [cases._replace(pixels=size)])
        assert found.largest < TOLERANCE / 10


@pytest.mark.parametrize(
    ("arm", "encoder", "views", "reason"),
    [
        ("vitatt", "test_vit", (), "positions of its transformer's patches"),
        ("film", "test_efficientnet", VIEWS, "takes cases of 2 images"),
        ("metadata_only", "test_vit", (), "it has no image input"),
        ("film", "vitatt_test_swin", (), "Input height .* Leave out `any_image_size`"),
    ],
)
def test_other_image_sizes_are_refused(
    arm: str, encoder: str, views: tuple[str, ...], reason: str
) -> None:
    network, task = make(arm, encoder, views)
    with pytest.raises(UsageError, match=rf"^film-1 cannot .* any image size.*{reason}"):
        traced(PlainGraph(network, task), task, "film-1", any_image_size=True)


def test_a_network_that_cannot_be_traced_is_refused_by_name() -> None:
    network, task = make("film", "test_vit")

    class Stubborn(type(network)):  # type: ignore[misc]
        def forward(self, batch):
            return super().forward(batch) if batch.metadata.sum() > 0 else None

    network.__class__ = Stubborn
    with pytest.raises(UsageError, match=r"^'mine' cannot be traced, .* Use --format safetensors"):
        traced(PlainGraph(network, task), task, "'mine'")


def test_nothing_of_this_machine_is_in_the_files(tmp_path: Path) -> None:
    largest_difference(*make("vitatt", "test_vit"), tmp_path)
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert str(Path.cwd()).encode() not in content
        assert b"graph.py" not in content
        assert b".part" not in content
