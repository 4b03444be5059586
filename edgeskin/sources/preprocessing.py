"""Preprocessing as a model was trained with it, as the rule of a spec, and what that changes.

A transform of torchvision or albumentations, an image processor of Hugging Face or a data config
of timm becomes the `InputSpec` that comes nearest. What a spec does not say is named in a line,
and measured on the user's own images where the library is installed: it runs beside edgeskin's
`preprocess` and `normalize`.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from edgeskin.errors import CannotExpress, InvalidSpec, MissingPackage
from edgeskin.metrics import sqnr_db
from edgeskin.models.trust import find_factory, names_factory
from edgeskin.preprocess import normalize, preprocess
from edgeskin.sources import albumentations_steps, config_steps, torchvision_steps
from edgeskin.sources.transform_steps import Steps, nearest_rule
from edgeskin.spec import InputSpec, first_problem

Pixels = NDArray[np.uint8]
Answer = Callable[[Pixels], NDArray[np.float32]]
"""From RGB uint8 (H, W, 3) to the network's float32 (3, h, w), by the library itself."""
_SAME_DB = 100.0  # rounding of float32 is some 130 dB away, one level in a thousand pixels 75


@dataclass(frozen=True)
class Preprocessing:
    """A transform as a spec's rule.

    Attributes:
        kind: What was read.
        input: The rule that comes nearest.
        differences: What it does otherwise, a line each; empty where it is the same.
        sqnr_db: The library's own tensor against edgeskin's on the images that were given, in
            decibels, infinite for equal ones; None where nothing was measured.
        images: How many those were.
        not_measured: Why nothing was measured; None where it was.
    """

    kind: str
    input: InputSpec
    differences: tuple[str, ...]
    sqnr_db: float | None
    images: int
    not_measured: str | None

    @property
    def lines(self) -> tuple[str, ...]:
        """For a person: what is different, and how much that is."""
        if self.sqnr_db is None:
            return *self.differences, f"{self.kind}: {self.not_measured}"
        how_far = f"{self.sqnr_db:.1f} dB from the library's own on {self.images} images"
        return *self.differences, f"{self.kind}: {how_far}"


@dataclass(frozen=True)
class _Read:
    """A transform's steps; `answer` is None where its library is `missing`."""

    kind: str
    steps: Steps
    answer: Answer | None
    missing: str | None = None


