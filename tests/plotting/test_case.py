from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.ndimage
import torch
from numpy.typing import NDArray

from vitatt.explain.cases import ExplainedCase
from vitatt.plotting.case import case_figure
from vitatt.plotting.confusion import confusion_figure
from vitatt.plotting.feature_bars import feature_bars
from vitatt.plotting.heatmap import heatmap, map_figure
from vitatt.plotting.shares import format_percent
from vitatt.plotting.style import clip_text, load_font

pytestmark = pytest.mark.long

WHITE = 255
LABELS = [f"feature {index}" for index in range(21)]


def grey(height: int, width: int, level: int = 0) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, dtype=np.uint8)


def skin(height: int = 96, width: int = 96) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(90, 200, (height, width, 3), dtype=np.uint8)


def panel_case(features: int = 21, **changes: object) -> ExplainedCase:
    rng = np.random.default_rng(1)
    case = ExplainedCase(
        case_id="PAT_1_2_3",
        image=skin(),
        maps={"attention": rng.random((14, 14)), "TMME: predicted BCC": rng.random((14, 14))},
        probabilities={"ACK": 0.1, "BCC": 0.83, "NEV": 0.07},
        true_class="NEV",
        feature_labels=LABELS[:features],
        feature_values=["yes"] * features,
        feature_relevance={"predicted BCC": rng.random(features)},
        image_share=0.72,
    )
    return dataclasses.replace(case, **changes)  # type: ignore[arg-type]


class TestHeatmap:
    @pytest.mark.parametrize("grid", [(14, 14), (16, 16), (7, 12)])
    @pytest.mark.parametrize("size", [(224, 224), (180, 260), (301, 97)])
    def test_hottest_pixel_is_where_independent_upsamplings_are_highest(
        self, grid: tuple[int, int], size: tuple[int, int]
    ) -> None:
        rng = np.random.default_rng(sum(grid) + sum(size))
        relevance = 0.5 * rng.random(grid)
        relevance[rng.integers(grid[0]), rng.integers(grid[1])] = 1.0
        # On black, brightness rises with relevance through both colour and opacity.
        brightness = heatmap(grey(*size), relevance).sum(axis=2)
        hottest = np.argwhere(brightness == brightness.max()).mean(axis=0)

        upsampled = torch.nn.functional.interpolate(
            torch.from_numpy(relevance)[None, None], size, mode="bilinear", align_corners=False
        )[0, 0].numpy()
        by_torch = np.argwhere(upsampled >= upsampled.max() - 1e-3).mean(axis=0)
        factors = np.divide(size, grid)
        zoomed = scipy.ndimage.zoom(relevance, factors, order=1, mode="nearest", grid_mode=True)
        by_scipy = np.argwhere(zoomed >= zoomed.max() - 1e-3).mean(axis=0)
        np.testing.assert_allclose(hottest, by_torch, atol=2.0)
        np.testing.assert_allclose(hottest, by_scipy, atol=2.0)

    def test_opacity_follows_bilinear_relevance_everywhere(self) -> None:
        relevance = np.random.default_rng(2).random((14, 14))
        upsampled = torch.nn.functional.interpolate(
            torch.from_numpy(relevance / relevance.max())[None, None],
            (112, 168),
            mode="bilinear",
            align_corners=False,
        )[0, 0].numpy()
        # Blends with white and with black differ by exactly the part left of the image.
        left = heatmap(grey(112, 168, 255), relevance, opacity=0.8).astype(int)
        left -= heatmap(grey(112, 168, 0), relevance, opacity=0.8)
        np.testing.assert_allclose(left[..., 0] / 255, 1 - 0.8 * upsampled, atol=0.01)

    def test_low_relevance_shows_the_image(self) -> None:
        image = skin()
        relevance = np.zeros((4, 4))
        relevance[0, 0] = 3.0
        overlay = heatmap(image, relevance)
        np.testing.assert_array_equal(overlay[48:, 48:], image[48:, 48:])
        assert not np.array_equal(overlay[:20, :20], image[:20, :20])

    @pytest.mark.parametrize("level", [0.0, 1e-300, 0.1, 7.0])
    def test_constant_map_is_no_highlight(self, level: float) -> None:
        image = skin(40, 56)
        overlay = heatmap(image, np.full((14, 14), level))
        np.testing.assert_array_equal(overlay, image)
        assert overlay is not image

    def test_result_and_scale(self) -> None:
        relevance = np.random.default_rng(3).random((16, 16)).astype(np.float32)
        overlay = heatmap(skin(50, 70), relevance)
        assert overlay.shape == (50, 70, 3)
        assert overlay.dtype == np.uint8
        np.testing.assert_array_equal(overlay, heatmap(skin(50, 70), 1024 * relevance))

    def test_image_is_left_alone(self) -> None:
        image = skin()
        image.setflags(write=False)
        heatmap(image, np.eye(3))

    def test_rounding_below_zero_is_clipped(self) -> None:
        relevance = np.array([[1.0, -1e-8], [0.5, 0.0]])
        expected = heatmap(skin(), relevance.clip(min=0))
        np.testing.assert_array_equal(heatmap(skin(), relevance), expected)

    @pytest.mark.parametrize(
        ("relevance", "message"),
        [
            (np.ones(3), r"`relevance` to have two dimensions, but got shape \(3,\)"),
            (np.ones((0, 4)), "`relevance` not to be empty"),
            (np.array([[1.0, np.nan]]), "`relevance` to be finite, but 1 of 2"),
            (np.array([[1.0, np.inf]]), "`relevance` to be finite"),
            (np.array([[1.0, -0.01]]), "`relevance` not to be negative, but its minimum is -0.01"),
            (np.array([[0.0, -1e-9]]), "`relevance` not to be negative"),
        ],
    )
    def test_bad_relevance(self, relevance: NDArray[np.float64], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            heatmap(skin(), relevance)

    def test_bad_image_and_opacity(self) -> None:
        with pytest.raises(ValueError, match=r"`image` to have shape \(H, W, 3\)"):
            heatmap(np.zeros((3, 8, 8), np.uint8), np.eye(2))
        with pytest.raises(ValueError, match="`image` to be uint8, but got float64"):
            heatmap(np.zeros((8, 8, 3)), np.eye(2))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"`opacity` to be in \[0, 1\], but got 60"):
            heatmap(skin(), np.eye(2), opacity=60)


