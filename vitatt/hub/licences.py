"""Licences of what a trained model is made from, and whether it may be passed on."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import timm

from vitatt.data.datasets.publications import PUBLICATIONS
from vitatt.export.provenance import HUB, RANDOM
from vitatt.types import LesionTask, UsageError

Verdict = Literal["free", "non-commercial", "forbidden", "unknown"]


class Licence(NamedTuple):
    """Licence of data or of weights.

    Attributes:
        of: What it is of, for people.
        name: As its owner names it; empty if it is not known.
        stated: Whether whoever publishes the model named it.
    """

    of: str
    name: str
    stated: bool = False

    @property
    def verdict(self) -> Verdict:
        """Whether what is derived may be passed on, and whether also for commercial use."""
        words = re.findall(r"[a-z0-9.]+", self.name.lower())
        if "cc" in words[:1] and "nd" in words:
            return "forbidden"
        if words[:2] == ["cc", "by"]:
            return "non-commercial" if "nc" in words else "free"
        if words and words[0] in _FREE:
            return "free"
        return "unknown"


_FREE = ("mit", "apache", "apache2", "bsd", "cc0", "isc")

PUBLISHED_WEIGHTS = {
    "panderm": Licence("weights of the encoder PanDerm", "CC-BY-NC-ND-4.0"),
    "dermlip": Licence("weights of the encoder DermLIP", "CC-BY-NC-4.0"),
}
"""Weights whose licence is known by a part of the name of their encoder or file."""


def data_licence(task: LesionTask, given: str = "") -> Licence:
    """Return the licence of the data that a model was trained on.

    Args:
        task: Of the model.
        given: Name of the licence, if the user gave one; that of a published dataset is kept.
    """
    publication = PUBLICATIONS.get(task.dataset)
    if publication is None:
        return _known(f"dataset {task.dataset}", "", given)
    return _known(f"dataset {publication.title}", _plain(publication.licence), given)


def weights_licence(encoder: str, source: str, given: str = "") -> Licence:
    """Return the licence of the weights that the training began with.

    Args:
        encoder: timm's name of the encoder.
        source: See `vitatt.export.provenance.weights_source`.
        given: Name of the licence, if the user gave one; a known one is kept.
    """
    if source == RANDOM:
        return Licence(f"weights of the encoder {encoder}, trained from the start", "MIT")
    for part, licence in PUBLISHED_WEIGHTS.items():
        if part in encoder.lower() or part in source.lower():
            return licence
    what = f"weights of the encoder {encoder}"
    if source == HUB:
        found = timm.get_pretrained_cfg(encoder)
        return _known(what, (found and found.license) or "", given)
    return _known(f"{what} ({source})" if source else f"{what}, of unknown origin", "", given)


def require_allowed(licences: list[Licence], *, accept: bool) -> None:
    """Refuse to pass on what a licence forbids, or what no licence is known of.

    Args:
        licences: Of data and weights.
        accept: Whether the user takes the responsibility.

    Raises:
        UsageError: If one forbids it or is not known, and the user does not accept it.
    """
    stopping = [one for one in licences if one.verdict in ("forbidden", "unknown")]
    if accept or not stopping:
        return
    reasons = "; ".join(_reason(one) for one in stopping)
    raise UsageError(
        f"The model may not be passed on as far as is known: {reasons}. Name a licence that is not "
        "known here by --weights_licence or --data_licence. If you have the right to publish the "
        "model nevertheless, say so by --accept_licences."
    )


def require_no_freer(name: str, licences: list[Licence], *, accept: bool) -> None:
    """Refuse to publish a model under a licence that allows more than those of its parts.

    Args:
        name: Of the licence of the model.
        licences: Of data and weights.
        accept: Whether the user takes the responsibility.

    Raises:
        UsageError: If a part is for non-commercial use and the model would not be.
    """
    bound = [one for one in licences if one.verdict == "non-commercial"]
    if accept or not bound or Licence("model", name).verdict != "free":
        return
    raise UsageError(
        f"Expected `licence` to be for non-commercial use, as that of the {bound[0].of} is "
        f"({bound[0].name}), but got '{name}', which allows any. Name one such as cc-by-nc-4.0, or "
        "state by --accept_licences that you have the right."
    )


def _known(of: str, name: str, given: str) -> Licence:
    """The licence that is known, or that which is given."""
    return Licence(of, name or given, not name and bool(given))


def _reason(licence: Licence) -> str:
    if licence.verdict == "forbidden":
        return f"the {licence.of}: {licence.name} forbids to pass on what is derived from them"
    if licence.name:
        return f"the {licence.of}: the terms of '{licence.name}' are not known here"
    return f"the {licence.of}: no licence is known"


def _plain(name: str) -> str:
    return "" if name.startswith("of each") else name
