"""Description of a dataset: classes, features, groups, and columns that leak the label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vitatt.ranges import Range
from vitatt.types import DataError, FeatureKind, PositiveClass


@dataclass(frozen=True)
class Feature:
    """A metadata column that a model may use.

    Attributes:
        name: Column name, as published; with the view, as in ``hair.close-up``, if there is one.
        label: Name for figures and tables.
        kind: ``categorical`` or ``numeric``.
        unit: Unit of a numeric feature, else empty.
        categories: All categories that the dataset publishes; empty where there may be others.
        spellings: Category of each other spelling, which is in upper case.
        plausible: Range of plausible values of a numeric feature; others are reported.
        optional: Whether data may lack the column; a model is then trained without it.
        view: View whose rows the values are from, in tables with a row for each view of a case;
            empty if they are of the case.
    """

    name: str
    label: str
    kind: FeatureKind = "categorical"
    unit: str = ""
    categories: tuple[str, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict, hash=False)
    plausible: Range | None = None
    optional: bool = False
    view: str = ""

    @property
    def column(self) -> str:
        """Column of the values in the published table."""
        return self.name.removesuffix(f".{self.view}") if self.view else self.name


@dataclass(frozen=True)
class DatasetSpec:
    """A published dataset.

    Attributes:
        name: Short name, as given to ``data.dataset``.
        title: Name for people.
        classes: Class abbreviations, as published, in the order of the logits.
        class_titles: Full name of each class.
        features: Metadata columns that models may use.
        group: What must not straddle (be in two of) the splits: ``patient`` or ``lesion``.
        group_column: Column that names the group.
        ungrouped_share: Largest share of images without a group that counts as published.
        published_at: Where to download the dataset; empty if it is not published.
        layout: Files and folders of the dataset, for error messages.
        id_column: Column that names a case, also in files of predictions.
        unknown_class: Class that files of predictions have, but training data do not.
        barred: Columns that cannot be features, with the reason, such as that they leak the label.
        subgroups: Features of the patient and the site, by which metrics are also reported.
        bands: First value of each band but the lowest, of numeric ones of `subgroups` that are not
            cut into the usual bands.
        positive: The class that is most harmful to miss; of two classes the positive one.
        views: Names of the images of a case; empty if a case is one image.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    class_titles: Mapping[str, str]
    features: tuple[Feature, ...]
    group: str
    group_column: str
    published_at: str
    layout: str
    id_column: str
    ungrouped_share: float = 0.0
    unknown_class: str | None = None
    barred: Mapping[str, str] = field(default_factory=dict)
    subgroups: tuple[str, ...] = ()
    bands: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    positive: str | None = None
    views: tuple[str, ...] = ()

    @property
    def positive_class(self) -> PositiveClass | None:
        """`positive` with its title."""
        if self.positive is None:
            return None
        return PositiveClass(self.positive, self.class_titles.get(self.positive, self.positive))

    def select(self, names: Sequence[str] | None) -> tuple[Feature, ...]:
        """Return features by name, in the order of the dataset; all of them for None.

        Raises:
            DataError: If a name is barred, unknown or given twice.
        """
        if names is None:
            return self.features
        for name in names:
            if name in self.barred:
                raise DataError(
                    f"The column '{name}' of {self.title} cannot be a feature: "
                    f"{self.barred[name]}. Remove it from `data.features`."
                )
        known = [feature.name for feature in self.features]
        if unknown := [name for name in names if name not in known]:
            raise DataError(
                f"Expected `data.features` to be columns of {self.title}, but got {unknown}. "
                f"It has: {', '.join(known)}."
            )
        if len(set(names)) != len(names):
            raise DataError(f"Expected each of `data.features` once, but got {list(names)}.")
        return tuple(feature for feature in self.features if feature.name in names)
