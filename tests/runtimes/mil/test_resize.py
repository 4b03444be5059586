"""Resizing against ONNX Runtime, and against the places that MIL's documentation gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coremltools.converters.mil import Builder as mb  # noqa: N813
from mil_programs import IOS16, close, floats, run
from onnx_operator import onnx_run
from scipy import ndimage

from edgeskin.runtimes.mil.ops.resize import places

X = floats(1, 2, 5, 7)
TARGETS = [(10, 14), (3, 4), (8, 5), (1, 1), (5, 7)]
ONNX = {
    "STRICT_ALIGN_CORNERS": "align_corners",
    "DEFAULT": "asymmetric",
    "UNALIGN_CORNERS": "half_pixel",
}


def enlarged(x: Any, target: Any, rule: str, mode: str = "linear", nearest: str = "floor") -> Any:
    return onnx_run(
        "Resize",
        x,
        None,
        None,
        np.int64([*x.shape[:2], *target]),
        mode=mode,
        coordinate_transformation_mode=rule,
        nearest_mode=nearest,
    )


@pytest.mark.parametrize(
    ("mode", "grid"),
    [  # for two values to five, and to six
        ("UNALIGN_CORNERS", [[0, 0.1, 0.5, 0.9, 1], [0, 0, 1 / 3, 2 / 3, 1, 1]]),
        ("STRICT_ALIGN_CORNERS", [[0, 0.25, 0.5, 0.75, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]]),
        ("ALIGN_CORNERS", [[0, 0.25, 0.5, 0.75, 1], [0, 0.2, 0.4, 0.6, 0.8, 1]]),
        ("DEFAULT", [[0, 0.4, 0.8, 1, 1], [0, 1 / 3, 2 / 3, 1, 1, 1]]),
        (
            "OFFSET_CORNERS",
            [[0.1, 0.3, 0.5, 0.7, 0.9], [1 / 12, 3 / 12, 5 / 12, 7 / 12, 9 / 12, 11 / 12]],
        ),
    ],
)
def test_places_are_those_of_the_documentation(mode: str, grid: Any) -> None:
    for expected in grid:
        np.testing.assert_allclose(places(mode, 2, len(expected)), expected, atol=1e-12)


@pytest.mark.parametrize("mode", ONNX)
@pytest.mark.parametrize("target", TARGETS)
def test_resize_bilinear(mode: str, target: Any) -> None:
    found = run(
        lambda a: mb.resize_bilinear(
            x=a, target_size_height=target[0], target_size_width=target[1], sampling_mode=mode
        ),
        X,
    )
    close(found, *enlarged(X, target, ONNX[mode]))


@pytest.mark.parametrize("mode", ["ALIGN_CORNERS", "OFFSET_CORNERS"])
@pytest.mark.parametrize("target", TARGETS)
def test_resize_bilinear_by_rules_that_onnx_has_not(mode: str, target: Any) -> None:
    found = run(
        lambda a: mb.resize_bilinear(
            x=a, target_size_height=target[0], target_size_width=target[1], sampling_mode=mode
        ),
        X,
    )
    at = np.meshgrid(
        *(places(mode, n, m) for n, m in zip((5, 7), target, strict=True)), indexing="ij"
    )
    close(found, [[ndimage.map_coordinates(c.astype(np.float64), at, order=1) for c in X[0]]])


@pytest.mark.parametrize("scale", [(2, 3), (1.6, 0.6)])
@pytest.mark.parametrize(
    ("align", "half", "rule"),
    [
        (True, False, "align_corners"),
        (False, True, "half_pixel"),
        (False, False, "asymmetric"),
    ],
)
def test_upsample_bilinear(scale: Any, align: bool, half: bool, rule: str) -> None:
    """A fractional scale is that of the rounded output's size to the input's."""
    h, w = (np.float32(s) if isinstance(s, float) else s for s in scale)
    found = run(
        lambda a: mb.upsample_bilinear(
            x=a,
            scale_factor_height=h,
            scale_factor_width=w,
            align_corners=align,
            half_pixel_centers=half,
        ),
        X,
    )
    close(found, *enlarged(X, (int(5 * scale[0]), int(7 * scale[1])), rule))


@pytest.mark.parametrize("target", TARGETS)
def test_nearest(target: Any) -> None:
    want = enlarged(X, target, "asymmetric", "nearest")
    close(
        run(
            lambda a: mb.resize_nearest_neighbor(
                x=a, target_size_height=target[0], target_size_width=target[1]
            ),
            X,
        ),
        *want,
        ulps=0,
    )
    close(
        run(
            lambda a: mb.resize(
                x=a,
                shape=[0, *target],
                resized_dims=np.uint32(2),
                interpolation_mode="NEAREST_NEIGHBOR",
            ),
            X,
        ),
        *want,
        ulps=0,
    )


@pytest.mark.parametrize("scale", [(2, 3), (1, 4)])
def test_upsample_nearest_neighbor(scale: Any) -> None:
    found = run(
        lambda a: mb.upsample_nearest_neighbor(
            x=a, scale_factor_height=scale[0], scale_factor_width=scale[1]
        ),
        X,
    )
    close(found, X.repeat(scale[0], 2).repeat(scale[1], 3), ulps=0)


@pytest.mark.parametrize("mode", ONNX)
def test_resize_keeps_an_axis_of_size_zero(mode: str) -> None:
    found = run(
        lambda a: mb.resize(x=a, shape=[8, 0], resized_dims=np.uint32(2), sampling_mode=mode), X
    )
    close(found, *enlarged(X, (8, 7), ONNX[mode]))


BOX = np.float32([[0.5, 1, 3.5, 6], [1, 0, 4, 3]])  # top, left, bottom, right
WAYS = {
    "CORNERS_HEIGHT_FIRST": BOX,
    "CORNERS_WIDTH_FIRST": BOX[:, [1, 0, 3, 2]],
    "CENTER_SIZE_HEIGHT_FIRST": np.c_[(BOX[:, :2] + BOX[:, 2:]) / 2, BOX[:, 2:] - BOX[:, :2]],
    "CENTER_SIZE_WIDTH_FIRST": np.c_[(BOX[:, :2] + BOX[:, 2:]) / 2, BOX[:, 2:] - BOX[:, :2]][
        :, [1, 0, 3, 2]
    ],
}


@pytest.mark.parametrize("way", WAYS)
def test_crop_resize_reads_boxes_of_each_form(way: str) -> None:
    x = floats(2, 3, 5, 7)
    found = run(
        lambda a: mb.crop_resize(
            x=a,
            boxes=WAYS[way].astype(np.float32),
            box_indices=np.int32([1, 0]),
            target_height=4,
            target_width=3,
            box_coordinate_mode=way,
            sampling_mode="ALIGN_CORNERS",
        ),
        x,
    )
    close(found, np.stack([_cut(x[1], BOX[0]), _cut(x[0], BOX[1])]))


def test_crop_resize_of_normalized_boxes_and_rois() -> None:
    x = floats(2, 3, 5, 7)
    scaled = BOX / np.float32([4, 6, 4, 6])
    found = run(
        lambda a: mb.crop_resize(
            x=a,
            boxes=scaled,
            target_height=4,
            target_width=3,
            normalized_coordinates=True,
            sampling_mode="STRICT_ALIGN_CORNERS",
        ),
        x,
    )
    close(found, np.stack([_cut(x[0], BOX[0]), _cut(x[1], BOX[1])]), ulps=64)
    roi = BOX.reshape(2, 1, 4, 1, 1)
    found = run(
        lambda a: mb.crop_resize(
            x=a, roi=roi, target_height=4, target_width=3, sampling_mode="ALIGN_CORNERS"
        ),
        x,
        opset=IOS16,
    )
    close(found, np.stack([np.stack([_cut(image, box) for image in x]) for box in BOX]))


def test_crop_resize_of_a_box_that_ends_before_it_starts_is_mirrored() -> None:
    x = floats(1, 3, 5, 7)
    box = BOX[0][[2, 3, 0, 1]]
    found = run(
        lambda a: mb.crop_resize(
            x=a,
            roi=box.reshape(1, 1, 4, 1, 1),
            target_height=4,
            target_width=3,
            sampling_mode="ALIGN_CORNERS",
        ),
        x,
        opset=IOS16,
    )
    close(found, _cut(x[0], box)[None, None])


def _cut(image: Any, box: Any) -> Any:
    at = np.meshgrid(np.linspace(box[0], box[2], 4), np.linspace(box[1], box[3], 3), indexing="ij")
    return np.stack([ndimage.map_coordinates(c.astype(np.float64), at, order=1) for c in image])


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    ("padding", "name"), [("constant", "zeros"), ("border", "border"), ("reflection", "reflection")]
)
@pytest.mark.parametrize("align", [True, False])
def test_resample(mode: str, padding: str, name: str, align: bool) -> None:
    grid = np.random.default_rng(3).uniform(-1.3, 1.3, (1, 4, 6, 2)).astype(np.float32)
    found = run(
        lambda a, b: mb.resample(
            x=a,
            coordinates=b,
            sampling_mode=mode,
            padding_mode=padding,
            padding_value=0.0,
            coordinates_mode="normalized_minus_one_to_one",
            align_corners=align,
        ),
        X,
        grid,
    )
    onnx = {"bilinear": "linear", "nearest": "nearest"}[mode]
    close(
        found,
        *onnx_run("GridSample", X, grid, mode=onnx, padding_mode=name, align_corners=int(align)),
        ulps=64,
    )


@pytest.mark.parametrize("rule", ["unnormalized", "normalized_zero_to_one"])
def test_resample_in_other_coordinates(rule: str) -> None:
    rng = np.random.default_rng(3)
    at = np.stack([rng.uniform(-0.5, 6.5, (4, 6)), rng.uniform(-0.5, 4.5, (4, 6))], -1)
    grid = at if rule == "unnormalized" else at / [6, 4]
    found = run(
        lambda a, b: mb.resample(
            x=a,
            coordinates=b,
            sampling_mode="bilinear",
            padding_mode="constant",
            padding_value=0.75,
            coordinates_mode=rule,
            align_corners=True,
        ),
        X,
        grid[None].astype(np.float32),
    )
    want = [
        ndimage.map_coordinates(
            c.astype(np.float64), [at[..., 1], at[..., 0]], order=1, mode="grid-constant", cval=0.75
        )
        for c in X[0]
    ]
    close(found, [want], ulps=64)


@pytest.mark.parametrize("align", [True, False])
def test_resample_with_symmetric_padding(align: bool) -> None:
    """Beyond the edge an image turns back, its edge value twice: ONNX's reflection, unaligned."""
    at = np.random.default_rng(3).uniform(-1.8, 1.8, (1, 4, 6, 2)).astype(np.float32)
    sizes = np.float32([7, 5])
    grid = at * sizes / (sizes - 1) if align else at  # the same places in both conventions
    found = run(
        lambda a, b: mb.resample(
            x=a,
            coordinates=b,
            sampling_mode="bilinear",
            padding_mode="symmetric",
            padding_value=0.0,
            coordinates_mode="normalized_minus_one_to_one",
            align_corners=align,
        ),
        X,
        grid,
    )
    close(
        found, *onnx_run("GridSample", X, at, padding_mode="reflection", align_corners=0), ulps=256
    )


def test_affine_turns_by_a_right_angle() -> None:
    x = floats(1, 2, 5, 5)
    matrix = np.float32([[0, 1, 0, -1, 0, 0]])  # x' = y, y' = -x
    found = run(
        lambda a, b: mb.affine(
            x=a,
            transform_matrix=b,
            output_height=5,
            output_width=5,
            sampling_mode="bilinear",
            padding_mode="constant",
            padding_value=0.0,
            coordinates_mode="normalized_minus_one_to_one",
            align_corners=True,
        ),
        x,
        matrix,
    )
    close(found, np.rot90(x, 1, (3, 2)), ulps=64)
