"""Arms trained by scikit-learn, on the same folds and the same encoded metadata."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from vitatt.benchmark.plan import Job
from vitatt.benchmark.training import NetworkTraining
from vitatt.callbacks.predictions import prediction_frame
from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.data.metadata.encoding import encode
from vitatt.models.classical.encoded_cases import EncodedCases
from vitatt.models.classical.gradient_boosting import GradientBoosting
from vitatt.models.classical.logistic_regression import FeatureRegression
from vitatt.models.classical.two_stage import TwoStage
from vitatt.types import class_index

INNER_MODELS = 5
"""Models of the first stage, each predicting the training cases that it did not see."""


def predict_classically(job: Job, training: NetworkTraining) -> dict[SplitName, pl.DataFrame]:
    """Predictions of the validation and the test split, as `NetworkTraining.predict` gives them.

    Args:
        job: The job.
        training: Has the data; its network is not used.
    """
    data = training.datamodule
    match job.benchmark.arms[job.arm].classical:
        case "gradient_boosting":
            return _gradient_boosting(job, data)
        case "logistic_regression":
            return _logistic_regression(job, training)
        case _:
            return _two_stage(job, data)


def _gradient_boosting(job: Job, data: LesionDataModule) -> dict[SplitName, pl.DataFrame]:
    model = GradientBoosting(data.task.cardinalities, seed=job.seed)
    model.fit(_encoded(data, data.cases("train")), _encoded(data, data.cases("val")))
    val, test = (model.predict(_encoded(data, data.cases(split))) for split in ("val", "test"))
    return {"val": _frame(data, "val", val), "test": _frame(data, "test", test)}


def _logistic_regression(job: Job, training: NetworkTraining) -> dict[SplitName, pl.DataFrame]:
    """Predictions from the inputs that the arm's network has: image, metadata or both."""
    data, network = training.datamodule, training.model.network

    def encoded(cases: pl.DataFrame) -> EncodedCases:
        found = _encoded(data, cases)
        if network.cardinalities:
            return found
        return found._replace(metadata=found.metadata[:, :0], missing=found.missing[:, :0])

    splits: tuple[SplitName, ...] = ("train", "val", "test")
    train, val, test = (training.image_features(split) for split in splits)
    model = FeatureRegression(network.cardinalities, test.shape[1], seed=job.seed)
    held_out = model.fit(encoded(_training_and_validation(data)), np.concatenate([train, val]))
    final = model.predict(encoded(data.cases("test")), test)
    return {"val": _frame(data, "val", held_out[len(train) :]), "test": _frame(data, "test", final)}


def _two_stage(job: Job, data: LesionDataModule) -> dict[SplitName, pl.DataFrame]:
    """Predictions of a second stage on the out-of-fold probabilities of the first."""
    rest = _training_and_validation(data)
    names = [f"p_{name}" for name in data.task.classes]
    held_out, test = [], []
    for inner in range(INNER_MODELS):
        first = NetworkTraining(
            [
                *job.options(job.benchmark.arms[job.arm].first_stage),
                f"--data.inner_folds={INNER_MODELS}",
                f"--data.inner_fold={inner}",
                # No early stopping: it would be decided by the cases that are predicted here.
                "--early_stopping.patience=1000000",
                "--trainer.logger=false",
            ],
            last=True,
        )
        first.fit()
        held_out.append(first.predict("val").select("case_id", *names))
        test.append(first.predict("test").select(names).to_numpy())
    probabilities = rest.select("case_id").join(
        pl.concat(held_out), on="case_id", how="left", maintain_order="left"
    )
    second = TwoStage(seed=job.seed)
    again = second.fit(_encoded(data, rest), probabilities.select(names).to_numpy())
    in_val = rest["case_id"].is_in(data.cases("val")["case_id"].to_list()).to_numpy()
    final = second.predict(_encoded(data, data.cases("test")), np.mean(test, axis=0))
    return {"val": _frame(data, "val", again[in_val]), "test": _frame(data, "test", final)}


def _training_and_validation(data: LesionDataModule) -> pl.DataFrame:
    return pl.concat([data.cases("train"), data.cases("val")])


def _encoded(data: LesionDataModule, cases: pl.DataFrame) -> EncodedCases:
    task = data.task
    soft_one_hot, missing = encode(cases, task.features, smoothing=task.smoothing)
    index = class_index(task.classes)
    target = cases["diagnosis"].replace_strict(index, return_dtype=pl.Int64).to_numpy()
    group = cases["group"].to_numpy()
    return EncodedCases(soft_one_hot.astype(np.float64), missing, target, group)


def _frame(
    data: LesionDataModule, split: SplitName, probabilities: NDArray[np.float64]
) -> pl.DataFrame:
    case_ids = data.cases(split)["case_id"].to_list()
    return prediction_frame(data, split, [(case_ids, torch.from_numpy(probabilities))])
