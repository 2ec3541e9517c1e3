"""A dataset as a user describes it: what a YAML file says about a table and its images."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import yaml

from vitatt.config_files import compose
from vitatt.data.datasets.schema import DatasetSpec, Feature
from vitatt.data.datasets.spellings import UNKNOWN, YES_NO, compared_text, sexes
from vitatt.data.images.files import IMAGE_ENDINGS
from vitatt.ranges import Range
from vitatt.types import UsageError
from vitatt.words import did_you_mean

_KINDS = ("categorical", "numeric", "yes_no", "sex")
_FORM_KEYS = ("table", "predict_table", "label", "label_table", "label_key")
_KEYS = (
    *("name", "title", "published_at", "layout", "forms", *_FORM_KEYS, "id"),
    *(
        "image",
        "views",
        "view",
        "image_endings",
        "images",
        "group",
        "group_kind",
        "ungrouped_share",
        "classes",
    ),
    *("unknown_class", "left_out", "positive", "features", "barred", "subgroups"),
)
_REQUIRED = ("name", "table", "id", "group", "label", "classes", "features")
_FEATURE_KEYS = (
    *("kind", "label", "unit", "range", "categories", "spellings", "optional", "per_view"),
)
_TAKEN = (
    *("case_id", "group", "diagnosis", "image", "content", "true", "predicted", "arm", "fold"),
    *("seed", "temperature", "trained"),
)
"""Columns of tables of cases and of predictions."""

_CLASS_KEYS = ("title", "names")


class Form(NamedTuple):
    """One form in which the tables of a dataset are published.

    Attributes:
        table: Path of the table below the data folder.
        label: The column of the label, or one column of 0 and 1 for each class.
        predict_table: Path of another table, which has the cases to predict.
        label_table: Path of the table with the label, if it is another one.
        label_key: Column by which both tables are joined; None if it is that of the id.
    """

    table: str
    label: str | tuple[str, ...]
    predict_table: str | None = None
    label_table: str | None = None
    label_key: str | None = None


class Description(NamedTuple):
    """A dataset by its tables.

    Attributes:
        spec: Classes, features and groups.
        forms: Forms of its tables; that of which there is a table is read.
        images: Name of a case's image file, with columns in braces, such as ``{file}.jpg``; or of
            each view's, if they stand in one row.
        view_column: Column that names the view of a row's image, if each view has a row; else None.
        view_of: View of each published name of that column, in the form of `compared_text`.
        endings: Endings of the image files, in lower case.
        places: Folders and archives with the images, see `image_paths`.
        groups: Columns that may name the group; the first that has values does.
        class_of: Class of each published name, which is in the form of `compared_text`.
        left_out: Labels whose rows are left out.
        text: The description as JSON, from which it can be read again.
    """

    spec: DatasetSpec
    forms: tuple[Form, ...]
    images: tuple[str, ...]
    view_column: str | None
    view_of: Mapping[str, str]
    endings: tuple[str, ...]
    places: tuple[str, ...]
    groups: tuple[str, ...]
    class_of: Mapping[str, str]
    left_out: tuple[str, ...]
    text: str


def parse_description(text: str, source: str) -> Description:
    """Read a description.

    Args:
        text: YAML.
        source: Where it comes from, for messages.

    Raises:
        UsageError: If it is no YAML, a key is missing or unknown, or a value is none that is
            possible; the message names the key.
    """
    compose(text, source)
    try:
        plain = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no such date
        raise UsageError(f"{source} is no YAML: {error}") from error
    description = _Reader(source).description(plain)
    if len(classes := description.spec.classes) == 2 and description.spec.positive is None:
        raise UsageError(
            f"{source} lacks the key `positive`. Of two classes, it names the one that is to be "
            f"detected: {' or '.join(classes)}."
        )
    return description


def recorded_description(text: str, source: str) -> Description:
    """Read `Description.text`, see `parse_description`."""
    return _Reader(source).description(json.loads(text))


def is_taken(name: str) -> bool:
    """Whether results of vitatt have a column of this name, so that no feature can."""
    return name in _TAKEN or name.startswith(("p_", "q_"))


class _Reader:
    """Reads values of a description, and names the key of a wrong one."""

    def __init__(self, source: str) -> None:
        self._source = source

    def description(self, plain: object) -> Description:
        if isinstance(plain, dict) and "melanoma" in plain and "positive" not in plain:
            # As the key was named at first.
            plain = {("positive" if key == "melanoma" else key): plain[key] for key in plain}
        values = self._mapping(plain, "the description", _KEYS)
        forms_given = values.get("forms", [{}])
        for key in _REQUIRED:
            if key not in values and not (key in _FORM_KEYS and "forms" in values):
                raise UsageError(
                    f"{self._source} lacks the key `{key}`. A description needs "
                    f"{', '.join(_REQUIRED)}, and may have "
                    f"{', '.join(key for key in _KEYS if key not in _REQUIRED)}."
                )
        name = self._text(values["name"], "name")
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            self._wrong("name", "to be letters, digits and underscores", name)
        classes, class_of = self._classes(values["classes"])
        view_column = self._optional(values, "view")
        views, view_of = self._views(values.get("views"), view_column)
        features = tuple(
            feature
            for key, value in self._mapping(values["features"], "features").items()
            for feature in self._each_view(key, value, views if view_column else ())
        )
        names = [feature.name for feature in features]
        if not features:
            self._wrong("features", "to name at least one column", {})
        if twice := [one for one in names if names.count(one) > 1]:
            self._wrong(
                f"features.{twice[0]}", "to be one feature, not also one `per_view`", "both"
            )
        case_id = self._text(values["id"], "id")
        groups = self._one_or_more(values["group"], "group")
        if not groups:
            self._wrong("group", "to be a column, or a list of columns", [])
        unknown_class = self._optional(values, "unknown_class")
        if unknown_class in classes:
            self._wrong("unknown_class", "to be none of the classes", unknown_class)
        forms = self._forms(forms_given, values, list(classes))
        barred = self._barred(values.get("barred"), case_id, groups, forms)
        if view_column is not None:
            barred = {view_column: "it names the view, and each case has all of them"} | barred
        if both := [one for one in names if one in barred]:
            self._wrong(
                f"features.{both[0]}", f"not to be barred ({barred[both[0]]})", "both", plainly=True
            )
        subgroups, bands = self._subgroups(values.get("subgroups") or (), features)
        spec = DatasetSpec(
            name=name,
            title=self._text(values.get("title", name), "title"),
            classes=tuple(classes),
            class_titles=classes,
            features=features,
            group=self._text(values.get("group_kind", "patient"), "group_kind"),
            group_column=groups[0],
            published_at=self._text(values.get("published_at", ""), "published_at"),
            layout=self._text(values.get("layout", _layout(forms)), "layout"),
            id_column=case_id,
            ungrouped_share=self._share(values.get("ungrouped_share", 0), "ungrouped_share"),
            unknown_class=unknown_class,
            barred=barred,
            subgroups=subgroups,
            bands=bands,
            positive=self._positive(values.get("positive"), list(classes)),
            views=views,
        )
        return Description(
            spec,
            forms,
            self._images(values, case_id),
            view_column,
            view_of,
            self._endings(values.get("image_endings")),
            tuple(self._one_or_more(values.get("images") or (), "images")),
            groups,
            class_of,
            self._left_out(values.get("left_out") or (), class_of),
            json.dumps(values),
        )

    def _forms(
        self, plain: object, common: Mapping[str, Any], classes: Sequence[str]
    ) -> tuple[Form, ...]:
        """The forms, each with what all have in common."""
        if not isinstance(plain, list) or not plain:
            self._wrong("forms", "to be a list", plain)
        forms = []
        for number, one in enumerate(plain):
            place = f"forms[{number}]"
            own = self._mapping(one, place, _FORM_KEYS)
            values = {key: value for key, value in common.items() if key in _FORM_KEYS} | own
            for key in ("table", "label"):
                if key not in values:
                    self._wrong(place, f"to have the key `{key}`", own)
            if "label_key" in values and "label_table" not in values:
                self._wrong("label_key", "only beside `label_table`", values["label_key"])
            forms.append(
                Form(
                    self._text(values["table"], "table"),
                    self._label(values["label"], classes),
                    *(
                        self._optional(values, key)
                        for key in ("predict_table", "label_table", "label_key")
                    ),
                )
            )
        return tuple(forms)

    def _views(self, plain: object, column: str | None) -> tuple[tuple[str, ...], dict[str, str]]:
        """Names of the views, and the view of each published name."""
        if plain is None:
            if column is not None:
                self._wrong("view", "only beside `views`", column)
            return (), {}
        given = self._mapping(plain, "views")
        if len(given) < 2:
            self._wrong("views", "to name at least two", list(given))
        known: dict[str, str] = {}
        for name in given:
            if not name or name != name.strip() or not name.isprintable():
                self._wrong("views", "to have plain names without spaces at their ends", name)
            self._add(known, name, name, f"views.{name}")
        view_of: dict[str, str] = {}
        for name, value in given.items() if column is not None else ():
            for one in (name, *self._one_or_more(value or (), f"views.{name}")):
                self._add(view_of, one, name, f"views.{name}")
        return tuple(given), view_of

    def _each_view(self, name: str, plain: object, views: Sequence[str]) -> list[Feature]:
        """The feature of a column, or one for each view whose values differ."""
        place = f"features.{name}"
        if not isinstance(plain, dict) or "per_view" not in plain:
            return [self._feature(name, plain)]
        if plain["per_view"] is not True:
            self._wrong(f"{place}.per_view", "to be true, or to be left out", plain["per_view"])
        if not views:
            self._wrong(f"{place}.per_view", "only where `view` names a column", True)
        of_case = self._feature(name, {k: v for k, v in plain.items() if k != "per_view"})
        return [
            replace(of_case, name=f"{name}.{view}", label=f"{of_case.label} ({view})", view=view)
            for view in views
        ]

    def _images(self, values: Mapping[str, Any], case_id: str) -> tuple[str, ...]:
        """The pattern of a case's image, or that of each view."""
        if "views" not in values or values.get("view") is not None:
            return (self._image(values.get("image", case_id), "image"),)
        if "image" in values:
            self._wrong("image", "to be left out, since `views` names the images", values["image"])
        given = self._mapping(values["views"], "views")
        images = {name: self._image(pattern, f"views.{name}") for name, pattern in given.items()}
        for name, image in images.items():
            other = next(one for one in images if images[one] == image)
            if other != name:
                self._wrong(f"views.{name}", f"to be another image than `views.{other}`", image)
        return tuple(images.values())

    def _image(self, value: object, place: str) -> str:
        image = self._text(value, place)
        if "{" not in image:
            image = "{" + image + "}"
        if re.search(r"[{}]", re.sub(r"{[^{}]+}", "", image)):
            self._wrong(place, "to be a column, or a pattern with columns in braces", image)
        return image

    def _endings(self, plain: object) -> tuple[str, ...]:
        if plain is None:
            return IMAGE_ENDINGS
        endings = [ending.lower() for ending in self._one_or_more(plain, "image_endings")]
        return tuple(self._known(endings, "image_endings", IMAGE_ENDINGS))

    def _left_out(self, plain: object, class_of: Mapping[str, str]) -> tuple[str, ...]:
        labels = self._one_or_more(plain, "left_out")
        for label in labels:
            if known := class_of.get(compared_text(label)):
                self._wrong("left_out", f"not to be a name of the class {known}", label)
        return labels

    def _classes(self, plain: object) -> tuple[dict[str, str], dict[str, str]]:
        """Title of each class, and the class of each published name."""
        titles: dict[str, str] = {}
        class_of: dict[str, str] = {}
        for name, value in self._mapping(plain, "classes").items():
            place = f"classes.{name}"
            known: Sequence[str] = ()
            title = name
            if isinstance(value, dict):
                entry = self._mapping(value, place, _CLASS_KEYS)
                title = self._text(entry.get("title", name), f"{place}.title")
                known = self._texts(entry.get("names", ()), f"{place}.names")
            elif value is not None:
                title = self._text(value, place)
            titles[name] = title
            for one in (name, *known):
                self._known_value(one, place)
                other = class_of.setdefault(compared_text(one), name)
                if other != name:
                    self._wrong(place, f"to have names that {other} has not", one)
        if len(titles) < 2:
            self._wrong("classes", "to name at least two classes", list(titles))
        return titles, class_of

    def _known_value(self, name: str, place: str) -> None:
        if compared_text(name) in UNKNOWN:
            self._wrong(place, "not to be a spelling of a missing value", name)

    def _feature(self, name: str, plain: object) -> Feature:
        place = f"features.{name}"
        if is_taken(name):
            self._wrong(place, "not to be a column of vitatt's results: rename it", name)
        entry = {"kind": plain} if isinstance(plain, str) else plain
        values = self._mapping(entry if entry is not None else {}, place, _FEATURE_KEYS)
        kind = self._text(values.get("kind", "categorical"), f"{place}.kind")
        if kind not in _KINDS:
            self._wrong(f"{place}.kind", f"to be {', '.join(_KINDS)}", kind, known=_KINDS)
        label = self._text(values.get("label", name.replace("_", " ")), f"{place}.label")
        optional = values.get("optional", False)
        if not isinstance(optional, bool):
            self._wrong(f"{place}.optional", "to be true or false", optional)
        allowed = {
            "numeric": ("unit", "range"),
            "categorical": ("categories", "spellings"),
            "sex": ("categories",),
        }.get(kind, ())
        for key in values:
            if key not in ("kind", "label", "optional", *allowed):
                self._wrong(f"{place}.{key}", f"only where the kind is not {kind}", values[key])
        if kind == "numeric":
            return Feature(
                name,
                label,
                "numeric",
                self._text(values.get("unit", ""), f"{place}.unit"),
                plausible=self._range(values.get("range"), f"{place}.range"),
                optional=optional,
            )
        if kind == "yes_no":
            pair, variants = ("False", "True"), YES_NO
            return Feature(name, label, categories=pair, spellings=variants, optional=optional)
        if kind == "sex":
            named = self._texts(values.get("categories", ("female", "male")), f"{place}.categories")
            if len(named) != 2 or len(set(named)) != 2:
                self._wrong(f"{place}.categories", "to be female and male, in this order", named)
            female, male = named
            return Feature(
                name,
                label,
                categories=(female, male),
                spellings=sexes(female, male),
                optional=optional,
            )
        categories = self._texts(values.get("categories", ()), f"{place}.categories")
        spellings: dict[str, str] = {}
        known: dict[str, str] = {}
        for category in categories:
            self._add(known, category, category, f"{place}.categories")
        for category, variants in self._mapping(
            values.get("spellings") or {}, f"{place}.spellings"
        ).items():
            if categories and category not in categories:
                self._wrong(f"{place}.spellings", f"to be of {', '.join(categories)}", category)
            self._add(known, category, category, f"{place}.spellings")
            for variant in self._texts(variants, f"{place}.spellings.{category}"):
                self._add(known, variant, category, f"{place}.spellings.{category}")
                spellings[compared_text(variant)] = category
        return Feature(
            name, label, categories=tuple(categories), spellings=spellings, optional=optional
        )

    def _add(self, known: dict[str, str], name: str, category: str, place: str) -> None:
        """Note that a spelling means a category, and no other one."""
        self._known_value(name, place)
        other = known.setdefault(compared_text(name), category)
        if other != category:
            self._wrong(place, f"to be another spelling than those of '{other}'", name)

    def _range(self, value: object, place: str) -> Range | None:
        if value is None:
            return None
        if not (
            isinstance(value, list)
            and len(value) == 2
            and all(isinstance(one, (int, float)) for one in value)
            and value[0] < value[1]
        ):
            self._wrong(place, "to be two numbers, the smaller first, as in [0, 120]", value)
        return Range(least=value[0], most=value[1])

    def _share(self, value: object, place: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            self._wrong(place, "to be 0 to 1", value)
        return float(value)

    def _label(self, value: object, classes: Sequence[str]) -> str | tuple[str, ...]:
        if not isinstance(value, list):
            return self._text(value, "label")
        columns = self._texts(value, "label")
        if sorted(columns) != sorted(classes):
            self._wrong("label", f"to be a column, or the classes {', '.join(classes)}", columns)
        return tuple(columns)

    def _barred(
        self, plain: object, case_id: str, groups: Sequence[str], forms: Sequence[Form]
    ) -> dict[str, str]:
        given = self._mapping(plain or {}, "barred")
        labels = [
            name
            for form in forms
            for name in ((form.label,) if isinstance(form.label, str) else form.label)
        ]
        return {
            case_id: "it identifies the case, and so would not generalise",
            **dict.fromkeys(groups, "it names the group, and so would not generalise"),
            **dict.fromkeys(labels, "it is the label"),
            **{
                key: self._text(value or "it is barred", f"barred.{key}")
                for key, value in given.items()
            },
        }

    def _positive(self, value: object, classes: Sequence[str]) -> str | None:
        return None if value is None else self._known([value], "positive", classes)[0]

    def _subgroups(
        self, plain: object, features: Sequence[Feature]
    ) -> tuple[tuple[str, ...], dict[str, tuple[float, ...]]]:
        """Names, and the edges of the bands of those that have some of their own."""
        kinds = {feature.name: feature.kind for feature in features}
        if not isinstance(plain, dict):
            return tuple(self._known(plain, "subgroups", list(kinds))), {}
        given = self._mapping(plain, "subgroups", list(kinds))
        bands = {}
        for name, edges in given.items():
            if edges is None:
                continue
            place = f"subgroups.{name}"
            if kinds[name] != "numeric":
                self._wrong(place, "to be empty, since only numbers have bands", edges)
            if not (
                isinstance(edges, list)
                and edges
                and all(type(one) in (int, float) and math.isfinite(one) for one in edges)
                and all(low < high for low, high in itertools.pairwise(edges))
            ):
                self._wrong(place, "to be increasing numbers, as in [30, 50, 70]", edges)
            bands[name] = tuple(map(float, edges))
        return tuple(given), bands

    def _known(self, values: object, place: str, known: Sequence[str]) -> list[str]:
        words = self._texts(values, place)
        for word in words:
            if word not in known:
                self._wrong(place, f"to be among {', '.join(known)}", word, known=known)
        return words

    def _mapping(
        self, value: object, place: str, known: Sequence[str] | None = None
    ) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._wrong(place, "to hold values by name", value)
        for key in value:
            if isinstance(key, bool) or not isinstance(key, (str, int, float)):
                self._wrong(place, "to have names as keys (yes, no, on, off, null in quotes)", key)
            if known is not None and key not in known:
                where = "" if place == "the description" else f" in `{place}`"
                raise UsageError(
                    f"{self._source} has the unknown key `{key}`{where}."
                    f"{did_you_mean(str(key), known)} Known are {', '.join(known)}."
                )
        return {str(key): one for key, one in value.items()}

    def _optional(self, values: Mapping[str, Any], key: str) -> str | None:
        return None if values.get(key) is None else self._text(values[key], key)

    def _one_or_more(self, value: object, place: str) -> tuple[str, ...]:
        """A text or a list of texts."""
        return tuple(self._texts(value if isinstance(value, (list, tuple)) else [value], place))

    def _texts(self, value: object, place: str) -> list[str]:
        if not isinstance(value, (list, tuple)):
            self._wrong(place, "to be a list", value)
        return [self._text(one, place) for one in value]

    def _text(self, value: object, place: str) -> str:
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            self._wrong(place, "to be text", value)
        return str(value)

    def _wrong(
        self,
        place: str,
        expected: str,
        found: object,
        *,
        known: Sequence[str] = (),
        plainly: bool = False,
    ) -> NoReturn:
        shown = found if plainly else repr(found)
        name = place if place == "the description" else f"`{place}`"
        raise UsageError(
            f"Expected {name} of {self._source} {expected}, but got {shown}."
            f"{did_you_mean(str(found), known)}"
        )


def _layout(forms: Sequence[Form]) -> str:
    tables = [
        " and ".join(name for name in (form.table, form.label_table) if name) for form in forms
    ]
    return f"{', or '.join(tables)}, and the images, in any subfolders"
