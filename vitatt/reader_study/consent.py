"""The text that readers consent to, and the end of their part in a study."""

from __future__ import annotations

from importlib import resources
from typing import Annotated, Literal

import yaml
from pydantic import Field

from vitatt.reader_study.frozen_model import FrozenModel


class Consent(FrozenModel):
    """Consent of readers.

    Attributes:
        version: Of the text; it is recorded with each consent.
        text: By the code of its language, such as ``en``; paragraphs are separated by a blank line.
        withdrawal: Whether the readings of a reader who withdraws are left out, kept, or as this
            reader asks.
    """

    version: str
    text: Annotated[dict[str, str], Field(min_length=1)]
    withdrawal: Literal["exclude", "keep", "ask"]


def _general_texts() -> dict[str, str]:
    """The general text by the code of its language."""
    folder = resources.files("vitatt.reader_study").joinpath("strings")
    files = sorted(folder.iterdir(), key=lambda one: (one.name != "en.yaml", one.name))
    return {
        one.name.removesuffix(".yaml"): yaml.safe_load(one.read_text(encoding="utf-8"))["consent"]
        for one in files
        if one.name.endswith(".yaml")
    }


DEFAULT_CONSENT = Consent(version="1", text=_general_texts(), withdrawal="exclude")
"""A general text; an ethics committee will usually ask for one of the study's own."""
