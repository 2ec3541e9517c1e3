"""Agreement of the relevance of metadata features with other measures of their importance."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from lightning.fabric.utilities import move_data_to_device

from vitatt.data.datamodule import LesionDataModule, SplitName
from vitatt.data.metadata.association import associate
from vitatt.explain.checks.agreement import agreement, feature_importance
from vitatt.explain.methods import explain
from vitatt.models.classifier import LesionClassifier
from vitatt.studies.check_result import CheckResult

_TITLE = "Metadata agreement"


def metadata_agreement(
    model: LesionClassifier, datamodule: LesionDataModule, split: SplitName, sample: pl.DataFrame
) -> CheckResult:
    """Mean TMME relevance of features beside other measures of their importance.

    Args:
        model: In evaluation mode, with at least 2 metadata features.
        datamodule: Has the cases.
        split: Of the data.
        sample: Rows of that split.
    """
    features = model.task.features
    dataset = datamodule.make_dataset(split, sample)
    batch = move_data_to_device(dataset.__getitems__(range(sample.height)), model.device)
    relevance = explain(model.network, batch).features[:, 0].double().cpu()
    if relevance.shape[1] != len(features):
        return CheckResult(_TITLE, "All features share one token: nothing to rank.")
    shares = relevance / relevance.sum(1, keepdim=True).clamp(min=torch.finfo(relevance.dtype).tiny)
    tmme = shares.mean(0).numpy()
    if not (batch.target >= 0).any():
        return CheckResult(_TITLE, "No case has a diagnosis, which permutation needs.")
    columns = {"TMME, mean share": tmme}
    importance = feature_importance(model.network, batch)
    columns["permutation, nats"] = importance.permutation
    columns["occlusion, probability"] = importance.occlusion
    if split != "predict":
        table = associate(
            datamodule.cases("train"),
            datamodule.spec.select([feature.name for feature in features]),
        )
        of = dict(table.select("feature", "association").iter_rows())
        values = [of[feature.name] for feature in features]
        columns["association in training rows"] = np.array(values, dtype=float)
    others = list(columns.items())[1:]
    alike = {name: agreement(tmme, values) for name, values in others}
    text = "Agreement of TMME with " + "; ".join(
        f"{name.split(',')[0]}: Spearman {one.spearman:.2f}, {one.overlap:.0%} of the top {one.k} "
        "in common"
        for name, one in alike.items()
    ).replace("%", " %")
    order = np.argsort(-tmme)
    rows = [[features[n].label, *(float(values[n]) for values in columns.values())] for n in order]
    return CheckResult(
        _TITLE,
        f"{text}. {sample.height} cases.",
        columns=["feature", *columns],
        rows=rows,
    )
