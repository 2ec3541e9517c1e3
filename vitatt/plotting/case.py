"""One explained case as one figure: image, relevance maps, and relevance of the metadata."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vitatt.explain.cases import ExplainedCase
from vitatt.plotting.feature_bars import LABEL_SHARE, feature_bars
from vitatt.plotting.heatmap import check_image, check_relevance, fit_image, heatmap
from vitatt.plotting.shares import format_percent
from vitatt.plotting.style import BLUE, DARK_VERMILION, GREY, INK, PAPER, clip_text, load_font

# Sizes in pixels. W&B shows the figure at about half of them: letters of 23 stay readable.
_WIDTH = 1120
_MARGIN = 28
_INNER = _WIDTH - 2 * _MARGIN
_GAP = 16
_TEXT = 23
_TITLE = 26
_TILE_TITLE = 21  # "TMME: predicted VASC" must fit over the narrowest tile
_MAX_TILE = 346
_TILES_PER_ROW = 4
_OF_IMAGES = ("#b8bcc2", "#8d939c")


def case_figure(case: ExplainedCase) -> NDArray[np.uint8]:
    """Draw a case: verdict, image, relevance maps, share of image and metadata, feature bars.

    Args:
        case: The case.

    Returns:
        The figure (H, 1120, 3). Its shape depends on the number of maps and features and on the
        shape of the image.

    Raises:
        ValueError: If shapes do not fit, or relevance is negative or not finite.
    """
    _check(case)
    strips = [_title_strip(case), *_tile_strips(case)]
    if case.maps:
        strips.append(_scale_strip())
    strips.append(_share_strip(case))
    if case.feature_labels:
        strips.append(_bars_strip(case))
    figure = Image.new("RGB", (_WIDTH, sum(strip.height for strip in strips) + _GAP), PAPER)
    top = 0
    for strip in strips:
        figure.paste(strip, (0, top))
        top += strip.height
    return np.array(figure)


def _check(case: ExplainedCase) -> None:
    check_image(case.image, "image")
    for name in ("probability", "image_share"):
        share = getattr(case, name)
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"Expected argument `{name}` to be in [0, 1], but got {share}")
    for title, relevance in case.maps.items():
        check_relevance(relevance, f"maps['{title}']", ndim=2)


def _strip(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    strip = Image.new("RGB", (_WIDTH, height), PAPER)
    return strip, ImageDraw.Draw(strip)


def _title_strip(case: ExplainedCase) -> Image.Image:
    strip, draw = _strip(70)
    font = load_font(_TITLE, bold=True)
    middle = 36
    right = _WIDTH - _MARGIN
    if case.true_class is not None:
        correct = case.true_class == case.predicted_class
        verdict = "✓ correct" if correct else "✗ wrong"
        box = (right - font.getlength(verdict) - 28, middle - 20, right, middle + 20)
        draw.rounded_rectangle(box, radius=8, fill=BLUE if correct else DARK_VERMILION)
        draw.text((box[0] + 14, middle), verdict, font=font, fill=PAPER, anchor="lm")
        right = int(box[0]) - _GAP
    truth = "diagnosis unknown" if case.true_class is None else f"true {case.true_class}"
    tail = f" · {truth} · predicted {case.predicted_class} ({case.probability:.2f})"
    # Too long a line shortens the case id first, down to a quarter of the room, then the rest.
    room = right - _MARGIN
    plain = load_font(_TITLE)
    name = clip_text(case.case_id, plain, max(room - font.getlength(tail), 0.25 * room))
    draw.text((_MARGIN, middle), name, font=plain, fill=INK, anchor="lm")
    start = _MARGIN + plain.getlength(name)
    tail = " " + clip_text(tail, font, right - start)
    draw.text((start, middle), tail, font=font, fill=INK, anchor="lm")
    return strip


def _tile_strips(case: ExplainedCase) -> list[Image.Image]:
    tiles = len(case.maps) + 1
    columns = min(tiles, _TILES_PER_ROW)
    side = min(_MAX_TILE, (_INNER - (columns - 1) * _GAP) // columns)
    image = fit_image(case.image, case.num_views * side)
    drawn = [(" / ".join(case.views) or "image", image)]
    drawn += [
        (title, heatmap(image, one, views=case.num_views)) for title, one in case.maps.items()
    ]
    font = load_font(_TILE_TITLE)
    strips = []
    for first in range(0, tiles, columns):
        strip, draw = _strip(36 + image.shape[0] + 8)
        for column, (title, pixels) in enumerate(drawn[first : first + columns]):
            left = _MARGIN + column * (side + _GAP)
            draw.text((left, 16), clip_text(title, font, side), font=font, fill=INK, anchor="lm")
            strip.paste(Image.fromarray(pixels), (left, 36))
            if title in case.maps and np.array_equal(pixels, image):
                # A map without contrast looks like a missing overlay.
                box = draw.textbbox((left + 8, 46), "no highlight", font=font)
                draw.rectangle((left, 36, box[2] + 8, box[3] + 8), fill=PAPER)
                draw.text((left + 8, 46), "no highlight", font=font, fill=INK)
        strips.append(strip)
    return strips


@functools.cache
def _scale_strip() -> Image.Image:
    """Legend of the overlay's colours, drawn over light grey."""
    strip, draw = _strip(46)
    font = load_font(_TEXT)
    text = "relevance, share of the map's maximum:   0 %"
    draw.text((_MARGIN, 22), text, font=font, fill=INK, anchor="lm")
    start = int(_MARGIN + font.getlength(text)) + 12
    end = _WIDTH - _MARGIN - 90
    plain = np.full((24, end - start, 3), 235, dtype=np.uint8)
    ramp = heatmap(plain, np.linspace(0, 1, end - start)[None])
    strip.paste(Image.fromarray(ramp), (start, 10))
    draw.text((end + 12, 22), "100 %", font=font, fill=INK, anchor="lm")
    return strip


