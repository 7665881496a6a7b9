"""Pixel metrics against implementations that try every threshold, and in all degenerate cases."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmark.metrics import MetricInputError, PixelMetrics, curves, pixel_metrics

from ..helpers import flat

POOLED = ("pixel_auroc", "pixel_ap", "pro", "pixel_f1_max", "pixel_iou_max")
VARIANTS = ("pixel_auroc_per_image", "pixel_auroc_anomalous", "pro_per_image")

EIGHT = np.ones((3, 3), dtype=int)


def slow_regions(masks: list[NDArray[np.bool_]]) -> list[tuple[int, NDArray[np.bool_]]]:
    """(image, mask) of each 8-connected region."""
    found = []
    for i, mask in enumerate(masks):
        labels, count = label(mask, structure=EIGHT)
        found += [(i, labels == k) for k in range(1, count + 1)]
    return found


def slow_points(
    maps: list[NDArray[np.float64]], masks: list[NDArray[np.bool_]]
) -> list[tuple[float, float, float, float]]:
    """(false positive rate, mean overlap, recall, precision) at each distinct score, falling."""
    regions = slow_regions(masks)
    normal = sum(int((~mask).sum()) for mask in masks)
    anomalous = sum(int(mask.sum()) for mask in masks)
    points = []
    for threshold in np.unique(np.concatenate([m.ravel() for m in maps]))[::-1]:
        called = [m >= threshold for m in maps]
        alarms = sum(int((c & ~mask).sum()) for c, mask in zip(called, masks, strict=True))
        hits = sum(int((c & mask).sum()) for c, mask in zip(called, masks, strict=True))
        overlap = np.mean([called[i][region].mean() for i, region in regions])
        points.append((alarms / normal, overlap, hits / anomalous, hits / (hits + alarms)))
    return points


def slow_pro(
    maps: list[NDArray[np.float64]], masks: list[NDArray[np.bool_]], limit: float = 0.3
) -> float:
    """Area under the overlap curve up to the limit by the trapezoid rule, over the limit."""
    points = [(0.0, 0.0)] + [point[:2] for point in slow_points(maps, masks)]
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            if x0 < limit:
                y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
                area += 0.5 * (y0 + y1) * (limit - x0)
            break
        area += 0.5 * (y0 + y1) * (x1 - x0)
    return area / limit


def slow_pro_of_image(
    image: NDArray[np.float64], mask: NDArray[np.bool_], limit: float = 0.3
) -> float | None:
    """The per-image rule: only rates below the limit, divided by the highest of them."""
    points = [(0.0, 0.0)] + [point[:2] for point in slow_points([image], [mask])]
    kept = [point for point in points if point[0] < limit]
    end = kept[-1][0]
    if end == 0:
        return None
    x, y = np.array(kept).T
    return float(0.5 * np.sum(np.diff(x) * (y[1:] + y[:-1])) / end)


def slow_f1_and_iou(
    maps: list[NDArray[np.float64]], masks: list[NDArray[np.bool_]]
) -> tuple[float, float]:
    """Best F1 and intersection over union of all thresholds."""
    best_f1 = best_iou = 0.0
    truth = np.concatenate([mask.ravel() for mask in masks])
    scores = np.concatenate([m.ravel() for m in maps])
    for threshold in np.unique(scores):
        called = scores >= threshold
        both = np.sum(called & truth)
        best_f1 = max(best_f1, 2 * both / (called.sum() + truth.sum()))
        best_iou = max(best_iou, both / np.sum(called | truth))
    return float(best_f1), float(best_iou)


def example(
    seed: int = 0, *, images: int = 5, size: int = 12, levels: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Random maps, two fifths of the images good; `levels` distinct scores for heavy ties."""
    rng = np.random.default_rng(seed)
    masks = rng.random((images, size, size)) < 0.08
    masks[::3] = False
    maps = rng.standard_normal((images, size, size)) + 1.2 * masks
    if levels:
        maps = np.floor(maps * levels / 6) / levels
    return maps.astype(np.float32), masks


def close(first: PixelMetrics, second: PixelMetrics, tolerance: float = 1e-12) -> bool:
    """Equal in every number."""
    one, two = flat(first), flat(second)
    for name in one:
        if one[name] is None or two[name] is None:
            assert one[name] is two[name], name
        elif name != "curves":
            assert one[name] == pytest.approx(two[name], abs=tolerance), name
    return True


@pytest.mark.parametrize("levels", [None, 20, 3, 1], ids=lambda n: f"{n or 'all'} levels")
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn_and_the_slow_definitions(
    counting: str, seed: int, levels: int | None
) -> None:
    maps, masks = example(seed, levels=levels)
    found = pixel_metrics(maps, masks)
    truth, scores = masks.ravel(), maps.ravel()
    assert found.pixel_auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found.pixel_ap == pytest.approx(average_precision_score(truth, scores), abs=1e-12)
    best = slow_f1_and_iou(list(maps), list(masks))
    assert (found.pixel_f1_max, found.pixel_iou_max) == pytest.approx(best, abs=1e-12)
    assert found.pro == pytest.approx(slow_pro(list(maps), list(masks)), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 10, 2], ids=lambda n: f"{n or 'all'} levels")
