"""Made-up cases with the model's answers, by which a copy of it can be tried."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from vitatt.export.made_cases import made_cases, made_rows
from vitatt.files import write_image, write_text
from vitatt.inference import Predictor
from vitatt.types import LesionTask

FOLDER = "examples"

_COUNT = 3


def write_examples(folder: Path, task: LesionTask, predictor: Predictor) -> None:
    """Write images, answers and the probabilities that the model gives for them.

    They are smooth colours and random answers, no photographs and no patients.

    Args:
        folder: Of the model; the examples are in a subfolder.
        task: Of the model.
        predictor: The model.
    """
    place = folder / FOLDER
    place.mkdir()
    cases, rows = made_cases(task, _COUNT), made_rows(task, _COUNT)
    written = []
    for number, row in enumerate(rows):
        pixels = cases.pixels[number].transpose(1, 2, 0)
        names = [f"case_{number}_{view}.png" for view in task.views] or [f"case_{number}.png"]
        for name, view in zip(names, np.split(pixels, task.num_views), strict=True):
            write_image(view, place / name)
        answers = {name: value for name, value in row.items() if value is not None}
        shown = {view: str(place / name) for view, name in zip(task.views, names, strict=False)}
        image = shown or str(place / names[0])
        written.append(
            {
                "image": dict(zip(task.views, names, strict=True)) if task.views else names[0],
                "answers": answers,
                "probabilities": dict(predictor.predict(image, answers).probabilities),
            }
        )
    text = json.dumps(written, indent=2, ensure_ascii=False)
    write_text(text + "\n", place / "examples.json")
