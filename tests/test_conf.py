"""Every shipped configuration is one that the commands accept."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
from pathlib import Path

import pytest
import yaml

from tests.tasks import make_task
from vitatt.commands.sweep import sweep
from vitatt.models.build import without_initialisation
from vitatt.models.encoders.factory import make_encoder
from vitatt.models.fusion import FUSIONS

pytestmark = pytest.mark.long

CONF = Path(__file__).parents[1] / "conf"
RECIPES = sorted(CONF.glob("*.yaml"))
BENCHMARKS = sorted(CONF.glob("benchmark/*.yaml"))
SWEEPS = sorted(CONF.glob("sweep/*.yaml"))
OVERLAYS = sorted(set(CONF.glob("*/*.yaml")) - set(BENCHMARKS) - set(SWEEPS))


def printed(words: list[str], capsys, monkeypatch) -> dict:
    from vitatt.cli import main

    monkeypatch.setattr(sys, "argv", ["vitatt"])
    with pytest.raises(SystemExit) as leaving:
        main(["fit", *words, "--print_config"])
    out = capsys.readouterr().out
    assert leaving.value.code == 0, out
    return yaml.safe_load(out)


def test_there_are_recipes_and_overlays():
    assert {path.stem for path in RECIPES} == {
        *(
            "demo",
            "demo_views",
            "pad",
            "isic2019",
            "ham10000",
            "isic2020",
            "isic2024",
            "milk10k",
            "derm7pt",
        ),
        "isic_archive",
    }
    assert len(OVERLAYS) >= 5


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipe(recipe, capsys, monkeypatch):
    config = printed(["--config", str(recipe)], capsys, monkeypatch)
    shipped = yaml.safe_load(recipe.read_text())
    assert config["data"]["dataset"] == shipped["data"]["dataset"]
    assert config["trainer"]["max_epochs"] == shipped["trainer"]["max_epochs"]
    assert config["trainer"]["logger"]["class_path"] == "vitatt.callbacks.tracking.RunLogger"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_overlay(overlay, capsys, monkeypatch):
    words = ["--config", str(CONF / "pad.yaml"), "--config", str(overlay)]
    config = printed(words, capsys, monkeypatch)
    shipped = yaml.safe_load(overlay.read_text())
    for section, settings in shipped.items():
        for key, value in settings.items():
            found = config[section][key]
            if key == "fusion" and isinstance(value, str):
                assert found["class_path"] == value
            elif isinstance(value, dict):  # a class, whose other arguments have their defaults
                assert found["class_path"] == value["class_path"]
                assert value.get("init_args", {}).items() <= found.get("init_args", {}).items()
            else:
                assert found == value


@pytest.mark.parametrize("overlay", sorted(CONF.glob("encoder/*.yaml")), ids=lambda path: path.stem)
def test_encoder_of_an_overlay_with_the_recipe_for_pad(overlay, capsys, monkeypatch):
    words = ["--config", str(CONF / "pad.yaml"), "--config", str(overlay)]
    config = printed(words, capsys, monkeypatch)
    weights = config["model"]["encoder_weights"]
    assert weights == "hub" or Path(weights).suffix in (".pth", ".safetensors")
    size = config["data"]["image_size"]
    with without_initialisation():
        made = make_encoder(config["model"]["encoder"], image_size=size)
        fusion = config["model"]["fusion"]
        network = FUSIONS[fusion["class_path"]](
            made, make_task(image_size=size), **fusion["init_args"]
        )
    assert network.encoder.num_patches in (49, 196, 256)


def test_overlays_of_fusions_are_named_as_these_are_registered():
    for path in CONF.glob("fusion/*.yaml"):
        fusion = yaml.safe_load(path.read_text())["model"]["fusion"]
        assert path.stem == (fusion if isinstance(fusion, str) else fusion["class_path"])
        assert path.stem in FUSIONS


@pytest.mark.parametrize("plan", BENCHMARKS, ids=lambda path: path.stem)
def test_every_arm_of_a_benchmark(plan, tmp_path, monkeypatch):
    from tests.benchmark.conftest import plan_of
    from vitatt.benchmark.record import check_and_record

    monkeypatch.setattr(sys, "argv", ["vitatt"])
    benchmark = plan_of([f"--config={plan}", f"--output={tmp_path}"])
    configs = check_and_record(benchmark)
    shipped = yaml.safe_load(plan.read_text())
    arms = shipped["arms"]
    trained = {name for name, arm in arms.items() if not arm.keys() & {"choose_from", "tune"}}
    assert configs.keys() == trained | set(benchmark.candidates)
    for name, config in configs.items():
        arm = arms.get(name, {"settings": benchmark.arms[name].settings})
        first_stage = arms.get(arm.get("first_stage"), {})
        wanted = {"data.features": "all"} | shipped["options"]
        wanted |= first_stage.get("settings", {}) | arm.get("settings", {})
        for option, value in wanted.items():
            found = functools.reduce(operator.getitem, option.split("."), config)
            assert found == value, (name, option)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_value_of_a_sweep(path, tmp_path, monkeypatch):
    from vitatt.sweep.checks import checked_config
    from vitatt.sweep.plan import make_plan

    monkeypatch.setattr(sys, "argv", ["vitatt"])
    monkeypatch.chdir(CONF.parent)
    shipped = yaml.safe_load(path.read_text())
    assert shipped.keys() <= inspect.signature(sweep).parameters.keys()
    plan = make_plan(
        **{key: shipped[key] for key in ("method", "metric", "parameters", "command")},
        **{"training_options": (), "output": tmp_path, "trials": shipped["run_cap"]},
        **{"inner_folds": None, "seed": 0, "threads": 1},
    )
    config = checked_config(plan)
    recipe = yaml.safe_load(Path(shipped["command"][3]).read_text())
    assert config["data"]["dataset"] == recipe["data"]["dataset"]
    assert path.stem == Path(shipped["command"][3]).stem == shipped["name"]


@pytest.mark.parametrize("plan", BENCHMARKS, ids=lambda path: path.stem)
@pytest.mark.slow
def test_every_network_of_a_benchmark_has_the_tokens_that_it_caches(plan, tmp_path, monkeypatch):
    from tests.benchmark.conftest import plan_of
    from vitatt.benchmark.record import check_and_record

    monkeypatch.setattr(sys, "argv", ["vitatt"])
    benchmark = plan_of([f"--config={plan}", f"--output={tmp_path}"])
    for name, config in check_and_record(benchmark).items():
        model = config["model"]
        # As many blocks as the encoder that is meant, and smaller.
        encoder = model["encoder"].replace("small_patch14_dinov2", "tiny_patch16_224")
        made = make_encoder(encoder, image_size=32, frozen=model["freeze_encoder"])
        fusion = FUSIONS[model["fusion"]["class_path"]]
        network = fusion(made, make_task(), **model["fusion"].get("init_args", {}))
        caches = config["token_cache"]["augmentations"] > 0 and network.encoder is not None
        assert not caches or network.cached_blocks > 0, name