def test_variants_agree_with_their_definitions(counting: str, levels: int | None) -> None:
    maps, masks = example(7, levels=levels)
    bad = [i for i in range(len(maps)) if masks[i].any()]
    found = pixel_metrics(maps, masks)
    areas = [roc_auc_score(masks[i].ravel(), maps[i].ravel()) for i in bad]
    assert found.pixel_auroc_per_image == pytest.approx(np.mean(areas), abs=1e-12)
    pooled = roc_auc_score(masks[bad].ravel(), maps[bad].ravel())
    assert found.pixel_auroc_anomalous == pytest.approx(pooled, abs=1e-12)
    pros = [slow_pro_of_image(maps[i], masks[i]) for i in bad]
    defined = [pro for pro in pros if pro is not None]
    expected = np.mean(defined) if defined else None
    assert found.pro_per_image == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("limit", [1e-4, 0.01, 0.05, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("levels", [None, 8], ids=["distinct", "ties"])
def test_pro_at_any_limit(limit: float, levels: int | None) -> None:
    maps, masks = example(3, levels=levels)
    found = pixel_metrics(maps, masks, fpr_limit=limit)
    assert found.pro == pytest.approx(slow_pro(list(maps), list(masks), limit), abs=1e-9)
    pros = [slow_pro_of_image(m, k, limit) for m, k in zip(maps, masks, strict=True) if k.any()]
    defined = [pro for pro in pros if pro is not None]
    assert found.pro_per_image == (pytest.approx(np.mean(defined), abs=1e-9) if defined else None)


@pytest.mark.parametrize("step", [1, 2, 7])
def test_pro_summed_in_steps(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "STEP", step)
    for levels in (None, 8):
        maps, masks = example(3, levels=levels)
        for limit in (0.02, 0.3, 1.0):
            found = pixel_metrics(maps, masks, fpr_limit=limit).pro
            assert found == pytest.approx(slow_pro(list(maps), list(masks), limit), abs=1e-12)


def test_scores_of_all_magnitudes(counting: str) -> None:
    """Scores over forty orders of magnitude, both signs, subnormal and equal up to one bit."""
    rng = np.random.default_rng(5)
    tiny = np.array([0.0, -0.0, 1e-45, -1e-45, 1e-38, 3e38, -3e38], dtype=np.float32)
    near = np.float32(1) + np.arange(40, dtype=np.float32) * np.float32(2**-23)
    wide = 10.0 ** rng.uniform(-37, 37, 60) * rng.choice([-1, 1], 60)
    pool = np.concatenate([tiny, near, wide.astype(np.float32)])
    maps = rng.choice(pool, (6, 20, 20))
    masks = rng.random(maps.shape) < 0.3
    found = pixel_metrics(maps, masks)
    assert found.pixel_auroc == pytest.approx(
        roc_auc_score(masks.ravel(), maps.ravel().astype(float)), abs=1e-12
    )
    assert found.pro == pytest.approx(slow_pro(list(maps), list(masks)), abs=1e-12)


def test_constant_maps(counting: str) -> None:
    _, masks = example(1)
    found = pixel_metrics(np.full(masks.shape, 0.25, dtype=np.float32), masks)
    assert found.pixel_auroc == 0.5
    assert found.pixel_ap == pytest.approx(masks.mean(), abs=1e-15)
    assert found.pro == pytest.approx(0.15, abs=1e-15)
    assert found.pixel_auroc_per_image == 0.5
    assert found.pixel_auroc_anomalous == 0.5
    # No threshold gives a false positive rate above 0 and below 0.3.
    assert found.pro_per_image is None


def test_perfect_and_worst_maps(counting: str) -> None:
    _, masks = example(2)
    found = flat(pixel_metrics(masks.astype(np.float32), masks))
    # The per-image axis has no rate between 0 and 1 here.
    assert [found[name] for name in POOLED + VARIANTS] == pytest.approx([1.0] * 7 + [None])
    worst = pixel_metrics(-masks.astype(np.float32), masks)
    assert worst.pixel_auroc == 0.0
    assert worst.pro == 0.0
    assert worst.pixel_iou_max == pytest.approx(masks.mean())


@pytest.mark.parametrize("marked", [False, True], ids=["all normal", "all anomalous"])
def test_undefined_without_both_classes(marked: bool) -> None:
    found = flat(pixel_metrics(np.random.rand(2, 4, 4), np.full((2, 4, 4), marked)))
    assert {name: found[name] for name in POOLED + VARIANTS} == dict.fromkeys(POOLED + VARIANTS)
    assert found["normal_pixels"] == (0 if marked else 32)
    assert found["anomalous_pixels"] == (32 if marked else 0)


def test_undefined_without_any_image() -> None:
    found = pixel_metrics(np.zeros((0, 4, 4)), np.zeros((0, 4, 4), dtype=bool))
    assert found.images == 0
    assert found.pixel_auroc is None
    assert pixel_metrics([], []).pro is None


def test_an_image_without_normal_pixels_counts_pooled_but_not_by_itself() -> None:
    maps, masks = example(4)
    masks[1] = True
    found = pixel_metrics(maps, masks)
    others = [i for i in range(len(maps)) if masks[i].any() and i != 1]
    areas = [roc_auc_score(masks[i].ravel(), maps[i].ravel()) for i in others]
    assert found.pixel_auroc_per_image == pytest.approx(np.mean(areas))
    assert found.pixel_auroc == pytest.approx(roc_auc_score(masks.ravel(), maps.ravel()))
    only = pixel_metrics(maps[1:2], masks[1:2])
    assert only.pixel_auroc_anomalous is None


def test_counts() -> None:
    masks = np.zeros((3, 6, 6), dtype=bool)
    masks[0, 0, 0] = True  # a region of one pixel, in a corner
    masks[1, [0, 1, 2], [5, 4, 3]] = True  # one region: diagonal neighbours touch
    masks[1, 4, 0] = masks[1, 4, 5] = True  # two: the border is no bridge to the next row
    masks[1, 3, 5] = True
    found = pixel_metrics(np.random.rand(3, 6, 6), masks)
    assert (found.images, found.anomalous_images, found.regions) == (3, 2, 4)
    assert (found.anomalous_pixels, found.normal_pixels) == (7, 101)


def test_variants_and_curves_only_on_request() -> None:
    maps, masks = example()
    lean = pixel_metrics(maps, masks, variants=False)
    assert [flat(lean)[name] for name in VARIANTS] == [None] * 3
    assert lean.curves is None
    full = pixel_metrics(maps, masks, curves=True)
    assert [flat(lean)[name] for name in POOLED] == [flat(full)[name] for name in POOLED]
    assert full.curves is not None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f8"])
def test_every_float_type_ranks_by_value(counting: str, dtype: Any) -> None:
    maps, masks = example(8)
    maps = maps.astype(np.float16)  # values that each type holds exactly
    assert close(pixel_metrics(maps.astype(dtype), masks), pixel_metrics(maps.astype("f8"), masks))


def test_float64_is_not_rounded() -> None:
    scores = 1.0 + np.arange(4).reshape(1, 1, 4) * 2.0**-50
    masks = np.array([[[0, 0, 1, 1]]])
    assert pixel_metrics(scores, masks).pixel_auroc == 1.0
    assert pixel_metrics(scores.astype(np.float32), masks).pixel_auroc == 0.5


def test_negative_zero_is_zero(counting: str) -> None:
    maps, masks = example(9, levels=6)
    assert (maps == 0).any()
    negative = np.where(maps == 0, np.float32(-0.0), maps)
    mixed = np.where((maps == 0) & (np.arange(12) % 2 == 0), np.float32(-0.0), maps)
    for other in (negative, mixed):
        assert pixel_metrics(other, masks) == pixel_metrics(maps, masks)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.uint16])
