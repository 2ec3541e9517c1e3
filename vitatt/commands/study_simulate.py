"""The command `vitatt study simulate`."""

from __future__ import annotations

import shutil

import numpy as np

from vitatt.files import write_frame
from vitatt.paths import user_path
from vitatt.ranges import SEED, Range, Ranges, check_ranges
from vitatt.reader_study.design.assignment import assign
from vitatt.reader_study.design.freezing import freeze, new_folder, with_tokens
from vitatt.reader_study.design.readers import PlannedReader, new_tokens, planned_readers
from vitatt.reader_study.event_log import EventLog
from vitatt.reader_study.manifest import Manifest, Reader
from vitatt.reader_study.readings import make_readings
from vitatt.reader_study.simulation.drawn_evidence import with_evidence
from vitatt.reader_study.simulation.reader_model import DEFAULT_READERS, read_reader_model
from vitatt.reader_study.simulation.simulated_log import SIMULATED, simulated_events
from vitatt.reader_study.simulation.simulated_readings import SimulatedStudy
from vitatt.reader_study.study_folder import check_files, read_manifest, sha256

_RANGES: Ranges = {"readers": Range(least=1, most=999), "seed": SEED}


def study_simulate(
    study: str,
    *,
    output: str | None = None,
    readers: int | None = None,
    assumptions: str | None = None,
    seed: int = 0,
) -> int:
    """Simulate the readers of a study: skill, reliance on the AI, time, trust and drawings.

    The new folder holds a copy of the study with a log of simulated readings, which is analysed as
    one of real readers. Its name says that the readers are simulated.

    Args:
        study: Folder of a study.
        output: New folder; by default beside the study, with `-simulated` in its name.
        readers: Number of readers; by default those of the study.
        assumptions: YAML file with assumptions about readers; by default those of the docs.
        seed: Seed of the readings.

    Returns:
        0.

    Raises:
        UsageError: If the folder is no study, was changed, or a setting cannot be used.
    """
    check_ranges(_RANGES, {"readers": readers, "seed": seed})
    folder = user_path(study, "study")
    manifest, _ = read_manifest(folder)
    check_files(manifest, folder)
    model = (
        read_reader_model(user_path(assumptions, "--assumptions"))
        if assumptions
        else DEFAULT_READERS
    )
    if readers is not None:
        manifest = _with_readers(manifest, planned_readers(str(readers), ()))
    manifest = manifest.model_copy(update={"name": f"{manifest.name}{SIMULATED}"})
    tokens = new_tokens([PlannedReader(one.code, one.experience) for one in manifest.readers])
    manifest = with_tokens(manifest, tokens)
    place = user_path(output or f"{folder.resolve()}-simulated", "--output")
    rng = np.random.default_rng(seed)
    with new_folder(place) as made:
        for name in manifest.files():
            (made / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / name, made / name)
        digest = freeze(manifest, tokens, made)
        simulated = SimulatedStudy(manifest, model).readings(rng)
        simulated = with_evidence(simulated, manifest, made, model, rng)
        with EventLog(made, digest) as log:
            log.append_all(simulated_events(manifest, simulated))
            table = make_readings(manifest, log.events)
        write_frame(table, made / "readings.csv")
    print(f"{table.height} readings of {len(manifest.readers)} simulated readers: {place}")
    print(f"Next: vitatt study analyse {place}")
    return 0


def _with_readers(manifest: Manifest, readers: list[PlannedReader]) -> Manifest:
    """The study with other readers, assigned anew."""
    schedules = assign(
        [arm.name for arm in manifest.arms],
        [case.case_id for case in manifest.cases],
        [None] * len(readers),
        design=manifest.design,
        seed=manifest.seed,
    )
    assigned = tuple(
        Reader(
            code=reader.code,
            token_sha256=sha256(reader.code.encode()),
            experience=None,
            schedule=schedule,
        )
        for reader, schedule in zip(readers, schedules, strict=True)
    )
    readings = len(assigned) * len(manifest.cases) * len(manifest.arms)
    stopping = manifest.stopping.model_copy(update={"readings": readings})
    return manifest.model_copy(update={"readers": assigned, "stopping": stopping})
