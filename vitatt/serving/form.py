"""The questions of the page: features of the served models, as a person reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from vitatt.serving.schemas import FeatureCard, ModelCard


class Choice(NamedTuple):
    """An entry of a select.

    Attributes:
        value: As the API takes it.
        shown: As a person reads it.
    """

    value: str
    shown: str


class Field(NamedTuple):
    """A question.

    Attributes:
        name: Column of the dataset.
        label: The question.
        unit: Of a number.
        kind: categorical or numeric.
        choices: Known categories.
        hint: Possible numbers, and which models use it if not all do.
    """

    name: str
    label: str
    unit: str
    kind: str
    choices: Sequence[Choice]
    hint: str


def form_fields(cards: Sequence[ModelCard], text: Mapping[str, str]) -> list[Field]:
    """Return a question for each feature that at least one model uses.

    Args:
        cards: Of the models, all of one dataset.
        text: Words of the page.
    """
    fields = []
    for feature in cards[0].features:
        same = [one for card in cards for one in card.features if one.name == feature.name]
        users = [card.name for card, one in zip(cards, same, strict=True) if one.used]
        if not users:
            continue
        categories = dict.fromkeys(one for each in same for one in each.categories)
        hints = [_range(feature, text)]
        if len(users) < len(cards):
            hints.append(text["only_models"].format(models=", ".join(users)))
        fields.append(
            Field(
                feature.name,
                sentence(feature.label),
                feature.unit,
                feature.kind,
                [Choice(one, shown_category(one, text)) for one in categories],
                "; ".join(filter(None, hints)),
            )
        )
    return fields


def unused_features(cards: Sequence[ModelCard]) -> list[str]:
    """Return the labels of the features that no model uses."""
    used = {one.name for card in cards for one in card.features if one.used}
    return [one.label for one in cards[0].features if one.name not in used]


def class_choices(card: ModelCard) -> list[Choice]:
    """Return the classes by their plain names."""
    return [Choice(one.name, sentence(one.title)) for one in card.classes]


def shown_category(category: str, text: Mapping[str, str]) -> str:
    """Return a category as a person reads it: ``True`` is yes, ``NOSE`` is Nose."""
    common = {
        "true": text["yes"],
        "false": text["no"],
        "female": text["female"],
        "male": text["male"],
    }
    if category.lower() in common:
        return common[category.lower()]
    return sentence(category.lower()) if category.isupper() and len(category) > 3 else category


def sentence(words: str) -> str:
    """Return words with a capital at their begin."""
    return words[:1].upper() + words[1:]


def _range(feature: FeatureCard, text: Mapping[str, str]) -> str:
    least, most = (None if one is None else f"{one:g}" for one in (feature.least, feature.most))
    if least is not None and most is not None:
        return text["range"].format(least=least, most=most)
    if least is not None:
        return text["range_least"].format(least=least)
    return "" if most is None else text["range_most"].format(most=most)
