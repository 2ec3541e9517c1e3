"""Names of arms and bands of a study as its report shows them, and its other words."""

from __future__ import annotations

from typing import NamedTuple

from vitatt.reader_study.analysis.means import ALL_READERS
from vitatt.reader_study.manifest import Manifest
from vitatt.reader_study.simulation.simulated_log import SIMULATED


class Names(NamedTuple):
    """Words of a study.

    Attributes:
        arms: Titles by name, in the order of the plan.
        bands: Titles of bands of experience by name, the lowest first.
        percent: Coverage of intervals, such as ``95 %``.
        alpha: Level of tests, such as ``0.05``.
    """

    arms: dict[str, str]
    bands: dict[str, str]
    percent: str
    alpha: str

    def band(self, name: str) -> str:
        """Title of a band, or of all readers."""
        return "all readers" if name == ALL_READERS else self.bands.get(name, name)

    def pair(self, arm: str, reference: str, sign: str = "−") -> str:
        """Two arms that are compared."""
        return f"{self.arms.get(arm, arm)} {sign} {self.arms.get(reference, reference)}"


def names_of(manifest: Manifest) -> Names:
    """Words of a study."""
    level = manifest.analysis.level
    return Names(
        {arm.name: arm.title for arm in manifest.arms},
        {band.name: band.title for band in manifest.experience},
        f"{100 * level:.6g} %",
        f"{1 - level:.2g}",
    )


def is_simulated(manifest: Manifest) -> bool:
    """Whether the readers are simulated, as the name of the study says."""
    return manifest.name.endswith(SIMULATED)


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
