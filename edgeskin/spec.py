"""What a model eats and says: the one document that travels inside every artifact.

A spec describes the input (size, colour order, resize rule, mean and std) and
the heads (labels, units, decoding), so that `edgeskin predict model.tflite
face.jpg` needs no second file. It is written as JSON; `edgeskin schema` prints
the JSON schema. The C core reads the same texts and refuses the same ones; the
rules stand in `native/edgeskin.h` at `es_recipe_from_spec`, and hold for values
given in Python, too. A field that this version does not know is refused: it
could change what the model eats.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from edgeskin.errors import InvalidSpec
from edgeskin.strict_json import Members, parse

VERSION = 1
MOST_IN_A_ROW = 1_048_576  # along one axis of a tensor
BRIGHTEST = 4.0  # of mean and std: far above any on the 0 to 1 scale, far below any on 0 to 255


def _whole(value: Any) -> Any:
    """JSON has one kind of number: 224.0 is 224."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _known_version(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"must be {VERSION}, got {value}")
    if isinstance(value, int | float) and value > VERSION:
        raise InvalidSpec(  # not a field that does not fit, but a spec that cannot be judged
            f"has version {value}; this edgeskin reads up to {VERSION}. Upgrade edgeskin."
        )
    return _whole(value)


def _true(value: Any) -> Any:
    if value is not True:
        raise ValueError(f"must be true: every filter but nearest is antialiased, got {value}")
    return value


def _distinct(labels: tuple[str, ...]) -> tuple[str, ...]:
    for label, count in Counter(labels).items():
        if count > 1:
            raise ValueError(f"'{label}' is the label of {count} classes; each needs its own")
    return labels


Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole)]
Real = Annotated[float, Field(strict=True)]
Labels = Annotated[tuple[str, ...], AfterValidator(_distinct)]
Channels = tuple[Real, Real, Real]
Version = Annotated[Literal[1], BeforeValidator(_known_version)]


class Strict(BaseModel):
    """Base of what travels with a model: no unknown field, no field twice, no loose types."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _given_once(cls, values: Any) -> Any:
        if isinstance(values, Members) and values.repeated:
            raise ValueError(f"'{values.repeated[0]}' is given twice")
        return values

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "spec") -> Self:
        """Read one from JSON; `where` names its place in error messages.

        Raises:
            InvalidSpec: Not JSON, a newer version, or a field that does not fit.
        """
        try:
            return cls.model_validate(parse(text))
        except InvalidSpec as error:
            raise InvalidSpec(f"{where} {error}") from error
        except ValidationError as error:  # a ValueError, too
            raise InvalidSpec(f"{where}: {first_problem(error)}") from error
        except ValueError as error:
            raise InvalidSpec(f"{where} is not JSON: {error}") from error


class InputSpec(Strict):
    """How an image becomes the network's input tensor.

    The image is sRGB. `resize` is one of

    - `shortest_edge`: scale so that the shorter edge is `resize_to` pixels,
      then cut `height` x `width` from the centre;
    - `squash`: scale to `height` x `width`, aspect ratio lost;
    - `letterbox`: scale to fit inside, fill the rest with `pad_value`.

    A pixel value v in 0..255 then becomes (v / 255 - mean) / std, per channel.
    """

    height: Whole = Field(ge=1, le=8192)
    """Rows of the network's input, in pixels."""
    width: Whole = Field(ge=1, le=8192)
    """Columns of the network's input, in pixels."""
    color_order: Literal["RGB", "BGR"] = "RGB"
    """Order of the channels that the network takes."""
    resize: Literal["shortest_edge", "squash", "letterbox"] = "shortest_edge"
    """How an image of another size becomes `height` x `width`."""
    resize_to: Whole | None = Field(default=None, ge=1, le=8192)
    """Pixels of the shorter edge before the crop; with `shortest_edge` only, where it is needed."""
    filter: Literal["nearest", "box", "bilinear", "bicubic", "lanczos"] = "bilinear"
    """The resampling filter, as Pillow's of that name."""
    antialias: Annotated[Literal[True], BeforeValidator(_true)] = True
    """Every filter but `nearest` widens when it reduces."""
    pad_value: Whole = Field(default=0, ge=0, le=255)
    """Pixel value around the image, in every channel; with `letterbox`."""
    mean: Channels
    """Subtracted from v / 255, a number for each channel."""
    std: Channels
    """What the difference is divided by, a number above 0 for each channel."""

    @field_validator("mean", "std")
    @classmethod
    def _for_0_to_1(cls, values: Channels) -> Channels:
        if max(map(abs, values)) > BRIGHTEST:
            fractions = ", ".join(f"{value / 255:.4g}" for value in values)
            raise ValueError(
                f"{values} looks like the 0 to 255 scale. Pixel values are divided by 255 first: "
                f"divide by 255 as well, ({fractions})"
            )
        return values

    @field_validator("std")
    @classmethod
    def _positive(cls, std: Channels) -> Channels:
        if min(std) <= 0:
            raise ValueError(f"std must be positive, got {std}")
        return std

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.resize != "shortest_edge":
            if self.resize_to is not None:
                raise ValueError(f"resize_to belongs to shortest_edge, not to {self.resize}")
        elif self.resize_to is None or self.resize_to < max(self.height, self.width):
            raise ValueError(
                f"shortest_edge needs resize_to of at least {max(self.height, self.width)} "
                f"(the crop), got {self.resize_to}"
            )
        return self


