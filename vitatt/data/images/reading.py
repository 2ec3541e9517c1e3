"""Read image files of any format as square RGB pixels."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from vitatt.data.images.archives import container, content
from vitatt.types import DataError


def read_image(path: Path | str, size: int) -> NDArray[np.uint8]:
    """Return an image file as RGB pixels of a square, (size, size, 3), see `square_pixels`.

    Args:
        path: The file, or the path of an image in an archive, see `vitatt.data.images.archives`.
        size: Side of the square, in pixels.

    Raises:
        DataError: If the file is empty, truncated or not an image; the message names the file.
    """
    if container(str(path)) != str(path):
        with _errors_naming(str(path)):
            data = content(str(path))
        return read_image_bytes(data, size, str(path))
    path = Path(path)
    with _errors_naming(str(path)):
        empty = path.stat().st_size == 0
    if empty:
        raise DataError(f"{path} is empty (0 bytes).")
    return _scaled(_decoded(path, size, str(path)), size)


def read_upright(path: Path | str, longest: int) -> NDArray[np.uint8]:
    """Return an image file as RGB pixels in its own aspect ratio, (H, W, 3), for people.

    Args:
        path: As of `read_image`.
        longest: Side that the longer one is scaled down to, in pixels, if it is longer.

    Raises:
        DataError: As `read_image`.
    """
    with _errors_naming(str(path)):
        data = content(str(path))
    if not data:
        raise DataError(f"{path} is empty (0 bytes).")
    rgb = _decoded(io.BytesIO(data), longest, str(path))
    scale = min(1.0, longest / max(rgb.size))
    return np.asarray(
        rgb.resize(
            (max(1, round(scale * rgb.width)), max(1, round(scale * rgb.height))),
            Image.Resampling.BICUBIC,
        )
    )


def read_image_bytes(data: bytes, size: int, name: str) -> NDArray[np.uint8]:
    """Return the content of an image file as RGB pixels of a square, (size, size, 3).

    Args:
        data: Content of the file, in any format that Pillow reads.
        size: Side of the square, in pixels.
        name: Name of the image, for error messages.

    Raises:
        DataError: If the content is empty, truncated or not an image; the message names the image.
    """
    if not data:
        raise DataError(f"{name} is empty (0 bytes).")
    return _scaled(_decoded(io.BytesIO(data), size, name), size)


def square_pixels(image: Image.Image, size: int, name: str) -> NDArray[np.uint8]:
    """Return an image as RGB pixels of a square, (size, size, 3).

    The whole image is scaled to the square: its aspect ratio may change, but no skin is cut off.
    Grey, palette, CMYK, transparent (on white) and 16-bit images (scaled to 8 bits) are converted,
    and the orientation tag of the camera (EXIF) is applied.

    Args:
        image: The image; it stays as it is.
        size: Side of the square, in pixels.
        name: Name of the image, for error messages.

    Raises:
        DataError: If the image cannot be decoded; the message names it.
    """
    with _errors_naming(name):
        rgb = _to_rgb(_upright(image))
    return _scaled(rgb, size)


def learn_heif(source: Path | BinaryIO, name: str) -> bool:
    """Return whether a file is HEIF, the format of some phones, and if so let Pillow read it.

    Args:
        source: The file, whatever its name, or its content from the beginning.
        name: Name of the image, for error messages.

    Raises:
        DataError: If it is, and the package for it is not installed.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            begin = file.read(12)
    else:
        begin = source.read(12)
        source.seek(0)
    if begin[4:8] != b"ftyp" or begin[8:12] not in _HEIF_BRANDS:
        return False
    if importlib.util.find_spec("pillow_heif") is None:
        raise DataError(
            f"{name} is a HEIC image, which needs a package: pip install 'vitatt[heic]'. Or "
            "convert it to JPEG."
        )
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True


_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@contextmanager
def _errors_naming(name: str) -> Iterator[None]:
    """Raise the errors of decoding an image as a `DataError` that names it."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise DataError(f"{name} is no image: its content has no known format.") from error
    # Pillow raises all of these for damaged content, or while it converts a mode.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} cannot be decoded: {error}.") from error


def _decoded(source: Path | BinaryIO, size: int, name: str) -> Image.Image:
    """Return an image file in RGB and upright, at its own size or nearer to the square's."""
    with _errors_naming(name), warnings.catch_warnings():
        # An image of 90 million pixels is a large photograph, not an attack.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        learn_heif(source, name)
        with Image.open(source) as image:
            # A JPEG is decoded at 1/2, 1/4 or 1/8, for speed, but not below twice the size.
            image.draft("RGB", (2 * size, 2 * size))
            return _to_rgb(_upright(image))


def _scaled(rgb: Image.Image, size: int) -> NDArray[np.uint8]:
    if rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(rgb, dtype=np.uint8)


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _upright(image: Image.Image) -> Image.Image:
    """Return the image rotated by its orientation tag.

    Pillow's `ImageOps.exif_transpose` also rewrites the other tags, and fails if one is damaged.
    """
    turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in RGB.

    Raises:
        ValueError: If it has no pixels, or values that are not finite or beyond 16 bits.
    """
    if not all(image.size):
        raise ValueError(f"it has no pixels ({image.width} x {image.height})")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image, dtype=np.float64)
        # A 16-bit scan uses the whole range; Pillow's own conversion would clip it at 255.
        if not np.isfinite(values).all() or not 0 <= values.min() <= values.max() <= 65535:
            raise ValueError("its values are not between 0 and 65535")
        scale = 257.0 if values.max(initial=0) > 255 else 1.0
        grey = (values / scale).clip(0, 255).round().astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")