def _share_strip(case: ExplainedCase) -> Image.Image:
    strip, draw = _strip(54)
    middle = 30
    font = load_font(_TEXT, bold=True)
    if not case.feature_labels:
        draw.text((_MARGIN, middle), "no metadata features", font=font, fill=GREY, anchor="lm")
        return strip
    if case.image_share is None:
        text = "image and metadata shares: not defined"
        draw.text((_MARGIN, middle), text, font=font, fill=GREY, anchor="lm")
        return strip
    share = case.image_share
    shares = dict(zip(case.views, case.view_shares, strict=False)) or {"image": share}
    of_images = " / ".join(f"{name} {format_percent(one)}" for name, one in shares.items())
    text = f"{of_images} / metadata {format_percent(1 - share)}"
    start, end = _MARGIN + round(LABEL_SHARE * _INNER), _WIDTH - _MARGIN
    if _MARGIN + font.getlength(text) > start - _GAP:  # the bar goes below the words
        strip, draw = _strip(54 + 36)
        draw.text((_MARGIN, middle), text, font=font, fill=INK, anchor="lm")
        middle += 36
    else:
        draw.text((_MARGIN, middle), text, font=font, fill=INK, anchor="lm")
    draw.rectangle((start, middle - 12, end, middle + 12), fill=BLUE)
    left = float(start)
    for number, one in enumerate(shares.values()):
        border = left + one * (end - start)
        if one > 0:
            draw.rectangle((left, middle - 12, border, middle + 12), fill=_OF_IMAGES[number % 2])
        left = border
    return strip


def _bars_strip(case: ExplainedCase) -> Image.Image:
    bars = feature_bars(
        case.feature_labels,
        case.feature_values,
        case.feature_relevance or {},
        width=_INNER,
        font_size=_TEXT,
    )
    strip, _ = _strip(bars.shape[0])
    strip.paste(Image.fromarray(bars), (_MARGIN, 0))
    return strip
