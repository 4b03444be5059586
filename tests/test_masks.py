"""Masks at other sizes, beside OpenCV's."""

import cv2
import numpy as np
import pytest

from edgeskin.masks import resized


@pytest.mark.parametrize(("height", "width"), [(7, 9), (3, 4), (20, 31), (14, 9)])
def test_each_pixel_has_the_level_under_its_middle(height: int, width: int) -> None:
    masks = np.random.default_rng(0).integers(0, 4, (2, 7, 9)).astype(np.uint8)
    theirs = [cv2.resize(m, (width, height), interpolation=cv2.INTER_NEAREST_EXACT) for m in masks]
    np.testing.assert_array_equal(resized(masks, height, width), theirs)
    labels = np.stack([masks, masks + 1], axis=-1)  # (N, H, W, labels)
    np.testing.assert_array_equal(resized(labels, height, width)[..., 1], np.array(theirs) + 1)
