"""Transforms as training had them, against the libraries themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import albumentations
import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from timm.data import create_transform
from torch import nn
from torchvision import transforms as v1
from torchvision.transforms import InterpolationMode, v2

from edgeskin.data.phantoms import render_phantom
from edgeskin.errors import CannotExpress, InvalidSpec, NotTrusted
from edgeskin.sources import preprocessing
from edgeskin.sources.preprocessing import input_spec_of, read_preprocessing

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALIZE = v1.Normalize(MEAN, STD)
# Two squares, and shapes whose shorter edge divides nothing.
IMAGES: list[NDArray[np.uint8]] = [
    render_phantom(1, size=301).image,
    render_phantom(2, size=256).image,
    np.ascontiguousarray(render_phantom(3, size=299).image[:211]),
    np.ascontiguousarray(render_phantom(4, size=310).image[:, :223]),
]
FLOAT32_DB = 130.0
"""Between float32 sums in another order; one level in one of a thousand pixels is some 75 dB."""

EXACT = {
    "squash by Pillow": v1.Compose([v1.Resize((96, 80)), v1.ToTensor(), NORMALIZE]),
    "squash, bicubic": v1.Compose(
        [v1.Resize((96, 96), InterpolationMode.BICUBIC), v1.ToTensor(), NORMALIZE]
    ),
    "second kind": v2.Compose(
        [v2.Resize((64, 64)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    ),
    "timm, squash": {
        "input_size": (3, 96, 96),
        "interpolation": "bicubic",
        "mean": MEAN,
        "std": STD,
        "crop_pct": 1.0,
        "crop_mode": "squash",
    },
}


@pytest.mark.parametrize("name", EXACT)
def test_a_rule_that_is_the_same_gives_the_library_s_tensor(name: str) -> None:
    found = input_spec_of(EXACT[name], images=IMAGES)
    assert found.sqnr_db is not None
    assert found.sqnr_db > FLOAT32_DB
    assert found.differences == ()
    assert found.images == 4


def test_shortest_edge_and_crop_are_exact_where_nothing_is_rounded() -> None:
    """Squares from 80 to 64: no longer edge, and 8 pixels to cut on each side."""
    transform = v1.Compose([v1.Resize(80), v1.CenterCrop(64), v1.ToTensor(), NORMALIZE])
    squares = input_spec_of(transform, images=IMAGES[:2])
    assert (squares.input.resize, squares.input.resize_to) == ("shortest_edge", 80)
    assert (squares.input.height, squares.input.width) == (64, 64)
    assert squares.input.mean == pytest.approx(MEAN)
    assert squares.input.std == pytest.approx(STD)
    assert squares.sqnr_db is not None
    assert squares.sqnr_db > FLOAT32_DB
    assert squares.differences == ()
    others = input_spec_of(transform, images=IMAGES)
    assert others.sqnr_db is not None
    assert others.sqnr_db < squares.sqnr_db
    assert "a pixel aside" in others.differences[0]
    assert others.lines[-1].endswith("dB from the library's own on 4 images")


def test_torchvision_s_own_preset_is_read() -> None:
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
    spec = input_spec_of(weights.transforms()).input
    assert (spec.resize_to, spec.height, spec.filter) == (232, 224, "bilinear")


NOT_THE_SAME = {
    "a level here and there": v2.Compose(
        [v2.ToImage(), v2.Resize((64, 64), antialias=True), v2.ToDtype(torch.float32, scale=True)]
    ),
    "without antialias": v2.Compose(
        [v2.ToImage(), v2.Resize((64, 64), antialias=False), v2.ToDtype(torch.float32, scale=True)]
    ),
    "OpenCV's linear": albumentations.Compose(
        [albumentations.Resize(64, 64), albumentations.Normalize()]
    ),
    "turns colours into grey": v1.Compose(
        [v1.Resize((64, 64)), v1.Grayscale(3), v1.ToTensor(), NORMALIZE]
    ),
}


@pytest.mark.parametrize("line", NOT_THE_SAME)
def test_what_a_spec_cannot_say_is_named_and_measured(line: str) -> None:
    found = input_spec_of(NOT_THE_SAME[line], images=IMAGES)
    assert any(line in difference for difference in found.differences)
    assert found.sqnr_db is not None
    assert 5.0 < found.sqnr_db < 100.0


def test_a_resize_without_antialias_is_further_away_than_one_of_tensors() -> None:
    distance = {
        name: input_spec_of(NOT_THE_SAME[name], images=IMAGES).sqnr_db or 0.0
        for name in ("a level here and there", "without antialias")
    }
    assert distance["a level here and there"] > 45.0 > distance["without antialias"]


def test_albumentations_pads_to_a_letterbox_and_its_json_is_its_object() -> None:
    pipeline = albumentations.Compose(
        [
            albumentations.LongestMaxSize(64),
            albumentations.PadIfNeeded(64, 64, border_mode=0, fill=114),
            albumentations.Normalize(MEAN, STD, max_pixel_value=128.0),
            albumentations.ToTensorV2(),
        ]
    )
    by_object = input_spec_of(pipeline, images=IMAGES)
    by_json = read_preprocessing(json.dumps(pipeline.to_dict()), trust=False, images=IMAGES)
    assert by_object == by_json
    spec = by_object.input
    assert (spec.resize, spec.pad_value, spec.filter) == ("letterbox", 114, "bilinear")
    # (v - mean * 128) / (std * 128), on the scale of v / 255
    assert spec.mean == pytest.approx([m * 128 / 255 for m in MEAN])
    assert by_object.sqnr_db is not None
    assert by_object.sqnr_db > 20.0


def test_albumentations_json_needs_no_albumentations(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = albumentations.Compose([albumentations.Resize(32, 48), albumentations.Normalize()])
    monkeypatch.setattr(preprocessing, "_package", lambda name: None)
    found = input_spec_of(pipeline.to_dict(), images=IMAGES)
    assert (found.input.height, found.input.width) == (32, 48)
    assert found.sqnr_db is None
    assert "albumentations is not installed" in (found.not_measured or "")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"image_processor_type": "ViTImageProcessor", "size": 64},
            ("squash", None, 64, "bilinear", "RGB"),
        ),
        (
            {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 70, "crop_pct": 0.875},
            ("shortest_edge", 80, 70, "bicubic", "RGB"),
        ),
        (
            {
                "image_processor_type": "MobileViTImageProcessor",
                "size": {"shortest_edge": 72},
                "crop_size": {"height": 64, "width": 64},
            },
            ("shortest_edge", 72, 64, "bicubic", "BGR"),
        ),
        (
            {
                "image_processor_type": "SegformerImageProcessor",
                "size": {"height": 64, "width": 64},
            },
            ("squash", None, 64, "bilinear", "RGB"),
        ),
    ],
)
def test_image_processors_agree_to_a_level_here_and_there(
    config: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    found = input_spec_of(config, images=IMAGES[1:2])
    spec = found.input
    assert (spec.resize, spec.resize_to, spec.height, spec.filter, spec.color_order) == expected
    assert found.sqnr_db is not None
    assert found.sqnr_db > 40.0  # torchvision's resize of tensors


def test_a_factor_and_no_normalization_are_mean_and_std() -> None:
    """v * 2 / 255 is (v / 255 - 0) / 0.5."""
    config = {
        "do_resize": True,
        "size": {"height": 64, "width": 64},
        "do_rescale": True,
        "rescale_factor": 2 / 255,
        "do_normalize": False,
    }
    spec = input_spec_of(config).input
    assert spec.mean == (0.0, 0.0, 0.0)
    assert spec.std == pytest.approx((0.5, 0.5, 0.5))


def test_timm_configs_and_timm_s_own_transforms_agree() -> None:
    config = {
        "input_size": (3, 64, 64),
        "interpolation": "bilinear",
        "mean": MEAN,
        "std": STD,
        "crop_pct": 0.8,
        "crop_mode": "center",
    }
    by_config = input_spec_of(config, images=IMAGES[:2])
    by_object = input_spec_of(create_transform(**config, is_training=False), images=IMAGES[:2])
    assert by_config.input.resize_to == 80
    for found in (by_config, by_object):
        assert found.sqnr_db is not None
        assert found.sqnr_db > FLOAT32_DB
    document = {"architecture": "resnet18", "pretrained_cfg": config}
    assert read_preprocessing(json.dumps(document), trust=False).input == by_config.input


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (v1.Compose([v1.RandomResizedCrop(64), v1.ToTensor()]), "RandomResizedCrop is of training"),
        (v1.Compose([v1.Lambda(lambda x: x)]), "Lambda is no step"),
        (
            albumentations.Compose([albumentations.HorizontalFlip()]),
            "HorizontalFlip is of training",
        ),
        (nn.Sequential(v2.ToImage(), v2.ToDtype(torch.float32, scale=True)), "its own size"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(transform: Any, message: str) -> None:
    with pytest.raises(CannotExpress, match=message):
        input_spec_of(transform)


def test_code_runs_only_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "their_transforms.py").write_text(
        "from torchvision import transforms as T\n"
        "def evaluation():\n"
        "    return T.Compose([T.Resize((32, 32)), T.ToTensor()])\n"
        "ready = evaluation()\n"
    )
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.syspath_prepend(elsewhere)
    with pytest.raises(NotTrusted, match="was not run"):
        read_preprocessing("their_transforms:evaluation", trust=False)
    by_factory = read_preprocessing("their_transforms:evaluation", trust=True)
    assert by_factory == read_preprocessing("their_transforms:ready", trust=True)
    assert by_factory.input.height == 32


@pytest.mark.parametrize(
    "text", ["{", "[1]", '{"a": 1}', "nothing", '{"do_resize": true, "size": {"height": 9}}']
)
def test_what_is_no_preprocessing_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec, match="preprocessing"):
        read_preprocessing(text, trust=False)
