"""Copies of synthetic photographs are found, other lesions are not."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from vitatt.data.images import near_duplicates
from vitatt.data.images.cache import ImageCache
from vitatt.data.images.near_duplicates import NearDuplicates, find_near_duplicates, read_pairs
from vitatt.data.images.registration import SIMILAR, similarity
from vitatt.data.synthetic.images import draw

LESIONS = 12
Change = Callable[[Image.Image], Image.Image]


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(file).convert("RGB")


def cropped(share: float) -> Change:
    def crop(image: Image.Image) -> Image.Image:
        """Cut off from the left and the top."""
        cut = round(share * image.width)
        return image.crop((cut, cut // 2, image.width, image.height))

    return crop


CHANGES: dict[str, Change] = {
    "saved as JPEG of low quality": jpeg,
    "half as large": lambda image: image.resize((100, 100), Image.Resampling.BICUBIC),
    "larger, of another shape": lambda image: image.resize((333, 250), Image.Resampling.LANCZOS),
    "cropped by 2 %": cropped(0.02),
    "cropped by 4 %": cropped(0.04),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.15),
    "of less contrast": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
    "cropped, darker and saved again": lambda image: jpeg(
        ImageEnhance.Brightness(cropped(0.03)(image)).enhance(0.85)
    ),
}


@pytest.fixture(scope="module")
def lesions() -> list[Image.Image]:
    rng = np.random.default_rng(3)
    return [Image.fromarray(draw(rng, 200, "blue_ring", 0.3).image) for _ in range(LESIONS)]


def save(images: list[Image.Image], folder: Path, start: int = 0) -> list[str]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{start + number:02d}.png" for number in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    return [str(path) for path in paths]


def found(paths: list[str], folder: Path, size: int = 32) -> tuple[ImageCache, NearDuplicates]:
    cache = ImageCache(paths, size=size, folder=folder)
    return cache, find_near_duplicates(cache, folder)


def named(cache: ImageCache, near: NearDuplicates) -> set[frozenset[str]]:
    path_of = {name: Path(path).stem for path, name in cache.digests.items()}
    pairs = near.pairs.select("one", "other").iter_rows()
    return {frozenset((path_of[one], path_of[other])) for one, other in pairs}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_copies_are_found_and_nothing_else(
    change: Change, lesions: list[Image.Image], tmp_path: Path
) -> None:
    paths = save(lesions, tmp_path / "images")
    paths += save([change(image) for image in lesions], tmp_path / "images", LESIONS)
    cache, near = found(paths, tmp_path / "cache")
    expected = {frozenset((f"{n:02d}", f"{n + LESIONS:02d}")) for n in range(LESIONS)}
    assert named(cache, near) == expected
    assert near.pairs["similarity"].is_between(SIMILAR, 1.0001).all()
    assert near.flat == ()


def test_many_lesions_are_all_different(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(draw(rng, 64, "dark_dots", 0.0).image) for _ in range(200)]
    _, near = found(save(images, tmp_path / "images"), tmp_path / "cache")
    assert near.pairs.is_empty()


def framed(image: Image.Image) -> NDArray[np.uint8]:
    """The image in the round black frame of a dermatoscope, in grey."""
    pixels = np.asarray(image.resize((64, 64)).convert("L"))
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    return np.where(x * x + y * y < 1, pixels, 0).astype(np.uint8)


def test_one_frame_does_not_make_two_lesions_alike(lesions: list[Image.Image]) -> None:
    """The pixels correlate, the details do not."""
    for one, other in itertools.pairwise(lesions):
        first, second = framed(one), framed(other)
        assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.7
        assert similarity(first, second) < 0.9 * SIMILAR
        assert similarity(first, framed(cropped(0.02)(one))) > SIMILAR


def test_what_has_no_details_is_like_nothing() -> None:
    flat = np.full((64, 64), 100, np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    assert similarity(noise, noise.copy()) == 1
    assert similarity(flat, flat) == similarity(flat, noise) == similarity(noise, flat) == 0


def test_does_not_depend_on_the_size_of_the_images(
    lesions: list[Image.Image], tmp_path: Path
) -> None:
    paths = save([lesions[0], jpeg(lesions[0]), *lesions[1:4]], tmp_path / "images")
    results = [found(paths, tmp_path / f"cache{size}", size)[1] for size in (16, 64, 200)]
    assert results[0].pairs.height == 1
    assert all(one.pairs.equals(results[0].pairs) for one in results)


class TestStorage:
    @pytest.fixture
    def paths(self, lesions: list[Image.Image], tmp_path: Path) -> list[str]:
        flat = Image.new("RGB", (64, 64), (200, 100, 50))
        return save([lesions[0], jpeg(lesions[0]), lesions[1], flat], tmp_path / "images")

    def test_compares_once(
        self, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache, near = found(paths, tmp_path / "cache")
        assert near.pairs.height == 1
        assert near.flat == (cache.digests[paths[3]],)
        monkeypatch.setattr(near_duplicates, "_compare", lambda small: pytest.fail("again"))
        _, again = found(paths[::-1], tmp_path / "cache", size=100)
        assert again.pairs.equals(near.pairs)
        assert again.flat == near.flat

    @pytest.mark.parametrize("content", [b"", b"PK", b"no archive", b"half"])
    def test_a_damaged_file_is_made_again(
        self, paths: list[str], content: bytes, tmp_path: Path
    ) -> None:
        _, near = found(paths, tmp_path / "cache")
        (file,) = (tmp_path / "cache").glob("near-*.npz")
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2] if content == b"half" else content)
        assert read_pairs(file) is None
        assert found(paths, tmp_path / "cache")[1].pairs.equals(near.pairs)
        assert read_pairs(file) is not None

    def test_pairs_of_other_images_are_not_believed(self, paths: list[str], tmp_path: Path) -> None:
        _, near = found(paths, tmp_path / "cache")
        (file,) = (tmp_path / "cache").glob("near-*.npz")
        row, none = np.array([4]), np.array([], np.int64)
        np.savez(file, one=row, other=row, similarity=np.array([1.0]), flat=none)
        assert found(paths, tmp_path / "cache")[1].pairs.equals(near.pairs)

    def test_a_full_disk_only_costs_time(
        self, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*arguments: object, **keywords: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(near_duplicates.np, "savez", full)
        _, near = found(paths, tmp_path / "cache")
        assert near.pairs.height == 1
        assert not list((tmp_path / "cache").glob("*near-*.npz"))

    def test_unreadable_images_are_in_no_pair(self, paths: list[str], tmp_path: Path) -> None:
        for number in (7, 8):
            path = tmp_path / "images" / f"{number}.png"
            path.write_text(f"no image {number}")
            paths.append(str(path))
        cache, near = found(paths, tmp_path / "cache")
        assert len(cache.unreadable) == 2
        assert near.pairs.height == len(near.flat) == 1