def input_spec_of(
    transform: Any,
    *,
    height: int | None = None,
    width: int | None = None,
    images: Sequence[Pixels] = (),
) -> Preprocessing:
    """The rule that comes nearest to a transform, an image processor or a config.

    Args:
        transform: A torchvision transform, an albumentations pipeline or its dictionary, an
            image processor or its config, or a timm data config.
        height, width: Of the network's input, where the transform leaves that to the image.
        images: RGB uint8 (H, W, 3) of any sizes, to measure the difference on.

    Raises:
        CannotExpress: A step that is random, of its maker's own, or that no spec can hold.
        InvalidSpec: A dictionary that is none of these, or lacks a setting.
    """
    try:
        read = _read(transform)
        spec, steps = nearest_rule(read.steps, height, width)
    except ValidationError as error:
        raise CannotExpress(f"no spec can hold it: {first_problem(error)}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise InvalidSpec(f"the preprocessing lacks a setting, or it is damaged: {why}") from error
    if read.answer is None or not images:
        why = read.missing or "no images were given to measure on"
        return Preprocessing(read.kind, spec, steps.differences, None, 0, why)
    measured, line = _measure(read.answer, spec, images)
    differences = steps.differences
    if line is not None:
        differences = (*differences, line)
    elif measured >= _SAME_DB:
        differences = ()
    elif not differences:
        differences = (f"its pixels are others, {measured:.1f} dB away, which no step explains",)
    return Preprocessing(read.kind, spec, differences, measured, len(images), None)


def read_preprocessing(
    text: str,
    *,
    trust: bool,
    height: int | None = None,
    width: int | None = None,
    images: Sequence[Pixels] = (),
) -> Preprocessing:
    """`input_spec_of` what a text holds or names.

    Args:
        text: JSON (or YAML of albumentations), or `package.module:name` of a transform, or of a
            function without arguments that makes one.
        trust: Run the code that `text` names, wherever it lies.

    Raises:
        NotTrusted: It names code that needs `trust`.
        InvalidSpec: It is none of these.
        CannotExpress: As `input_spec_of`.
    """
    text = text.strip()
    if names_factory(text):
        made = find_factory(text, {}, trust=trust)
        transform = made() if _is_factory(made) else made
    else:
        transform = _document(text)
    return input_spec_of(transform, height=height, width=width, images=images)


def _is_factory(value: Any) -> bool:
    """A function, or a class of transforms; an object that is called with images is none."""
    return isinstance(value, type) or type(value).__name__ == "function"


def _document(text: str) -> Mapping[str, Any]:
    try:
        document = json.loads(text) if text.startswith("{") else _yaml(text)
    except ValueError as error:
        raise InvalidSpec(f"the preprocessing is no whole JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidSpec(
            f"the preprocessing is neither JSON of a transform, nor a file of it, nor "
            f"package.module:name: '{text.strip()[:60]}'"
        )
    return document


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingPackage(
            "PyYAML is not installed, which reads YAML: pip install pyyaml, or save the pipeline "
            "as JSON"
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error


def _read(transform: Any) -> _Read:
    """By what it is: a dictionary by its keys, an object by the package that it is from."""
    if isinstance(transform, Mapping):
        return _read_document(transform)
    package = type(transform).__module__.partition(".")[0]
    if package == "albumentations":
        steps = albumentations_steps.steps_of(transform.to_dict())
        return _Read("albumentations pipeline", steps, _by_albumentations(transform))
    if package == "transformers" or hasattr(transform, "image_processor_type"):
        steps = config_steps.steps_of_processor(_whole_config(transform))
        return _Read("image processor", _of_tensors(steps), _by_processor(transform))
    steps = torchvision_steps.steps_of(transform)
    return _Read("torchvision transform", steps, _by_torchvision(transform))


def _read_document(document: Mapping[str, Any]) -> _Read:
    if config_steps.is_timm(document):
        steps = config_steps.steps_of_timm(document)
        return _Read("timm data config", steps, _by_timm(document))
    if "transform" in document or "__class_fullname__" in document:
        steps = albumentations_steps.steps_of(document)
        pipeline = _package("albumentations")
        if pipeline is None:
            return _Read("albumentations pipeline", steps, None, _missing("albumentations"))
        whole = document if "transform" in document else {"transform": document}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fields that albumentations itself wrote
            made = pipeline.from_dict(dict(whole))
        answer = _by_albumentations(made)
        return _Read("albumentations pipeline", steps, answer)
    if config_steps.is_processor(document):
        return _read_processor(document)
    raise InvalidSpec(
        "the preprocessing is no albumentations pipeline, no preprocessor_config.json and no timm "
        f"config: its fields are {', '.join(list(document)[:8])}"
    )


def _read_processor(config: Mapping[str, Any]) -> _Read:
    """With the defaults of its class where transformers is there, else as its config stands."""
    name, transformers = config_steps.processor_name(config), _package("transformers")
    kind = getattr(transformers, name, None) if name.endswith("ImageProcessor") else None
    if kind is None:
        missing = f"transformers has no '{name}'" if transformers else _missing("transformers")
        return _Read("image processor", config_steps.steps_of_processor(config), None, missing)
    processor = kind.from_dict(dict(config))
    whole = {**_whole_config(processor), "image_processor_type": name}
    steps = config_steps.steps_of_processor(whole)
    return _Read("image processor", _of_tensors(steps), _by_processor(processor))


def _whole_config(processor: Any) -> Mapping[str, Any]:
    """A processor's settings; what it does not do is false in them, not absent."""
    given = {key: value for key, value in processor.to_dict().items() if value is not None}
    return dict.fromkeys(config_steps.FLAGS, False) | given


def _of_tensors(steps: Steps) -> Steps:
    return steps.but("it resizes tensors, which differs from Pillow by a level here and there")


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _missing(name: str) -> str:
    return f"{name} is not installed, so that the difference was not measured: pip install {name}"


def _by_torchvision(transform: Any) -> Answer:
    return lambda image: _array(transform(Image.fromarray(image)))


def _by_albumentations(pipeline: Any) -> Answer:
    def answer(image: Pixels) -> NDArray[np.float32]:
        made = pipeline(image=image)["image"]
        return _array(made if hasattr(made, "numpy") else np.asarray(made).transpose(2, 0, 1))

    return answer


def _by_processor(processor: Any) -> Answer:
    def answer(image: Pixels) -> NDArray[np.float32]:
        made = processor(images=Image.fromarray(image), return_tensors="pt")
        return _array(made["pixel_values"][0])

    return answer


def _by_timm(config: Mapping[str, Any]) -> Answer:
    from timm.data.transforms_factory import create_transform

    config = config.get("pretrained_cfg", config)
    names = ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")
    given = {name: config[name] for name in names if config.get(name) is not None}
    for name in ("input_size", "mean", "std"):
        given[name] = tuple(given[name])
    return _by_torchvision(create_transform(**given, is_training=False))


def _array(tensor: Any) -> NDArray[np.float32]:
    return np.asarray(tensor).astype(np.float32)


def _measure(answer: Answer, spec: InputSpec, images: Sequence[Pixels]) -> tuple[float, str | None]:
    """SQNR in decibels over all images; or the line that says why the tensors do not compare."""
    pairs = [(answer(image), normalize(preprocess(image, spec), spec)[0]) for image in images]
    for theirs, ours in pairs:
        if theirs.shape != ours.shape:
            return (
                -np.inf,
                f"its tensor is {theirs.shape} for an image where edgeskin's is {ours.shape}",
            )
    theirs, ours = (np.concatenate([p[i].ravel() for p in pairs]) for i in (0, 1))
    return sqnr_db(theirs, ours), None
