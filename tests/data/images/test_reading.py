from __future__ import annotations

import importlib.util
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vitatt.data.images.reading import read_image, read_image_bytes, read_upright
from vitatt.types import DataError

Pixels = NDArray[np.uint8]
LEFT, RIGHT = (200, 30, 40), (20, 60, 180)
WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def halves(left: object, right: object, *, dtype: type = np.uint8, size: int = 16) -> NDArray:
    """An image of two colours side by side."""
    colours = np.array([left, right], dtype=dtype)
    return np.broadcast_to(np.repeat(colours, size // 2, axis=0), (size, size, *colours.shape[1:]))


def rgb() -> Image.Image:
    return with_mode("RGB", LEFT, RIGHT)


def palette() -> Image.Image:
    image = with_mode("P", 0, 1)
    image.putpalette([*LEFT, *RIGHT])
    return image


def with_mode(mode: str, left: object, right: object) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(halves(left, right)), mode=mode)


def png_16_bit(colour_type: int, left: object, right: object) -> bytes:
    """A 16-bit PNG by the specification; Pillow writes none in colour."""
    pixels = halves(left, right, dtype=">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 16, 16, 16, colour_type, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + content


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def grey(value: int) -> tuple[int, int, int]:
    return (value, value, value)


# Name: content, left colour, right colour, greatest difference (JPEG and rounding lose some).
FORMATS: dict[str, tuple[Callable[[], bytes], tuple[int, ...], tuple[int, ...], int]] = {
    "RGB": (lambda: encoded(rgb(), "PNG"), LEFT, RIGHT, 0),
    "grey": (lambda: encoded(with_mode("L", 60, 190), "PNG"), grey(60), grey(190), 0),
    "palette": (lambda: encoded(palette(), "PNG"), LEFT, RIGHT, 0),
    "palette, one transparent": (
        lambda: encoded(palette(), "PNG", transparency=1),
        LEFT,
        WHITE,
        0,
    ),
    "palette, half transparent": (
        lambda: encoded(palette(), "PNG", transparency=bytes([255, 102])),
        LEFT,
        (161, 177, 225),
        1,
    ),
    "RGB, one colour transparent": (
        lambda: encoded(rgb(), "PNG", transparency=RIGHT),
        LEFT,
        WHITE,
        0,
    ),
    "RGBA": (
        lambda: encoded(with_mode("RGBA", (*LEFT, 255), (*RIGHT, 102)), "PNG"),
        LEFT,
        (161, 177, 225),
        1,
    ),
    "LA": (lambda: encoded(with_mode("LA", (60, 255), (60, 0)), "PNG"), grey(60), WHITE, 0),
    "1-bit": (
        lambda: encoded(with_mode("L", 255, 0).convert("1"), "PNG"),
        WHITE,
        BLACK,
        0,
    ),
    "16-bit grey": (lambda: png_16_bit(0, 51400, 5140), grey(200), grey(20), 0),
    "16-bit grey, dark": (lambda: png_16_bit(0, 2570, 0), grey(10), BLACK, 0),
    "16-bit RGB": (
        lambda: png_16_bit(2, [257 * c for c in LEFT], [257 * c for c in RIGHT]),
        LEFT,
        RIGHT,
        0,
    ),
    "16-bit RGBA": (
        lambda: png_16_bit(6, [257 * c for c in (*LEFT, 255)], [0, 0, 0, 0]),
        LEFT,
        WHITE,
        0,
    ),
    "JPEG": (lambda: encoded(rgb(), "JPEG", quality=95), LEFT, RIGHT, 8),
    "grey JPEG": (
        lambda: encoded(with_mode("L", 60, 190), "JPEG", quality=95),
        grey(60),
        grey(190),
        4,
    ),
    "CMYK JPEG": (lambda: encoded(rgb().convert("CMYK"), "JPEG", quality=95), LEFT, RIGHT, 8),
    "GIF": (lambda: encoded(palette(), "GIF"), LEFT, RIGHT, 0),
}


@pytest.mark.parametrize(("name", "size"), [*((name, 16) for name in FORMATS), ("RGB", 40)])
def test_formats(name: str, size: int, tmp_path: Path) -> None:
    content, left, right, difference = FORMATS[name]
    path = tmp_path / "image.png"  # the content decides, not the suffix
    path.write_bytes(content())
    pixels = read_image(path, size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    # Away from the edge between the halves, where scaling and JPEG mix the colours.
    quarter = size // 4
    for half, colour in ((pixels[:, :quarter], left), (pixels[:, -quarter:], right)):
        assert np.abs(half.astype(int) - colour).max() <= difference + (size != 16)


# What to do to the stored pixels, by the meaning of the tag in the EXIF specification.
ORIENTATIONS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),
    8: np.rot90,
}


def corners() -> Pixels:
    colours = np.array([[LEFT, RIGHT], [(40, 200, 60), (220, 210, 30)]], dtype=np.uint8)
    return colours.repeat(16, axis=0).repeat(16, axis=1)


@pytest.mark.parametrize(
    ("tag", "kind"), [*((tag, "PNG") for tag in ORIENTATIONS), (5, "JPEG"), (6, "JPEG")]
)
def test_the_orientation_tag_of_the_camera_is_applied(tag: int, kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    path = tmp_path / "image"
    path.write_bytes(encoded(Image.fromarray(corners()), kind, exif=exif, **{"quality": 95}))
    difference = read_image(path, 32).astype(int) - ORIENTATIONS[tag](corners())
    inner = np.s_[8::16, 8::16]  # one pixel a corner
    assert np.abs(difference[inner]).max() <= (0 if kind == "PNG" else 8)


@pytest.mark.parametrize(
    ("tag", "kind"),
    [(0x0100, 2), (0x011A, 1), (0x0103, 4), (0x010F, 11)],
    ids=["width as text", "resolution as bytes", "short as long", "maker as number"],
)
def test_damaged_exif_does_not_cost_the_image(tag: int, kind: int, tmp_path: Path) -> None:
    rotated = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    wrong = struct.pack("<HHI4s", tag, kind, 4 if kind == 2 else 1, b"abc\0")
    exif = b"Exif\0\0" + struct.pack("<2sHIH", b"II", 42, 8, 2) + rotated + wrong + bytes(4)
    path = tmp_path / "image.jpg"
    path.write_bytes(encoded(Image.fromarray(corners()), "JPEG", exif=exif, quality=95))
    expected = np.rot90(corners(), -1)[8::16, 8::16].astype(int)
    assert np.abs(read_image(path, 32)[8::16, 8::16] - expected).max() <= 8


@pytest.mark.parametrize(
    ("width", "height", "kind"),
    [(1, 1, "PNG"), (1, 1, "JPEG"), (1, 50, "PNG"), (50, 1, "JPEG"), (300, 20, "JPEG")],
)
def test_any_shape(width: int, height: int, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(encoded(Image.new("RGB", (width, height), LEFT), kind))
    pixels = read_image(path, 24)
    assert pixels.shape == (24, 24, 3)
    assert np.abs(pixels.astype(int) - LEFT).max() <= 8


def test_nothing_is_cut_off(tmp_path: Path) -> None:
    wide = np.full((20, 200, 3), 128, np.uint8)
    wide[:, :20], wide[:, -20:] = LEFT, RIGHT
    Image.fromarray(wide).save(tmp_path / "image.png")
    pixels = read_image(tmp_path / "image.png", 40)
    assert pixels[20, 1].tolist() == list(LEFT)
    assert pixels[20, -2].tolist() == list(RIGHT)


def test_a_large_jpeg_loses_nothing_to_fast_decoding(tmp_path: Path) -> None:
    y, x = np.mgrid[:900, :1200]
    image = np.stack([x / 1200, y / 900, (np.sin(x / 60) + 1) / 2], axis=-1) * 255
    Image.fromarray(image.astype(np.uint8)).save(tmp_path / "image.jpg", quality=95)
    slow = Image.open(tmp_path / "image.jpg").resize((64, 64), Image.Resampling.BICUBIC)
    difference = read_image(tmp_path / "image.jpg", 64) - np.asarray(slow, dtype=int)
    assert np.abs(difference).mean() < 1.5


def truncated(kind: str, share: float) -> Callable[[Path], object]:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    return lambda path: path.write_bytes(content[: int(share * len(content))])


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated PNG": (truncated("PNG", 0.6), "cannot be decoded"),
    "truncated JPEG": (truncated("JPEG", 0.6), "cannot be decoded"),
    "only a header": (truncated("PNG", 0.004), "cannot be decoded|is no image"),
    "empty": (lambda path: path.write_bytes(b""), r"is empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("not an image\n" * 9), "is no image"),
    "web page": (lambda path: path.write_text("<html>404</html>"), "is no image"),
    "folder": (lambda path: path.mkdir(), "cannot be decoded"),
    "absent": (lambda path: None, "cannot be decoded"),
    "broken link": (lambda path: path.symlink_to("nowhere"), "cannot be decoded"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_image(name: str, tmp_path: Path) -> None:
    make, message = BAD[name]
    path = tmp_path / "lesion 1.png"
    make(path)
    with pytest.raises(DataError, match=message) as error:
        read_image(path, 16)
    assert str(path) in str(error.value)


def test_a_wrong_size_is_not_taken_for_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(encoded(rgb(), "PNG"))
    with pytest.raises(ValueError, match="width") as error:
        read_image(tmp_path / "image.png", 0)
    assert not isinstance(error.value, DataError)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_damaged_bytes_raise_nothing_else(kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    good = encoded(Image.fromarray(corners()), kind, exif=exif, icc_profile=b"profile" * 20)
    path = tmp_path / "image"
    for seed in range(150):
        rng = np.random.default_rng(seed)
        content = np.frombuffer(good, np.uint8).copy()
        places = rng.integers(0, len(content), 3)
        content[places] = rng.integers(0, 256, 3)
        path.write_bytes(content.tobytes())
        try:
            assert read_image(path, 16).shape == (16, 16, 3)
        except DataError:
            continue


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_images_of_phones(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    path = tmp_path / name
    pillow_heif.from_pillow(rgb().resize((64, 64))).save(path, quality=95)
    pixels = read_image(path, 16)
    for column, colour in ((2, LEFT), (13, RIGHT)):
        assert np.abs(pixels[8, column].astype(int) - colour).max() < 25
    assert np.array_equal(read_image_bytes(path.read_bytes(), 16, "x"), pixels)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=rf"{name} is a HEIC image, .*'vitatt\[heic\]'"):
        read_image(path, 16)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP"])
def test_other_formats_need_no_package(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.x"
    path.write_bytes(encoded(rgb(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert np.array_equal(read_image(path, 16), np.asarray(rgb()))


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [((60, 30), 100, (60, 30)), ((60, 30), 20, (20, 10)), ((3, 900), 90, (1, 90))],
)
def test_an_image_for_people_keeps_its_aspect_ratio(size, longest, expected, tmp_path) -> None:
    path = tmp_path / "image.png"
    Image.new("RGB", size, LEFT).save(path)
    pixels = read_upright(path, longest)
    assert pixels.shape == (*expected[::-1], 3)
    assert (pixels == LEFT).all()


def test_an_image_for_people_is_upright_and_not_resampled(tmp_path) -> None:
    source = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(source).save(tmp_path / "image.png", exif=exif)
    turned = np.rot90(source, -1)
    np.testing.assert_array_equal(read_upright(tmp_path / "image.png", 1000), turned)


@pytest.mark.parametrize(("data", "said"), [(b"", "is empty"), (b"text", "is no image")])
def test_an_image_for_people_that_is_none(data, said, tmp_path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(data)
    with pytest.raises(DataError, match=f"image.png {said}"):
        read_upright(path, 100)
    with pytest.raises(DataError, match=r"none\.png cannot be decoded"):
        read_upright(tmp_path / "none.png", 100)
