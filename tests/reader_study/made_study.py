"""Reader studies that no model made: a plan, its files and its log."""

from __future__ import annotations

import datetime
import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitatt.reader_study.event_chain import NewEvent
from vitatt.reader_study.log_reading import create_log
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.study_folder import sha256, write_bytes, write_manifest

CREATED = datetime.datetime(2026, 1, 5, 9, tzinfo=datetime.UTC)
CLASSES = ("BCC", "MEL", "NEV")


def png(seed: int, channels: int = 3, side: int = 32) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, channels), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def npy(seed: int) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.random.default_rng(seed).random((4, 4), dtype=np.float32))
    return stream.getvalue()


def made_case(number: int, prefix: str = "c") -> tuple[dict[str, Any], dict[str, bytes]]:
    """A case as `Manifest` reads it, and the content of its files; every third AI is wrong."""
    name = f"{prefix}{number:03d}"
    truth = CLASSES[number % 3]
    predicted = CLASSES[(number + 1) % 3] if number % 3 == 2 else truth
    seed = number + (1000 if prefix == "t" else 0)
    files = {f"images/{name}.png": png(seed)}
    maps = {}
    for place, method in enumerate(("tmme", "attention", "grad_cam")):
        stem = f"maps/{name}-{method}"
        files[f"{stem}.png"] = png(seed * 7 + place, 4)
        files[f"{stem}.npy"] = npy(seed * 7 + place)
        maps[method] = [
            {
                "view": "",
                "file": f"{stem}.png",
                "sha256": sha256(files[f"{stem}.png"]),
                "grid": f"{stem}.npy",
                "grid_sha256": sha256(files[f"{stem}.npy"]),
            }
        ]
    case = {
        "case_id": name,
        "source_id": f"PAT_{prefix}{number}.png",
        "group": f"PAT_{prefix}{number}",
        "truth": truth,
        "stratum": {
            "difficulty": ("easy", "medium", "hard")[number % 3],
            "skin_type": "2",
            "ai_correct": predicted == truth,
        },
        "answers": {"age": "61 years", "itch": "yes"},
        "ai": {
            "predicted": predicted,
            "probabilities": {one: 0.7 if one == predicted else 0.15 for one in CLASSES},
        },
        "images": [
            {
                "view": "",
                "file": f"images/{name}.png",
                "sha256": sha256(files[f"images/{name}.png"]),
            }
        ],
        "maps": maps,
        "evidence": {"age": 0.4, "itch": -0.2},
        "relevance": {"age": 0.1, "itch": 0.3},
    }
    return case, files


def plain_study(
    cases: int = 6, readers: int = 4, design: str = "crossover", seed: int = 0
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """A plan with the arms no_ai and ai as plain values, and the content of its files.

    The token of reader ``r01`` is ``token-r01``.
    """
    made = [made_case(number) for number in range(cases)]
    training = [made_case(number, "t") for number in range(2)]
    files = {name: data for _, part in [*made, *training] for name, data in part.items()}
    names = [case["case_id"] for case, _ in made]
    shuffled = random.Random(seed)
    people = []
    for number in range(1, readers + 1):
        arms = ["no_ai", "ai"] if number % 2 else ["ai", "no_ai"]
        periods = [[arm] for arm in arms] if design == "crossover" else [["no_ai", "ai"]]
        people.append(
            {
                "code": f"r{number:02d}",
                "token_sha256": sha256(f"token-r{number:02d}".encode()),
                "experience": ("low", "high")[number % 2] if number < readers else None,
                "schedule": [
                    {"arms": one, "cases": shuffled.sample(names, len(names))} for one in periods
                ],
            }
        )
    plan = {
        "version": 1,
        "name": "made",
        "question": "Does the AI help?",
        "created": "2026-01-05T09:00:00Z",
        "seed": seed,
        "design": design,
        "washout_days": 28 if design == "crossover" else 0,
        "arms": [
            {
                "name": name,
                "title": name,
                "shows_ai": name != "no_ai",
                "shows_map": "tmme" if name == "ai" else None,
                "shows_answers": name == "ai",
            }
            for name in ("no_ai", "ai")
        ],
        "classes": [
            {"name": one, "title": f"Title of {one}", "positive": one != "NEV"} for one in CLASSES
        ],
        "experience": [{"name": one, "title": f"{one} experience"} for one in ("low", "high")],
        "management": [{"name": one, "title": one} for one in ("follow_up", "biopsy")],
        "ask": {
            "top": 1,
            "confidence": True,
            "management": True,
            "trust": True,
            "drawing": "both",
            "features": True,
        },
        "features": [
            {"name": "age", "title": "Age", "unit": "years", "values": []},
            {"name": "itch", "title": "Itch", "unit": "", "values": ["no", "yes"]},
        ],
        "cases": [case for case, _ in made],
        "training_cases": [case for case, _ in training],
        "readers": people,
        "analysis": {
            "primary_metric": "balanced accuracy",
            "primary_contrast": ["no_ai", "ai"],
            "metrics": ["balanced accuracy", "sensitivity"],
            "multiplicity": "holm",
            "level": 0.95,
            "exploratory": [],
        },
        "stopping": {"readings": readers * cases * 2, "date": None},
        "power": {"method": "none", "assumptions": {}, "value": 0.5, "simulations": 1},
        "source": {
            "checkpoint_sha256": "0" * 64,
            "dataset": "made",
            "fold": "0 of 5",
            "vitatt_version": "0.1.0",
        },
    }
    return plan, files


def write_study(folder: Path, **settings: Any) -> tuple[Manifest, str]:
    """Write a study's folder, and return its plan and the digest of the plan."""
    plan, files = plain_study(**settings)
    manifest = Manifest.model_validate_json(json.dumps(plan))
    for name, data in files.items():
        write_bytes(data, folder / name)
    digest = write_manifest(manifest, folder)
    create_log(folder, digest, CREATED)
    return manifest, digest


def submission(manifest: Manifest, reader: str, period: int, position: int, **more: Any) -> Any:
    """Data of a reader's submission of the case at a place of the schedule."""
    planned = manifest.reader_by_code[reader].schedule[period - 1]
    return {
        "case": planned.cases[position - 1],
        "arm": planned.arms[0],
        "period": period,
        "position": position,
        "diagnosis": "BCC",
        "confidence": 80.0,
        "visible_seconds": 12.5,
        **more,
    }


def event(kind: Any, reader: str | None, data: Any, minutes: float = 0) -> NewEvent:
    return NewEvent(kind, reader, data, CREATED + datetime.timedelta(minutes=minutes))