class TestMapFigure:
    def test_image_left_overlay_right(self) -> None:
        image = skin(224, 224)
        relevance = np.random.default_rng(4).random((14, 14))
        drawn = map_figure(image, relevance, "PAT_1\ntrue NEV")
        assert drawn.shape == (8 + 2 * 26 + 224 + 8, 472, 3)
        assert drawn.dtype == np.uint8
        np.testing.assert_array_equal(drawn[60:284, 8:232], image)
        np.testing.assert_array_equal(drawn[60:284, 240:464], heatmap(image, relevance))
        assert (drawn[:60] < 100).any()

    @pytest.mark.parametrize("size", [(600, 450), (30, 90), (1, 400)])
    def test_any_image_size(self, size: tuple[int, int]) -> None:
        assert map_figure(skin(*size), np.eye(14), "").shape[1] == 472

    def test_long_title_stays_inside(self) -> None:
        drawn = map_figure(skin(), np.eye(2), "a very long title " * 20)
        assert (drawn[:30, -8:] == WHITE).all()


class TestCaseFigure:
    def test_something_in_every_region(self) -> None:
        drawn = case_figure(panel_case())
        assert drawn.dtype == np.uint8
        assert drawn.shape[1:] == (1120, 3)
        assert 0.6 < drawn.shape[0] / drawn.shape[1] < 1.2
        tiles = [drawn[110:440, left : left + 330] for left in (34, 394, 754)]
        for tile in tiles:
            assert (tile != WHITE).all(axis=2).mean() > 0.99
        assert not np.array_equal(tiles[0], tiles[1])
        assert not np.array_equal(tiles[1], tiles[2])
        for rows in (slice(0, 70), slice(72, 104), slice(460, 500), slice(510, 560)):
            assert (drawn[rows] < 120).any()

    def test_margins_stay_white(self) -> None:
        long = "a category whose name never seems to end " * 4
        case = panel_case(
            case_id=long,
            feature_values=[long] * 21,
            feature_labels=[long] * 21,
            maps={f"{index} {long}": np.eye(3) for index in range(5)},
            probabilities={long: 1.0},
        )
        drawn = case_figure(case)
        assert (drawn[:, :20] == WHITE).all()
        assert (drawn[:, -20:] == WHITE).all()

    def test_verdicts_right_wrong_and_unknown_look_different(self) -> None:
        wrong, right, unknown = (
            case_figure(panel_case(true_class=name))[:70, 900:] for name in ("NEV", "BCC", None)
        )
        # Without colour as well: the box has another width, and no box for no diagnosis.
        inside = [(part < 200).any(axis=2).any(axis=0).sum() for part in (wrong, right, unknown)]
        assert inside[2] == 0 < inside[0] < inside[1]

    def test_height_follows_features(self) -> None:
        none, few, twelve, many = (
            case_figure(panel_case(features)).shape[0] for features in (0, 3, 12, 21)
        )
        assert none < few < twelve < many
        assert case_figure(panel_case(13)).shape[0] == many

    @pytest.mark.parametrize("size", [(20, 200), (200, 20), (1, 1)])
    @pytest.mark.parametrize("maps", [0, 1, 3, 4])
    def test_any_number_of_maps_and_any_image_shape(self, size: tuple[int, int], maps: int) -> None:
        relevance = {str(index): np.eye(14) for index in range(maps)}
        drawn = case_figure(panel_case(image=skin(*size), maps=relevance))
        columns, rows = min(maps + 1, 4), -(-(maps + 1) // 4)
        side = min(346, (1064 - 16 * (columns - 1)) // columns)
        height, width = (round(side * length / max(size)) for length in size)
        without = case_figure(panel_case(image=skin(1, 1), maps={})).shape[0] - 346
        scale = 46 if maps else 0  # the legend of the colours
        assert drawn.shape == (without + scale + height + (rows - 1) * (44 + height), 1120, 3)
        for tile in range(maps + 1):
            top = 70 + 36 + tile // columns * (44 + height)
            left = 28 + tile % columns * (side + 16)
            assert (drawn[top : top + height, left : left + width] != WHITE).any(axis=2).all()
            assert (drawn[top + height : top + height + 8, left : left + side] == WHITE).all()

    def test_map_without_contrast_says_so(self) -> None:
        tile = case_figure(panel_case(maps={"flat": np.ones((2, 2))}))[106:130, 390:500]
        assert (tile == WHITE).any()

    @pytest.mark.parametrize("share", [0.0, 0.001, 0.999, 1.0, None])
    def test_bar_of_the_shares_is_divided_at_the_share_of_the_image(
        self, share: float | None
    ) -> None:
        case = panel_case(image_share=share, maps={}, image=skin(96, 96))
        middle = case_figure(case)[70 + 36 + 346 + 8 + 30]  # the line through the bar
        image = (middle == (0xB8, 0xBC, 0xC2)).all(axis=1)
        metadata = (middle == (0x00, 0x72, 0xB2)).all(axis=1)
        if share is None:
            assert not image.any()
            assert not metadata.any()
        else:
            length = 1092 - 486 + 1  # from the labels of the bars to the margin
            assert image.sum() + metadata.sum() == length
            assert image.sum() == pytest.approx(share * length, abs=1)
            assert not image[metadata.argmax() :].any() or not metadata.any()

    def test_deterministic_and_safe_in_threads(self) -> None:
        expected = case_figure(panel_case())
        with ThreadPoolExecutor(4) as pool:
            for drawn in pool.map(lambda _: case_figure(panel_case()), range(8)):
                np.testing.assert_array_equal(drawn, expected)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"maps": {"attention": np.ones(3)}}, r"`maps\['attention'\]` to have two dimensions"),
            ({"maps": {"a": np.array([[np.nan]])}}, r"`maps\['a'\]` to be finite"),
            ({"probabilities": {"BCC": 83.0}}, "`probability` to be in"),
            ({"image_share": float("nan")}, "`image_share` to be in"),
            ({"feature_values": ["yes"]}, "one value for each of 21 feature labels, but got 1"),
            ({"feature_relevance": {}}, "one or two titles"),
            ({"feature_relevance": None}, "one or two titles"),
            ({"feature_relevance": dict.fromkeys("abc", np.ones(21))}, "one or two titles"),
            (
                {"feature_relevance": {"a": np.ones(20)}},
                r"`feature_relevance\['a'\]` to have shape \(21,\), but got shape \(20,\)",
            ),
            ({"feature_relevance": {"a": -np.ones(21)}}, "not to be negative"),
        ],
    )
    def test_bad_case(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            case_figure(panel_case(**changes))  # type: ignore[arg-type]


class TestFeatureBars:
    def bar_lengths(self, drawn: NDArray[np.uint8]) -> list[int]:
        blue = (drawn == (0, 0x72, 0xB2)).all(axis=2)
        rows = range(33 + 16, drawn.shape[0], 33)
        return [int(blue[row].sum()) for row in rows]

    def draw(self, relevance: list[float], **options: int) -> NDArray[np.uint8]:
        values = ["yes"] * len(relevance)
        labels = LABELS[: len(relevance)]
        return feature_bars(labels, values, {"a": np.array(relevance)}, width=1000, **options)

    def test_lengths_are_sorted_and_in_proportion(self) -> None:
        lengths = self.bar_lengths(self.draw([1.0, 4.0, 2.0, 0.0]))
        assert lengths[0] == pytest.approx(2 * lengths[1], abs=2)
        assert lengths[1] == pytest.approx(2 * lengths[2], abs=2)
        assert lengths[3] == 0

    def test_further_features_are_summed_up(self) -> None:
        drawn = self.draw(list(range(21)), max_features=5)
        assert drawn.shape == (33 * 7, 1000, 3)
        assert (drawn[33 * 6 :] < 150).any()
        assert self.bar_lengths(drawn)[5] == 0

    @pytest.mark.parametrize("scale", [0.0, 5e-324, 1e-300, 1e308])
    def test_extreme_relevance(self, scale: float) -> None:
        lengths = self.bar_lengths(self.draw([scale, scale, 0.0]))
        assert lengths[0] == lengths[1]
        assert (lengths[0] > 0) == (scale > 0)

    def test_missing_values_are_grey_and_after_equals(self) -> None:
        drawn = feature_bars(["a", "b"], [None, "yes"], {"t": np.zeros(2)}, width=1000)
        recorded, missing = drawn[33:66, :400], drawn[66:99, :400]
        assert recorded.min() < 40
        assert 90 < missing.min() < 130
        assert (missing < 200).sum() > (recorded < 200).sum()  # "a: not recorded"

    def test_two_titles_are_two_bars(self) -> None:
        relevance = {"predicted": np.array([3.0, 1.0]), "true": np.array([1.0, 3.0])}
        drawn = feature_bars(["a", "b"], ["1", "2"], relevance, width=1000)
        orange = (drawn == (0xE6, 0x9F, 0x00)).all(axis=2).sum(axis=1)
        blue = (drawn == (0, 0x72, 0xB2)).all(axis=2).sum(axis=1)
        assert orange[33:66].max() * 3 == pytest.approx(blue[33:66].max(), abs=6)
        assert blue[66:99].max() * 3 == pytest.approx(orange[66:99].max(), abs=6)

    def test_bad_max_features(self) -> None:
        with pytest.raises(ValueError, match="`max_features` to be larger than 0, but got 0"):
            self.draw([1.0], max_features=0)

    @pytest.mark.parametrize(
        ("share", "text"),
        [(0, "0 %"), (1e-4, "<1 %"), (0.284, "28 %"), (0.9999, ">99 %"), (1, "100 %")],
    )
    def test_format_percent(self, share: float, text: str) -> None:
        assert format_percent(share) == text


class TestConfusionFigure:
    def test_cells_are_coloured_by_share_of_the_true_class(self) -> None:
        matrix = np.array([[9, 1, 0], [0, 500, 500], [0, 0, 0]])
        drawn = confusion_figure(matrix, ["MEL", "NEV", "BCC"])
        assert drawn.dtype == np.uint8
        assert drawn.shape[2] == 3
        # Blues darken with the share: 90 % before 50 %, and an empty row has no colour at all.
        colours, counts = np.unique(drawn.reshape(-1, 3), axis=0, return_counts=True)
        cells = colours[counts > 4000]
        assert len(cells) == 5  # paper, and shares of 90, 50, 10 and 0 %
        assert (cells == WHITE).all(axis=1).any()

    @pytest.mark.parametrize("count", [1, 2, 6, 8])
    def test_any_number_of_classes_and_zero_rows(self, count: int) -> None:
        classes = [f"C{index}" for index in range(count)]
        drawn = confusion_figure(np.zeros((count, count), dtype=np.int64), classes)
        assert (drawn < 100).any()

    def test_long_names_stay_inside(self) -> None:
        names = ["squamous cell carcinoma", "seborrheic keratosis"]
        drawn = confusion_figure(np.eye(2, dtype=int), names)
        edges = (drawn[:3], drawn[-3:], drawn[:, :3], drawn[:, -3:])
        assert all((edge == WHITE).all() for edge in edges)

    def test_deterministic(self) -> None:
        matrix = np.arange(16).reshape(4, 4)
        first, second = (confusion_figure(matrix, "ABCD") for _ in range(2))
        np.testing.assert_array_equal(first, second)

    @pytest.mark.parametrize(
        ("matrix", "classes", "message"),
        [
            (np.eye(3, dtype=int), ["a", "b"], r"shape \(C, C\) with C = 2 .* got shape \(3, 3\)"),
            (np.zeros((0, 0), int), [], "`matrix`"),
            (np.eye(2), ["a", "b"], "`matrix` to hold counts"),
            (-np.eye(2, dtype=int), ["a", "b"], "`matrix` to hold counts"),
        ],
    )
    def test_bad_matrix(self, matrix: NDArray[np.int64], classes: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            confusion_figure(matrix, classes)


class TestClipText:
    @pytest.mark.parametrize("width", [0, 30, 100, 300])
    def test_fits_or_is_the_ellipsis_alone(self, width: int) -> None:
        font = load_font(20)
        text = clip_text("a category with a long name and more", font, width)
        assert text.endswith("…")
        assert font.getlength(text) <= width or text == "…"

    def test_short_text_is_kept_on_one_line(self) -> None:
        assert clip_text("two\nlines", load_font(20), 500) == "two lines"


def test_no_pyplot() -> None:
    # pyplot keeps global state and a list of figures: a leak over a long training.
    case_figure(panel_case())
    confusion_figure(np.eye(2, dtype=int), ["a", "b"])
    if "matplotlib.pyplot" in sys.modules:
        import matplotlib.pyplot as plt

        assert not plt.get_fignums()