class RangeTable(Strict):
    """Named grades of a count: grade i holds values up to `upper[i]`, inclusive.

    The last grade is open: `upper` has one entry fewer than `labels`.
    """

    labels: Labels = Field(min_length=2)
    """Names of the grades, the lowest first."""
    upper: tuple[Real, ...]
    """The largest value of each grade but the last."""
    source: str = ""
    """Where the grades come from: a publication, for instance."""

    @model_validator(mode="after")
    def _increasing(self) -> Self:
        if len(self.upper) != len(self.labels) - 1:
            raise ValueError(
                f"{len(self.labels)} labels need {len(self.labels) - 1} bounds, "
                f"got {len(self.upper)}"
            )
        if list(self.upper) != sorted(set(self.upper)):
            raise ValueError(f"upper bounds must increase, got {self.upper}")
        return self


class _Head(Strict):
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name of the output, and of the label column in a data folder's manifest.csv."""


class ClassificationHead(_Head):
    """Classes of an image. Raw: logits (N, C). Decoded: `name`, probabilities (N, C).

    `activation` says whether the classes exclude each other. JSON leaves `softmax` out: such a
    spec is read by versions that know no other, too.
    """

    kind: Literal["classification"] = "classification"
    labels: Labels = Field(min_length=1)
    """Names of the classes, in the order of the logits; two or more of a softmax."""
    activation: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: one class an image; `sigmoid`: each label by itself, any number of them."""

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if self.activation == "softmax" and len(self.labels) < 2:
            raise ValueError(
                f"labels of a softmax are at least 2, got {len(self.labels)}. "
                "A label by itself has the activation sigmoid"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_softmax(self, handler: SerializerFunctionWrapHandler) -> Any:
        fields = handler(self).items()
        return {name: value for name, value in fields if (name, value) != _SOFTMAX}


_SOFTMAX = ("activation", "softmax")


class DistributionHead(_Head):
    """A quantity as a distribution over `size` values `first`, `first + step`, ...

    Raw: logits (N, size). Decoded: `name`, the expectation (N, 1) in `unit`,
    and `name_distribution`, probabilities (N, size).
    """

    kind: Literal["distribution"] = "distribution"
    first: Real
    """The value of the first logit."""
    step: Real = Field(default=1.0, gt=0)
    """From one value to the next."""
    size: Whole = Field(ge=2, le=65536)
    """How many values, and logits, there are."""
    unit: str
    """What is counted or measured: `lesions`, `years`."""
    ranges: RangeTable | None = None
    """Named grades of the quantity."""


class RegressionHead(_Head):
    """Raw: (N, 1). Decoded: `name`, raw * scale + offset (N, 1) in `unit`."""

    kind: Literal["regression"] = "regression"
    unit: str
    """What the value is measured in."""
    scale: Real = 1.0
    """Multiplies the raw output."""
    offset: Real = 0.0
    """Added after the scale."""


class SegmentationHead(_Head):
    """Raw: logits (N, C, H, W). Decoded: `name`, probabilities (N, H, W, C)."""

    kind: Literal["segmentation"] = "segmentation"
    labels: Labels = Field(min_length=1)
    """Names of the channels, in their order."""
    activation: Literal["softmax", "sigmoid"] = "softmax"
    """`softmax`: one class a pixel; `sigmoid`: each channel alone."""


class EmbeddingHead(_Head):
    """A vector that stands for the image. Raw: (N, size). Decoded: `name`, (N, size)."""

    kind: Literal["embedding"] = "embedding"
    size: Whole = Field(ge=1, le=65536)
    """How many values the vector has."""
    normalize: Literal["none", "l2"] = "none"
    """`l2`: decoded to a Euclidean length of 1; a vector of zeros stays one."""


class TensorHead(_Head):
    """Any other output: keypoints, boxes, a depth map. Raw and decoded: `name`, (N, *shape)."""

    kind: Literal["tensor"] = "tensor"
    shape: tuple[Annotated[Whole, Field(ge=1, le=MOST_IN_A_ROW)], ...] = Field(max_length=4)
    """Sizes of the axes behind the batch; none at all for one number an image."""
    unit: str = ""
    """What the values are measured in: `px`, `m`."""
    axes: Labels = ()
    """Names of the axes, such as `point` and `xy`; as many as `shape` has, or none."""

    @model_validator(mode="after")
    def _an_axis_a_size(self) -> Self:
        if self.axes and len(self.axes) != len(self.shape):
            raise ValueError(f"{len(self.axes)} axes are named, shape has {len(self.shape)}")
        return self


Head = Annotated[
    ClassificationHead
    | DistributionHead
    | RegressionHead
    | SegmentationHead
    | EmbeddingHead
    | TensorHead,
    Field(discriminator="kind"),
]

LABELLED = (ClassificationHead, DistributionHead, RegressionHead)
"""Kinds of head that find labels in a manifest's column of their name."""


