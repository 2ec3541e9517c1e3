"""Output of the model of a study: probabilities, maps, and evidence of the patient's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.explain.methods import METHODS, explain_by
from vitatt.models.classifier import LesionClassifier
from vitatt.reader_study.study_case import MAP_METHODS, MapMethod
from vitatt.studies.batches import batches_on_device
from vitatt.types import LesionBatch, Pixels, Tokens

_SMALLEST = 1e-9
"""Of probabilities in log-odds."""

SPLIT: SplitName = "test"
"""The outer fold of the checkpoint, which its training has not seen."""


class CaseOutput(NamedTuple):
    """Output of the model on a case, for its predicted class.

    Attributes:
        maps: Relevance (V h, w) by method, the views of the case one below the other.
        evidence: Change of the log-odds of the prediction by each answer that the model knows:
            positive if the answer speaks for it.
        relevance: TMME relevance of each feature; empty if the features share a token.
    """

    maps: Mapping[MapMethod, NDArray[np.float32]]
    evidence: dict[str, float]
    relevance: dict[str, float]


def predictions(model: LesionClassifier, datamodule: LesionDataModule) -> NDArray[np.float64]:
    """Calibrated probabilities of all cases of the outer fold, (N, C), in the order of its rows."""
    parts = []
    with torch.inference_mode():
        for batch in batches_on_device(
            model, datamodule, SPLIT, datamodule.cases(SPLIT), "predicting"
        ):
            parts.append(_probabilities(model, batch))
    return np.concatenate(parts)


def map_methods(model: LesionClassifier) -> list[MapMethod]:
    """Methods of maps that apply to a network."""
    if model.network.encoder is None:
        return []
    return [
        name for name in MAP_METHODS if model.network.layouts or not METHODS[name].reads_attention
    ]


def case_outputs(
    model: LesionClassifier, datamodule: LesionDataModule, cases: pl.DataFrame
) -> list[CaseOutput]:
    """Output of the model on some cases of the outer fold, in their order."""
    methods = map_methods(model)
    outputs: list[CaseOutput] = []
    for batch in batches_on_device(model, datamodule, SPLIT, cases, "explaining"):
        relevance = explain_by(model.network, batch, methods=methods) if methods else {}
        for place in range(len(batch.target)):
            maps = {
                name: relevance[name].patches[place, 0].cpu().numpy().astype(np.float32)
                for name in methods
            }
            features = (
                relevance["tmme"].features[place, 0].cpu().tolist() if "tmme" in relevance else []
            )
            names = [feature.name for feature in model.task.features]
            of_features = (
                {name: _rounded(value) for name, value in zip(names, features, strict=True)}
                if len(features) == len(names)
                else {}
            )
            evidence = _evidence(model, batch.cases([place]))
            outputs.append(CaseOutput(maps, evidence, of_features))
    return outputs


def _evidence(model: LesionClassifier, case: LesionBatch) -> dict[str, float]:
    """Change of the log-odds of the predicted class if an answer is taken away, its sign turned.

    Args:
        model: In evaluation mode.
        case: The case alone, on the model's device.
    """
    features, cardinalities = model.task.features, model.task.cardinalities
    answered = [place for place, absent in enumerate(case.missing[0].tolist()) if not absent]
    if not answered or not model.network.cardinalities:
        return {}
    count = len(answered) + 1
    metadata, missing = case.metadata.repeat(count, 1), case.missing.repeat(count, 1)
    ends = np.cumsum(cardinalities)
    for version, place in enumerate(answered, 1):
        metadata[version, ends[place] - cardinalities[place] : ends[place]] = (
            1 / cardinalities[place]  # as `encode` has it where nothing was observed
        )
        missing[version, place] = True
    image = _image(model, case, count)
    names = [case.case_id[0]] * count
    with torch.inference_mode():
        probabilities = _probabilities(
            model, LesionBatch(image, metadata, missing, case.target.expand(count), names)
        )
    chosen = probabilities[:, probabilities[0].argmax()]
    log_odds = np.log(chosen.clip(_SMALLEST)) - np.log((1 - chosen).clip(_SMALLEST))
    changes = [_rounded(one) for one in log_odds[0] - log_odds[1:]]
    return {features[place].name: change for place, change in zip(answered, changes, strict=True)}


def _image(model: LesionClassifier, case: LesionBatch, count: int) -> Pixels | Tokens:
    """The image of a case `count` times: as tokens, encoded once, where metadata joins later."""
    encoder, image = model.network.encoder, case.image
    if encoder is not None and model.network.encodes_alone and isinstance(image, Pixels):
        with torch.inference_mode():
            image = encoder.encoded(image)
    absent = None if image.absent is None else image.absent.expand(count, -1)
    values = image.values.expand(count, *image.values.shape[1:])
    return image._replace(values=values, absent=absent)


def _probabilities(model: LesionClassifier, batch: LesionBatch) -> NDArray[np.float64]:
    return model(batch).logits.double().softmax(1).cpu().numpy()


def _rounded(value: float) -> float:
    """A number that is the same on every machine, up to the last of six digits."""
    return round(float(value), 6) + 0.0


def shown_answers(datamodule: LesionDataModule, cases: pl.DataFrame) -> Sequence[dict[str, str]]:
    """Recorded answers of each case as people write them, by feature."""
    names = [feature.name for feature in datamodule.task.features]
    return [
        {name: text for name, text in zip(names, datamodule.describe(row), strict=True) if text}
        for row in cases.iter_rows(named=True)
    ]