@pytest.mark.parametrize("top", [1, 255])
def test_masks_of_0_1_and_of_0_255_are_the_same(dtype: type, top: int) -> None:
    maps, masks = example(10)
    assert pixel_metrics(maps, (masks * top).astype(dtype)) == pixel_metrics(maps, masks)


def test_torch_tensors(counting: str) -> None:
    torch = pytest.importorskip("torch")
    maps, masks = example(11)
    expected = pixel_metrics(maps, masks)
    tensor, marks = torch.from_numpy(maps), torch.from_numpy(masks)
    assert pixel_metrics(tensor, marks) == expected
    assert pixel_metrics(tensor.requires_grad_(), marks.to(torch.uint8) * 255) == expected
    assert pixel_metrics(list(tensor), list(marks)) == expected
    rounded = tensor.detach().mul(1e30).to(torch.bfloat16)  # beyond the range of float16
    assert pixel_metrics(rounded, marks) == pixel_metrics(rounded.float().numpy(), masks)


def test_ragged_sizes(counting: str) -> None:
    rng = np.random.default_rng(12)
    shapes = [(9, 14), (20, 7), (1, 1), (11, 11)]
    masks = [rng.random(shape) < 0.2 for shape in shapes]
    masks[3][:] = False
    maps = [rng.random(shape).astype(np.float32) + 0.3 * m for shape, m in zip(shapes, masks)]
    maps = [m.astype(np.float32) for m in maps]
    found = pixel_metrics(maps, masks)
    truth = np.concatenate([m.ravel() for m in masks])
    scores = np.concatenate([m.ravel() for m in maps])
    assert found.pixel_auroc == pytest.approx(roc_auc_score(truth, scores), abs=1e-12)
    assert found.pro == pytest.approx(slow_pro(maps, masks), abs=1e-12)


