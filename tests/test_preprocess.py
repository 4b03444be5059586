import numpy as np
import pytest
from torchvision.transforms import v2

from edgeskin.errors import ShapeMismatch
from edgeskin.preprocess import normalize, preprocess
from edgeskin.spec import InputSpec

IMAGE = np.random.default_rng(1).integers(0, 256, (90, 130, 3), np.uint8)


def spec(**fields: object) -> InputSpec:
    base = {"height": 40, "width": 40, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)}
    return InputSpec.model_validate(base | fields)


def test_shortest_edge_and_centre_crop_are_torchvisions_own() -> None:
    from PIL import Image

    expected = v2.Compose([v2.Resize(48), v2.CenterCrop(40)])(Image.fromarray(IMAGE))
    ours = preprocess(IMAGE, spec(resize_to=48))
    # torchvision truncates the longer edge where edgeskin rounds; both give 69 x 48 here.
    np.testing.assert_array_equal(ours, np.array(expected))


def test_a_reduction_is_antialiased() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    squashed = preprocess(stripes, spec(height=16, width=16, resize="squash"))
    # Every output pixel sees as much white as black (at the left and right edge the kernel is
    # cut off); without antialiasing it would be 0 or 255.
    assert np.abs(squashed[:, 1:-1].astype(int) - 128).max() <= 1


def test_letterbox_keeps_the_aspect_and_fills_the_rest() -> None:
    boxed = preprocess(IMAGE, spec(resize="letterbox", pad_value=7))
    # 130 x 90 scaled by 40/130 is 40 x 28: 6 rows of padding above and below.
    assert (boxed[:6] == 7).all()
    assert (boxed[34:] == 7).all()
    assert not (boxed[6:34] == 7).all(axis=(1, 2)).any()


def test_an_image_of_the_right_size_passes_unchanged_and_is_a_new_array() -> None:
    image = IMAGE[:40, :40].copy()
    out = preprocess(image, spec(resize="squash"))
    np.testing.assert_array_equal(out, image)


def test_normalize_is_the_formula_and_swaps_channels_for_bgr() -> None:
    pixels = IMAGE[:40, :40]
    x = normalize(pixels, spec(resize="squash"))
    assert (x.shape, x.dtype) == ((1, 3, 40, 40), np.float32)
    assert x[0, 1, 5, 9] == pytest.approx((pixels[5, 9, 1] / 255 - 0.4) / 0.3, rel=1e-6)
    bgr = normalize(pixels, spec(resize="squash", color_order="BGR"))
    assert bgr[0, 0, 5, 9] == pytest.approx((pixels[5, 9, 2] / 255 - 0.5) / 0.2, rel=1e-6)


@pytest.mark.parametrize("bad", [IMAGE[..., 0], IMAGE.astype(np.float32), IMAGE[..., :2]])
def test_other_arrays_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ShapeMismatch, match=r"uint8 \(H, W, 3\)"):
        preprocess(bad, spec(resize="squash"))


def test_a_one_pixel_image_still_gives_the_models_size() -> None:
    assert preprocess(IMAGE[:1, :1], spec(resize_to=48)).shape == (40, 40, 3)
