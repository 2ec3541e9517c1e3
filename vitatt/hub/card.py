"""The model card of a model on the hub: README.md with the metadata that the hub reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from vitatt.data.datasets import recorded_dataset
from vitatt.data.datasets.publications import PUBLICATIONS
from vitatt.hub.licences import Licence
from vitatt.models.exported import ExportedModel
from vitatt.reports.benchmark.model_card import model_card
from vitatt.reports.benchmark.source import read_run
from vitatt.reports.templates import environment
from vitatt.types import LesionTask, UsageError

CARD = "README.md"


def hub_card(
    model: ExportedModel,
    repository: str,
    licences: Sequence[Licence],
    *,
    features: Sequence[str],
    licence: str,
    figures: str = "",
) -> str:
    """Return the card in Markdown.

    Args:
        model: The exported model.
        repository: ``OWNER/NAME``.
        licences: Of data and weights.
        features: Columns that the network uses.
        licence: Under which the model is published, as the hub names it.
        figures: The model card of a test run, see `figures_of_test`; empty if there is none.
    """
    task = model.task
    publication = PUBLICATIONS.get(task.dataset)
    spec = recorded_dataset(task.dataset, task.description, "the task of a model").spec
    leaks = publication.leaks if publication is not None else tuple(spec.barred)
    front = {
        "license": licence,
        "library_name": "vitatt",
        "pipeline_tag": "image-classification",
        "tags": ["dermatology", "skin-lesion", "multimodal", "vitatt", model.format],
    }
    text = (
        environment()
        .get_template("hub_card.md.jinja")
        .render(
            front=yaml.safe_dump(front, sort_keys=False).strip(),
            repository=repository,
            model=model,
            task=task,
            spec=spec,
            features=features,
            image={view: f"{view}.jpg" for view in task.views} or "lesion.jpg",
            answers={
                one.name: one.centres[0] if one.kind == "numeric" else one.categories[0]
                for one in [one for one in task.features if one.name in features][:2]
            },
            network=model.plain["network"],
            version=model.plain.get("vitatt", ""),
            checkpoint=model.plain.get("checkpoint") or {},
            address=spec.published_at,
            leaks=leaks,
            licences=licences,
            figures=figures,
        )
    )
    return text.strip() + "\n"


def figures_of_test(folder: Path, task: LesionTask) -> str:
    """Return the model card of a run of `vitatt test`, without its title and the command.

    Args:
        folder: Of the run.
        task: Of the model, whose run it must be.

    Raises:
        UsageError: If it is no test run, or one of another dataset, other classes or fold.
    """
    source = read_run(folder)
    facts = source.facts
    expected = (tuple(task.classes), task.fold_spec.fold, task.fold_spec.num_folds)
    found = (tuple(facts.classes), facts.fold, facts.num_folds)
    if found != expected:
        raise UsageError(
            f"Expected {folder} to be the test run of this model, of {', '.join(expected[0])} on "
            f"outer fold {expected[1]} of {expected[2]}, but it is of {', '.join(found[0])} on "
            f"fold {found[1]} of {found[2]}."
        )
    text = model_card(facts, source.tables).partition("\n")[2]
    # The command at its end has paths of this machine.
    return text.partition("\n## How to reproduce\n")[0].strip()
