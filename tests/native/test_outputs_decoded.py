"""Post-processing against SciPy, NumPy, OpenCV and plain loops."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from samples import acne_spec
from scipy import ndimage, special

from edgeskin import native, postprocess
from edgeskin.native import Image, Recipe, Tensor

MANY = settings(max_examples=500, deadline=None, derandomize=True)
logits = arrays.arrays(np.float32, st.integers(1, 70), elements=st.floats(-60, 60, width=32))
RNG = np.random.default_rng(17)


@MANY
@given(logits, st.integers(1, 5))
def test_softmax_sigmoid_and_top_k(x: np.ndarray, k: int) -> None:
    k = min(k, x.size)
    scores, top = native.classify(x, top=k)
    # Both sides compute in double and round once: 1 ulp of float32 apart at most.
    np.testing.assert_allclose(
        scores, special.softmax(x.astype(np.float64)), rtol=1.2e-7, atol=1e-38
    )
    order = np.argsort(-scores, kind="stable")[:k]
    assert [i for i, _ in top] == order.tolist()
    assert [s for _, s in top] == scores[order].tolist()
    sigmoid, _ = native.classify(x, "sigmoid", top=0)
    np.testing.assert_allclose(
        sigmoid, special.expit(x.astype(np.float64)), rtol=1.2e-7, atol=1e-38
    )


@MANY
@given(
    st.sampled_from([np.int8, np.uint8]), st.integers(0, 2**32 - 1), st.floats(1e-6, 10),
    st.integers(0, 255),
)  # fmt: skip
def test_dequantize(kind: type, seed: int, scale: float, zero: int) -> None:
    info = np.iinfo(kind)
    q = np.random.default_rng(seed).integers(info.min, info.max + 1, 50).astype(kind)
    zero += info.min
    expected = (scale * (q.astype(np.float64) - zero)).astype(np.float32)
    np.testing.assert_array_equal(native.dequantize(Tensor(q, scale, zero)), expected)


def test_every_half_is_read_as_numpy_reads_it() -> None:
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    read = native.dequantize(Tensor(halves))
    np.testing.assert_array_equal(read, halves.astype(np.float32))


@MANY
@given(arrays.arrays(np.float32, 65, elements=st.floats(-20, 20, width=32)))
def test_measure_says_what_postprocess_says(x: np.ndarray) -> None:
    head = acne_spec().heads[1]
    found = native.measure(x, head.first, head.step, share=0.8, upper=head.ranges.upper)
    mass = special.softmax(x.astype(np.float64))
    np.testing.assert_allclose(found.mass, mass, rtol=1.2e-7, atol=1e-38)
    support = postprocess.support(head)
    assert found.expectation == pytest.approx(float(mass @ support), rel=1e-6)
    assert found.mode == support[found.mass.argmax()]
    exact = found.mass.astype(np.float64)
    cumulative = np.cumsum(exact) / exact.sum()
    # On the very edge of a tail the two sums may round apart: then either neighbour is right.
    for value, tail in ((found.low, 0.1), (found.high, 0.9)):
        i = int(np.searchsorted(support, value))
        assert cumulative[i] >= tail - 1e-9
        assert i == 0 or cumulative[i - 1] < tail + 1e-9
    grades = found.mass @ postprocess.range_matrix(head, head.ranges)
    assert grades[found.grade] == pytest.approx(grades.max(), rel=1e-6)


@pytest.mark.parametrize(
    ("count", "grade"), [(0, 0), (5, 0), (5.5, 1), (6, 1), (20, 1), (21, 2), (50, 2), (51, 3)]
)
def test_grades_of_hayashis_bounds(count: float, grade: int) -> None:
    assert native.grade(count, (5, 20, 50)) == grade


masks = arrays.arrays(
    np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(0, 1)
)


@settings(MANY, max_examples=1500)
@given(masks, st.sampled_from([4, 8]))
def test_components_are_opencvs_and_scipys(mask: np.ndarray, connectivity: int) -> None:
    boxes, count = native.components(mask, connectivity=connectivity, capacity=1000)
    n, _, stats, centroids = cv2.connectedComponentsWithStats(mask, connectivity=connectivity)
    theirs = sorted(
        (-s[4], s[1], s[0], s[2], s[3], *c) for s, c in zip(stats[1:], centroids[1:], strict=True)
    )
    ours = sorted((-b.area, b.top, b.left, b.width, b.height, b.x, b.y) for b in boxes)
    assert count == n - 1
    np.testing.assert_allclose(np.array(ours), np.array(theirs), rtol=1e-12)
    structure = np.ones((3, 3)) if connectivity == 8 else None
    assert count == ndimage.label(mask, structure)[1]
    assert [(-b.area, b.top, b.left) for b in boxes] == sorted(
        (-b.area, b.top, b.left) for b in boxes
    )


def test_components_of_a_large_mask_the_largest_first_and_the_small_left_out() -> None:
    mask = (cv2.GaussianBlur(RNG.random((700, 900)), (0, 0), 4) > 0.52).astype(np.uint8)
    boxes, count = native.components(mask, connectivity=4, min_area=30, capacity=5)
    areas = np.sort(np.bincount(ndimage.label(mask)[0].ravel())[1:])[::-1]
    assert [b.area for b in boxes] == areas[:5].tolist()
    assert count == (areas >= 30).sum()


@MANY
@given(masks, masks, st.integers(1, 8), st.integers(1, 5), st.sampled_from([0.0, 0.3, 1.0]))
def test_crops_are_those_of_a_plain_search(
    skin: np.ndarray, lesion: np.ndarray, side: int, step: int, overlap: float
) -> None:
    h, w = min(skin.shape[0], lesion.shape[0]), min(skin.shape[1], lesion.shape[1])
    skin, lesion, side = skin[:h, :w], lesion[:h, :w], min(side, h, w)
    found = native.find_crops(
        skin, lesion, side, step, min_skin=0.4, min_lesion=0.1, max_overlap=overlap, capacity=20
    )

    def grid(last: int) -> list[int]:
        return sorted({*range(0, last, step), last})

    candidates = []
    for top in grid(h - side):
        for left in grid(w - side):
            part = np.s_[top : top + side, left : left + side]
            ill = int(lesion[part].sum())
            if (skin[part] | lesion[part]).sum() > 0.4 * side**2 and ill > 0.1 * side**2:
                candidates.append((-ill, top, left))
    kept: list[tuple[int, int, int]] = []
    for ill, top, left in sorted(candidates):
        shared = (
            max(0, side - abs(top - t)) * max(0, side - abs(left - x)) / side**2 for _, t, x in kept
        )
        if all(s <= overlap for s in shared):
            kept.append((ill, top, left))
    assert [(-b.area, b.top, b.left) for b in found] == kept[:20]


def upright_point(turn: int, x: int, y: int, width: int, height: int) -> tuple[int, int]:
    """Where a stored pixel stands in the upright image, found by turning an image of numbers."""
    from PIL import Image as Pil

    from edgeskin.images import _TURNS

    numbers = Pil.fromarray(np.arange(width * height, dtype=np.int32).reshape(height, width))
    turned = np.array(numbers.transpose(_TURNS[turn]) if turn > 1 else numbers)
    v, u = np.argwhere(turned == y * width + x)[0]
    return int(u), int(v)


@settings(MANY, max_examples=120)
@given(
    st.integers(1, 8), st.integers(2, 14), st.integers(2, 14), st.integers(1, 4),
    st.sampled_from(["squash", "letterbox", "shortest_edge"]), st.sampled_from(["nchw", "nhwc"]),
    st.integers(0, 2**31), st.booleans(),
)  # fmt: skip
def test_masks_go_back_to_the_stored_image(
    turn: int, w: int, h: int, classes: int, fit: str, layout: str, seed: int, crop: bool
) -> None:
    rng = np.random.default_rng(seed)
    image = Image((np.zeros((h, w, 3), np.uint8),), orientation=turn)
    uw, uh = (h, w) if turn > 4 else (w, h)
    box = (0.5, 0.0, float(uw), uh - 0.25) if crop else None
    place = native.place(image, Recipe(12, 10, fit=fit, resize_to=14, crop=box))
    x = rng.normal(size=(classes, 5, 6)).astype(np.float32)
    mask, counts = native.segment(x if layout == "nchw" else x.transpose(1, 2, 0), place, layout)
    for sy in range(h):
        for sx in range(w):
            u, v = upright_point(turn, sx, sy, w, h)
            left, top, right, bottom = place.crop
            rx = (u + 0.5 - left) * place.resized_width / (right - left)
            ry = (v + 0.5 - top) * place.resized_height / (bottom - top)
            ox, oy = rx - place.left, ry - place.top
            inside = 0 <= rx < place.resized_width and 0 <= ry < place.resized_height
            if not (inside and 0 <= ox < 12 and 0 <= oy < 10):
                assert mask[sy, sx] == 255
                continue
            at = [[oy * 5 / 10 - 0.5], [ox * 6 / 12 - 0.5]]
            values = [
                ndimage.map_coordinates(c.astype(float), at, order=1, mode="nearest")[0] for c in x
            ]
            chosen = int(mask[sy, sx])
            if classes == 1:
                assert abs(values[0]) < 1e-9 or chosen == (values[0] >= 0)
            else:
                assert values[chosen] >= max(values) - 1e-9
    values, n = np.unique(mask[mask != 255], return_counts=True)
    assert counts[values].tolist() == n.tolist()
    assert counts.sum() == n.sum()


def test_quantized_logits_give_the_mask_of_their_values() -> None:
    q = RNG.integers(-128, 128, (3, 16, 16)).astype(np.int8)
    place = native.place(np.zeros((60, 70, 3), np.uint8), Recipe(16, 16))
    mask, _ = native.segment(Tensor(q, 0.07, -3), place)
    same, _ = native.segment(native.dequantize(Tensor(q, 0.07, -3)).astype(np.float32), place)
    assert (mask != same).mean() < 1e-3  # float32 rounding of the values may turn a tie
