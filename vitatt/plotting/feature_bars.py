"""The relevance of metadata features as bars, labelled with the patient's own values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vitatt.plotting.heatmap import check_relevance
from vitatt.plotting.style import BLUE, GREY, INK, ORANGE, PAPER, clip_text, load_font

LABEL_SHARE = 0.43  # of the width; the rest is for the bars
SERIES_COLOURS = (BLUE, ORANGE)


def feature_bars(
    labels: Sequence[str],
    values: Sequence[str | None],
    relevance: Mapping[str, NDArray[np.floating[Any]]],
    *,
    width: int,
    max_features: int = 12,
    font_size: int = 23,
) -> NDArray[np.uint8]:
    """Draw a bar a feature, the most relevant first: its share of the relevance of all features.

    Args:
        labels: Names of the F features.
        values: The patient's own values with their units; None where not recorded.
        relevance: Relevance (F,) by title, such as ``predicted BCC``; one or two; the
            features are ordered by the larger share.
        width: Of the figure, in pixels.
        max_features: Bars at most; further features are summed up in one line.
        font_size: In pixels.

    Returns:
        The figure, as high as it has lines.

    Raises:
        ValueError: If lengths do not match, or relevance is negative or not finite.
    """
    if max_features < 1:
        raise ValueError(
            f"Expected argument `max_features` to be larger than 0, but got {max_features}"
        )
    shares = feature_shares(labels, values, relevance)
    missing = np.array([value is None for value in values], dtype=bool)
    # By the larger share, so that what decides for the other class is shown; recorded ones first.
    order = np.lexsort((missing, -shares.max(axis=0)))
    shown, rest = order[:max_features], order[max_features:]

    row_height = round(1.43 * font_size)
    font = load_font(font_size)
    figure = Image.new("RGB", (width, row_height * (len(shown) + 1 + (rest.size > 0))), PAPER)
    draw = ImageDraw.Draw(figure)

    def write(left: float, row: int, text: str, ink: str = INK) -> None:
        draw.text((left, (row + 0.5) * row_height), text, font=font, fill=ink, anchor="lm")

    start = round(LABEL_SHARE * width)
    room = start - font_size // 2
    write(0, 0, clip_text("share of metadata relevance", font, room), GREY)
    left = float(start)
    for title, colour in zip(relevance, SERIES_COLOURS, strict=False):
        key = 0.8 * font_size
        top = (row_height - key) / 2
        draw.rectangle((left, top, left + key, top + key), fill=colour)
        text = clip_text(title, font, (width - start) / len(relevance) - 2.2 * font_size)
        write(left + 1.2 * font_size, 0, text)
        left += 2 * font_size + font.getlength(text)

    end = width - font.getlength(" / ".join(["  100 %"] * len(shares)))
    unit = max(end - start, 0) / (shares.max(initial=0) or 1.0)
    thickness = (row_height - 10) // len(shares)
    for row, feature in enumerate(shown, start=1):
        value = values[feature]
        ink = GREY if value is None else INK
        text = (
            f"{labels[feature]}: not recorded" if value is None else f"{labels[feature]} = {value}"
        )
        write(0, row, clip_text(text, font, room), ink)
        for line, share in enumerate(shares[:, feature]):
            top = row * row_height + 5 + line * thickness
            if share > 0:
                box = (start, top, start + unit * share, top + thickness - 1)
                draw.rectangle(box, fill=SERIES_COLOURS[line])
        tip = start + unit * shares[:, feature].max() + font_size / 3
        write(tip, row, " / ".join(map(format_percent, shares[:, feature])), ink)
    if rest.size:
        together = " / ".join(map(format_percent, shares[:, rest].sum(axis=1)))
        text = f"{rest.size} more, together {together}"
        if unrecorded := np.count_nonzero(missing[rest]):
            text += f" ({unrecorded} of them not recorded)"
        write(0, len(shown) + 1, clip_text(text, font, width), GREY)
    return np.array(figure)


def feature_shares(
    labels: Sequence[str],
    values: Sequence[str | None],
    relevance: Mapping[str, NDArray[np.floating[Any]]],
) -> NDArray[np.float64]:
    """Each feature's share of the relevance of all features, (series, F).

    A series sums to one, or to zero where nothing is relevant.

    Args:
        labels: Names of the F features.
        values: The patient's own values; None where not recorded.
        relevance: Relevance (F,) by title; one or two.

    Raises:
        ValueError: If lengths do not match, or relevance is negative or not finite.
    """
    if len(values) != len(labels):
        raise ValueError(
            f"Expected one value for each of {len(labels)} feature labels, but got {len(values)}"
        )
    if not 1 <= len(relevance) <= len(SERIES_COLOURS):
        raise ValueError(
            f"Expected the relevance of features under one or two titles, but got {list(relevance)}"
        )
    shares = []
    for title, series in relevance.items():
        name = f"feature_relevance['{title}']"
        checked = check_relevance(series, name, ndim=1)
        if checked.size != len(labels):
            raise ValueError(
                f"Expected argument `{name}` to have shape ({len(labels)},), "
                f"but got shape {checked.shape}"
            )
        # By the maximum first: a sum of huge values would overflow, and one of tiny ones underflow.
        checked = checked / (checked.max(initial=0) or 1.0)
        shares.append(checked / (checked.sum() or 1.0))
    return np.stack(shares)


def format_percent(share: float) -> str:
    """A share to the whole percent, without calling a little nothing or nearly all everything."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 < share < 1 - 1e-9:
        return ">99 %"
    return f"{100 * share:.0f} %"
