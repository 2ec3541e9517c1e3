"""The folder of a model that is pushed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from vitatt.export.exporting import export_checkpoint, network_settings
from vitatt.export.provenance import weights_source
from vitatt.files import write_text
from vitatt.hub.card import CARD, figures_of_test, hub_card
from vitatt.hub.examples import write_examples
from vitatt.hub.licences import (
    Licence,
    data_licence,
    require_allowed,
    require_no_freer,
    weights_licence,
)
from vitatt.inference import Predictor
from vitatt.models.checkpoint import read_hyper_parameters
from vitatt.models.exported import CONFIG, ExportedModel, read_exported
from vitatt.types import LesionTask, UsageError


class Statement(NamedTuple):
    """What the user states about licences and tests.

    Attributes:
        licence: Under which the model is published, as the hub names it.
        weights_licence: Of the encoder's weights, if it is not known.
        data_licence: Of the data, if it is not known.
        accept: Whether the user takes the responsibility for licences that stop the push.
        test_run: Folder of a run of `vitatt test` of this model; None without figures.
    """

    licence: str = "other"
    weights_licence: str = ""
    data_licence: str = ""
    accept: bool = False
    test_run: Path | None = None


def write_folder(source: Path, folder: Path, repository: str, stated: Statement) -> list[Licence]:
    """Write model, description, card and examples to an empty folder.

    Licences are checked before anything is written.

    Args:
        source: A checkpoint, which is exported as safetensors, or a folder of `vitatt export`.
        folder: Empty folder.
        repository: ``OWNER/NAME``.
        stated: By the user.

    Returns:
        The licences of data and weights.

    Raises:
        UsageError: If the model cannot be used or exported, is a program of torch.export, or a
            licence stops the push.
    """
    of_export = None if source.is_file() else read_exported(source)
    if of_export is not None and of_export.format == "torch_export":
        raise UsageError(
            f"{source} holds a program of torch.export, which Predictor does not load: push the "
            "checkpoint, or an export of the format safetensors or onnx."
        )
    licences = _licences(source, of_export, stated)
    require_allowed(licences, accept=stated.accept)
    require_no_freer(stated.licence, licences, accept=stated.accept)
    if of_export is None:
        export_checkpoint(source, folder, "safetensors")
    else:
        for file in (of_export.file, source / CONFIG):
            shutil.copyfile(file, folder / file.name)
    model = read_exported(folder)
    figures = "" if stated.test_run is None else figures_of_test(stated.test_run, model.task)
    predictor = Predictor.load(folder, device="cpu")
    card = hub_card(
        model,
        repository,
        licences,
        features=predictor.features,
        licence=stated.licence,
        figures=figures,
    )
    write_text(card, folder / CARD)
    write_examples(folder, model.task, predictor)
    return licences


def _licences(source: Path, exported: ExportedModel | None, stated: Statement) -> list[Licence]:
    """Licences of the data and of the encoder's weights."""
    if exported is None:
        network = network_settings(source)
        task = LesionTask.from_plain(read_hyper_parameters(source)["task"])
        origin = weights_source(source, str(network.get("encoder", "")))
    else:
        network, task = dict(exported.plain["network"]), exported.task
        origin = str(exported.plain.get("encoder_weights", ""))
    return [
        data_licence(task, stated.data_licence),
        weights_licence(str(network.get("encoder", "")), origin, stated.weights_licence),
    ]
