"""Masks and crops of images whose colours say what they must be."""

from __future__ import annotations

import numpy as np
import pytest
from pipeline_networks import (
    BLUE,
    RED,
    areas_spec,
    best_squares,
    half_red,
    make_areas,
    painted,
    plain_input,
    rules,
)

from edgeskin import native
from edgeskin.pipelines.handover import hand_over, mean_by
from edgeskin.pipelines.joins import class_mask, join_image
from edgeskin.pipelines.pipeline_spec import ANSWERED
from edgeskin.preprocess import preprocess
from edgeskin.runtimes.pytorch import TorchSession
from edgeskin.spec import InputSpec, SegmentationHead


def outputs_of(image, spec=None):
    spec = spec or areas_spec()
    session = TorchSession(spec, make_areas())
    return session.run({"image": preprocess(image, spec.input)[None]})


@pytest.mark.parametrize("size", [(32, 48), (64, 96), (160, 240)])
def test_the_mask_lies_over_the_image_as_it_was_taken(size: tuple[int, int]) -> None:
    """An edge at half the width is an edge of the network's pixels, too, so none is off by one."""
    image = half_red(*size)
    joined = join_image(rules("mask").join, areas_spec(), outputs_of(image), image)
    expected = image.copy()
    expected[:, size[1] // 2 :] = (0, 102, 0)
    assert joined.status == ANSWERED
    assert joined.seen.kept_share == 0.5
    [picture] = joined.pictures
    np.testing.assert_array_equal(picture, expected)


def test_several_labels_are_kept() -> None:
    image = painted(32, 48, (np.s_[:16], np.s_[:], RED), (np.s_[16:24], np.s_[:], BLUE))
    join = rules("mask", keep={"head": "area", "labels": ["skin", "lesion"]}).join
    joined = join_image(join, areas_spec(), outputs_of(image), image)
    assert joined.seen.kept_share == 0.75


@pytest.mark.parametrize(("share", "status"), [(0.25, "answered"), (0.125, "no skin found")])
def test_too_little_skin_is_a_stated_answer(share: float, status: str) -> None:
    image = half_red(share=share)  # the rules ask for 0.2
    joined = join_image(rules("mask").join, areas_spec(), outputs_of(image), image)
    assert (joined.status, joined.seen.kept_share) == (status, share)
    assert len(joined.pictures) == (status == ANSWERED)


def test_an_image_without_skin_has_no_answer_even_where_none_is_asked_for() -> None:
    image = painted(64, 96)
    join = rules("mask", min_share=0).join
    assert join_image(join, areas_spec(), outputs_of(image), image).status == "no skin found"


def test_what_the_first_stage_cut_away_is_outside() -> None:
    """A centre crop of a 32 x 48 square out of 32 x 96 sees columns 24 to 71 only."""
    cut = InputSpec(height=32, width=32, resize_to=32, mean=(0, 0, 0), std=(1, 1, 1))
    spec = areas_spec(input=cut)
    image = np.full((32, 96, 3), RED, np.uint8)
    mask = class_mask(outputs_of(image, spec)["area"][0], spec.input, image)
    expected = np.full((32, 96), native.outputs.OUTSIDE)
    expected[:, 32:64] = spec.heads[0].labels.index("skin")
    np.testing.assert_array_equal(mask, expected)


def test_logits_and_probabilities_give_one_mask_at_the_head_s_own_pixels() -> None:
    """A softmax does not change which is largest; between the pixels it may."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, (32, 48, 3))
    powers = np.exp(logits)
    image, spec = painted(32, 48), plain_input(32, 48)
    masks = [class_mask(x, spec, image) for x in (logits, powers / powers.sum(2, keepdims=True))]
    np.testing.assert_array_equal(masks[0], logits.argmax(2))
    np.testing.assert_array_equal(masks[0], masks[1])


def many_lesions():
    """Red skin with three blue lesions, and a dark corner."""
    return painted(
        64,
        64,
        (np.s_[:], np.s_[:], RED),
        (np.s_[4:20], np.s_[6:20], BLUE),
        (np.s_[30:44], np.s_[40:58], BLUE),
        (np.s_[50:60], np.s_[2:12], BLUE),
        (np.s_[:16], np.s_[48:], (0, 0, 0)),
    )


@pytest.mark.parametrize("min_lesion", [0.05, 0.1, 0.2])
def test_crops_are_the_squares_that_obey_the_rule(min_lesion: float) -> None:
    image, spec = many_lesions(), areas_spec(input=plain_input(64, 64))
    join = rules("crop", min_lesion=min_lesion).join
    joined = join_image(join, spec, outputs_of(image, spec), image)
    red, blue = ((image == colour).all(2) for colour in (RED, BLUE))
    expected = best_squares(red, blue, 32, 8, join.model_dump())
    assert len(expected) >= 2
    assert [(c.left, c.top) for c in joined.seen.crops] == expected
    for crop, picture in zip(joined.seen.crops, joined.pictures, strict=True):
        window = np.s_[crop.top : crop.top + 32, crop.left : crop.left + 32]
        np.testing.assert_array_equal(picture, image[window])
        assert crop.lesion_share == blue[window].mean()
        assert crop.skin_share == (red | blue)[window].mean()


def test_the_first_side_with_a_crop_is_taken() -> None:
    """A lesion of 8 x 8 is a tenth of 25 x 25 and of no larger square."""
    image = painted(64, 64, (np.s_[:], np.s_[:], RED), (np.s_[28:36], np.s_[28:36], BLUE))
    spec = areas_spec(input=plain_input(64, 64))
    for changes, side in (
        ({"side_shares": [1.0, 0.5, 0.25, 0.2]}, 16),
        ({"side_shares": (), "sides": [640, 24, 12]}, 24),
    ):
        join = rules("crop", **changes).join
        joined = join_image(join, spec, outputs_of(image, spec), image)
        assert {crop.side for crop in joined.seen.crops} == {side}


def test_no_crop_is_a_stated_answer() -> None:
    spec = areas_spec(input=plain_input(64, 64))
    for image in (half_red(64, 64), painted(64, 64), np.full((64, 64, 3), RED, np.uint8)):
        joined = join_image(rules("crop").join, spec, outputs_of(image, spec), image)
        assert (joined.status, joined.pictures) == ("no usable crop", ())


def test_rows_of_an_owner_are_averaged() -> None:
    rows = np.arange(10, dtype=np.float32).reshape(5, 2)
    owner = np.array([1, 1, 4, 7, 7])
    expected = [[1, 2], [4, 5], [7, 8]]
    np.testing.assert_array_equal(mean_by(owner, rows), expected)
    alone = mean_by(np.arange(5), rows)
    assert alone is rows


def test_many_images_are_handed_over_in_order() -> None:
    spec = areas_spec()
    last = areas_spec(heads=(SegmentationHead(name="x", labels=("a", "b")),))
    images = [half_red(share=share) for share in (0.5, 0.0, 1.0, 0.125, 0.75)]
    outputs = {"area": np.concatenate([outputs_of(image)["area"] for image in images])}
    readers = [lambda image=image: image for image in images]
    handed = hand_over(rules("mask").join, (spec, last), readers, outputs)
    assert handed.counts == {"answered": 3, "no skin found": 2}
    assert handed.owner.tolist() == [0, 2, 4]
    rows = {"x": np.array([10.0, 12.0, 14.0])}
    some = np.array([True, False, False, False, True])
    assert handed.answers(rows)["x"].tolist() == [10.0, 12.0, 14.0]
    assert handed.answers(rows, some)["x"].tolist() == [10.0, 14.0]


def test_apps_get_the_same_pixels_from_the_core_s_own_masked_preprocessing() -> None:
    """`native.preprocess(mask=)` never holds the painted image; its bytes are those of it."""
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (64, 96, 3), np.uint8)
    image[..., 0] = half_red()[..., 0]  # red on the left, so that the left is skin
    image[..., 2] = 0
    outputs, last = outputs_of(image), plain_input(40, 40)
    [picture] = join_image(rules("mask").join, areas_spec(), outputs, image).pictures
    mask = class_mask(outputs["area"][0], areas_spec().input, image)
    kept = [areas_spec().heads[0].labels.index("skin")]
    recipe = native.Recipe.from_spec(last)
    pixels = native.preprocess(image, recipe, mask=mask, keep=kept, fill=(0, 102, 0))
    np.testing.assert_array_equal(pixels, preprocess(picture, last))