def test_views_of_any_layout(counting: str) -> None:
    maps, masks = example(13)
    expected = pixel_metrics(maps, masks)
    wide = np.repeat(maps, 2, axis=2)
    assert pixel_metrics(wide[:, :, ::2], masks) == expected
    assert pixel_metrics(np.asfortranarray(maps), np.asfortranarray(masks)) == expected


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("variants", [False, True])
@pytest.mark.parametrize("overwrite", [False, True])
def test_threads_and_overwriting_change_nothing(
    counting: str, threads: int, variants: bool, overwrite: bool
) -> None:
    maps, masks = example(14)
    before = maps.copy()
    expected = pixel_metrics(maps, masks, variants=variants, threads=1)
    found = pixel_metrics(maps, masks, variants=variants, threads=threads, overwrite=overwrite)
    assert found == expected
    if not overwrite:
        assert np.array_equal(maps, before)


def test_a_read_only_map_is_never_written(counting: str) -> None:
    maps, masks = example(14)
    expected = pixel_metrics(maps, masks)
    maps.flags.writeable = False
    assert pixel_metrics(maps, masks, variants=False, overwrite=True).pro == expected.pro


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_scores_name_the_image(value: float) -> None:
    maps, masks = example(15)
    maps[2, 3, 4] = value
    ids = ["a", "b", "broken/007", "d", "e"]
    kind = "1 NaN and 0 infinite" if np.isnan(value) else "0 NaN and 1 infinite"
    with pytest.raises(MetricInputError, match=f"image broken/007: {kind} scores among 144"):
        pixel_metrics(maps, masks, ids=ids)
    with pytest.raises(ValueError, match="image 2"):
        pixel_metrics(list(maps), list(masks))


@pytest.mark.parametrize("grey", [2, 128, 254, -1])
def test_grey_masks_name_the_image(grey: int) -> None:
    maps, masks = example(16)
    if grey > 0:
        with pytest.raises(MetricInputError, match=f"image 1: the mask holds 0, {grey};"):
            pixel_metrics(maps, masks.astype(np.uint8) * grey)
    for top in (1, 255):
        marks = masks.astype(np.int16) * top
        marks[1, 0, 0] = grey
        with pytest.raises(MetricInputError, match=f"image 1: the mask holds.*{grey}"):
            pixel_metrics(maps, marks)
    with pytest.raises(MetricInputError, match="image 1.*0, 1, 255"):
        marks[1, 0, :2] = [1, 255]
        pixel_metrics(maps, marks)


def test_grey_float_masks() -> None:
    maps, masks = example(16)
    with pytest.raises(MetricInputError, match="image 0.*0.5"):
        pixel_metrics(maps, masks * 0.5 + 0.0 + (np.arange(12) == 3) * 0.5)
    with pytest.raises(MetricInputError, match="image 0"):
        pixel_metrics(maps, np.where(masks, 1.0, np.nan))


@pytest.mark.parametrize(
    ("maps", "masks", "options", "message"),
    [
        (np.zeros((2, 3, 3)), np.zeros((1, 3, 3)), {}, "2 maps but 1 masks"),
        (np.zeros((2, 3, 3)), np.zeros((2, 3, 4)), {}, r"\(2, 3, 4\)"),
        (np.zeros((2, 1, 3, 3)), np.zeros((2, 1, 3, 3)), {}, "channel axis"),
        ([np.zeros((3, 3))], [np.zeros((3, 4))], {"ids": ["x"]}, r"image x.*\(3, 4\)"),
        ([np.zeros((0, 3))], [np.zeros((0, 3))], {}, "at least one pixel"),
        (np.zeros((2, 3, 3), int), np.zeros((2, 3, 3)), {}, "int64"),
        (np.zeros((2, 3, 3)), np.full((2, 3, 3), "a"), {}, "mask of type"),
        (np.zeros((2, 3, 3)), np.zeros((2, 3, 3)), {"ids": ["x"]}, "2 maps but 1 ids"),
        (np.zeros((2, 3, 3)), np.zeros((2, 3, 3)), {"fpr_limit": 0}, "fpr_limit 0"),
        (np.zeros((2, 3, 3)), np.zeros((2, 3, 3)), {"fpr_limit": 1.1}, "fpr_limit 1.1"),
    ],
)
def test_errors_name_what_was_found(
    maps: Any, masks: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(MetricInputError, match=message):
        pixel_metrics(maps, masks, **options)
