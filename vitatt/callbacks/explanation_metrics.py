"""Metrics of explanations after a test, on a sample of the outer fold."""

from __future__ import annotations

from typing import ClassVar

import lightning
import polars as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from vitatt.callbacks.batches import datamodule_of, ready
from vitatt.callbacks.loggers import log_metrics
from vitatt.callbacks.workspace import hide
from vitatt.models.classifier import LesionClassifier
from vitatt.ranges import Range, Ranges, check_ranges
from vitatt.studies.explanation_measures import (
    measure_faithfulness,
    measure_sanity,
    summarise_measures,
)

_METHODS: tuple[str, ...] = ("tmme", "attention", "random")
_BATCH = 16


class ExplanationMetrics(Callback):
    """Log faithfulness, stability and randomisation of TMME, raw attention and random relevance.

    ``test_explanations/<measure>_<method>`` and its bounds; `vitatt explain --evaluate` has all
    methods, localisation and figures.

    Args:
        cases: Cases of the outer fold, drawn at random; 0 leaves the metrics out. A case takes some
            two hundred forward passes.
    """

    ranges: ClassVar[Ranges] = {"cases": Range(least=0)}

    def __init__(self, cases: int = 16) -> None:
        check_ranges(self.ranges, locals(), "explanation_tests")
        self.cases = cases

    def on_test_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Measure and log, in the first process."""
        assert isinstance(pl_module, LesionClassifier)
        if self.cases == 0 or not trainer.is_global_zero or not pl_module.network.layouts:
            return
        datamodule = datamodule_of(trainer)
        with trainer.precision_plugin.forward_context():
            cases = datamodule.cases("test")
            cases = cases.sample(min(self.cases, cases.height), seed=datamodule.fold_spec.seed)
            dataset = datamodule.make_dataset("test", cases)
            batches = [ready(batch, trainer, pl_module) for batch in dataset.batches(_BATCH)]
            groups = dict(cases.select("case_id", "group").iter_rows())
            tests = (measure_faithfulness, measure_sanity)
            measured = pl.concat(
                test(pl_module.network, batches, groups, _METHODS) for test in tests
            )
            metrics: dict[str, float] = {}
            lines = []
            for row in summarise_measures(measured).iter_rows(named=True):
                name = f"test_explanations/{row['measure']}_{row['method']}"
                metrics |= {name: row["value"]}
                metrics |= {f"{name}_{bound}": row[bound] for bound in ("low", "high")}
                interval = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
                lines.append(f"  {row['measure']:22} {row['method']:10} {interval}")
            rank_zero_info(f"Explanations of {cases.height} test cases:\n" + "\n".join(lines))
            hide(trainer, [name for name in metrics if name.endswith(("_low", "_high"))])
            log_metrics(trainer, metrics)