class Spec(Strict):
    """Everything an app must know to use the model, and a person to judge it."""

    version: Version = 1
    """Of this format."""
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the model; its files are called after it."""
    task: str
    """What it is for: `acne`, or a word of your own."""
    arch: str = ""
    """The factory of the network, `package.module:function`, or a name of `edgeskin models`."""
    arch_args: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of the factory."""
    input: InputSpec
    """How an image becomes the input tensor."""
    heads: tuple[Head, ...] = Field(min_length=1, max_length=64)
    """What the network says, in the order of its outputs."""
    license: str
    """What the weights may be used for."""
    intended_use: str
    """What the model was made for, in words for a person."""
    training_data: str = ""
    """What it was trained on."""
    limits: str = ""
    """Where it is known to fail, and what it has never seen."""

    @model_validator(mode="after")
    def _unique_outputs(self) -> Self:
        names = self.output_names("app")
        if len(set(names)) != len(names):
            raise ValueError(f"two heads give an output of the same name: {names}")
        return self

    def output_names(self, io: Literal["app", "tensor"]) -> tuple[str, ...]:
        """Names in order: decoded values for `app`, raw heads for `tensor`."""
        if io == "tensor":
            return tuple(head.name for head in self.heads)
        names: list[str] = []
        for head in self.heads:
            names.append(head.name)
            if isinstance(head, DistributionHead):
                names.append(f"{head.name}_distribution")
        return tuple(names)

    def to_json(self, *, indent: int | None = None) -> str:
        return self.model_dump_json(indent=indent)

    @classmethod
    def load(cls, path: Path) -> Spec:
        """Read `spec.json`, or the folder that holds one."""
        path = path / "spec.json" if path.is_dir() else path
        if not path.is_file():
            raise InvalidSpec(f"{path} is missing")
        return cls.from_json(path.read_bytes(), where=str(path))


def json_schema() -> dict[str, Any]:
    """The JSON schema of `spec.json` (draft 2020-12)."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Spec.model_json_schema()}


def first_problem(error: ValidationError) -> str:
    """What pydantic refuses first, with its place in the document, in one line."""
    problem = error.errors()[0]
    place = ".".join(str(part) for part in problem["loc"]) or "document"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}{more}"
