"""Images of a request, looked at before they are decoded."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image

from vitatt.data.images.reading import learn_heif
from vitatt.inference.images import CaseInput
from vitatt.serving.bounds import Bounds
from vitatt.serving.refusals import Refusal

_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "MPO")
"""Of images beside HEIF, as Pillow names them. Others, such as PostScript, would run a program."""


def checked_image(image: CaseInput | None, views: Sequence[str], bounds: Bounds) -> CaseInput:
    """Return an image whose size and format are known to be within bounds, without decoding it.

    Raises:
        Refusal: If it is not, or there is none.
    """
    if image is None:
        wanted = " or ".join(f"`image.{view}`" for view in views) or "`image`"
        raise Refusal(422, f"Expected an image as the file {wanted}, but got none.")
    for name, content in image.items() if isinstance(image, Mapping) else [("image", image)]:
        if content is not None:
            assert isinstance(content, bytes)
            _check(content, name, bounds)
    return image


def _check(content: bytes, name: str, bounds: Bounds) -> None:
    source = io.BytesIO(content)
    formats = ("HEIF",) if learn_heif(source, name) else _FORMATS
    try:
        with Image.open(source, formats=formats) as one:
            width, height = one.size
    except Image.DecompressionBombError:
        raise _too_many_pixels(name, "more than Pillow opens", bounds) from None
    except Exception as error:
        raise Refusal(
            422,
            f"Expected `{name}` to be an image ({', '.join(_FORMATS)}, HEIF), but its content is "
            "none of these, or damaged.",
        ) from error
    if width * height > bounds.pixels:
        raise _too_many_pixels(name, f"{width} x {height}", bounds)


def _too_many_pixels(name: str, found: str, bounds: Bounds) -> Refusal:
    return Refusal(
        413, f"Expected `{name}` to have at most {bounds.pixels:,} pixels, but it has {found}."
    )
