"""Folders of studies that no model made, with a log of simulated readers of known reliance."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.reader_study.made_study import CREATED, plain_study
from vitatt.reader_study.event_chain import NewEvent
from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.log_reading import create_log
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.simulation.drawn_evidence import with_evidence
from vitatt.reader_study.simulation.reader_model import DEFAULT_READERS, ReaderModel
from vitatt.reader_study.simulation.simulated_log import simulated_events
from vitatt.reader_study.simulation.simulated_readings import SimulatedStudy
from vitatt.reader_study.study_folder import write_bytes, write_manifest

Events = list[NewEvent]


def reader_model(low: Sequence[float], high: Sequence[float], **more: float) -> ReaderModel:
    """Two bands with skill, and adoption of the AI where it is right and where it is wrong."""
    names = (
        "skill",
        "adopt_right",
        "adopt_wrong",
        "adopt_right_explained",
        "adopt_wrong_explained",
    )
    bands = [dict(zip(names, (*own, *own[1:]), strict=True)) for own in (low, high)]
    return ReaderModel.model_validate({"bands": tuple(bands), **more})


def write_simulated(
    folder: Path,
    model: ReaderModel = DEFAULT_READERS,
    *,
    seed: int = 0,
    change: Callable[[dict[str, Any]], Any] = lambda plan: None,
    events: Callable[[Events], Events] = lambda events: events,
    **settings: Any,
) -> Manifest:
    """Write a study with a log of simulated readings.

    Args:
        folder: Of the study.
        model: Of the readers.
        seed: Of the readings.
        change: Changes the plan.
        events: Changes the events.
        **settings: As for `plain_study`.
    """
    plan, files = plain_study(**settings)
    change(plan)
    manifest = Manifest.model_validate_json(json.dumps(plan))
    for name, data in files.items():
        write_bytes(data, folder / name)
    digest = write_manifest(manifest, folder)
    create_log(folder, digest, CREATED)
    rng = np.random.default_rng(seed)
    readings = SimulatedStudy(manifest, model).readings(rng)
    readings = with_evidence(readings, manifest, folder, model, rng)
    with EventLog(folder, digest) as log:
        log.append_all(events(simulated_events(manifest, readings)))
    return manifest
