"""`pipeline.json`: what the stages are, and how they join; and the rules that one is made by.

Every threshold stands here, none in code. Masks are drawn by the native core (`es_segment`) over
the image as it was taken, from what the first stage's softmax head says after decoding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from edgeskin.errors import InvalidSpec
from edgeskin.spec import Labels, Real, Strict, Version, Whole, first_problem

DOCUMENT = "pipeline.json"
ANSWERED = "answered"
"""The status of an image that the last stage saw."""
MOST_CROPS = 64
Share = Annotated[Real, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Level = Annotated[Whole, Field(ge=0, le=255)]


class Region(Strict):
    """Pixels of the image that the first stage gives one of some labels."""

    head: str = ""
    """Of the first stage, a softmax segmentation; may be left out where it has no other."""
    labels: Labels = Field(min_length=1)
    """Of that head; a pixel with any of them belongs to the region."""


class _Join(Strict):
    otherwise: str
    """The answer where the last stage has nothing to see: `no skin found`."""

    @model_validator(mode="after")
    def _otherwise_is_told_apart(self) -> Self:
        if self.otherwise.strip() in ("", ANSWERED):
            raise ValueError(f"otherwise is '{self.otherwise}', must say why there is no answer")
        return self


class MaskJoin(_Join):
    """The last stage sees the whole image, with pixels outside a region painted over.

    Pixels that the first stage did not see, cut away by its own crop, are outside too.
    """

    kind: Literal["mask"] = "mask"
    keep: Region
    """What stays as it is."""
    fill: tuple[Level, Level, Level]
    """Red, green and blue of all else."""
    min_share: Share
    """Of the image's pixels, that must be kept; below it the answer is `otherwise`."""


class CropJoin(_Join):
    """The last stage sees squares that hold enough skin and enough lesion, each by itself.

    The squares are those of `es_find_crops`: more than `min_skin` of the pixels are skin or
    lesion, more than `min_lesion` are lesion, most lesion first. What the last stage says of
    them is averaged.
    """

    kind: Literal["crop"] = "crop"
    skin: Region
    """Healthy skin; lesions count as skin without being named."""
    lesion: Region
    """What the squares are chosen for."""
    side_shares: tuple[Annotated[Real, Field(gt=0, le=1)], ...] = ()
    """Sides of the squares as shares of the shorter edge, rounded; the first that fits is taken."""
    sides: tuple[Annotated[Whole, Field(ge=1)], ...] = ()
    """In place of `side_shares`: in pixels, at most the shorter edge."""
    step_share: Annotated[Real, Field(gt=0, le=1)]
    """From one square to the next, as a share of the side; at least one pixel."""
    min_skin: Share
    """Of a square's pixels, that skin and lesion must exceed."""
    min_lesion: Share
    """Of a square's pixels, that lesion must exceed."""
    max_overlap: Share
    """Of a square's pixels, that it may share with a better one."""
    most: Whole = Field(ge=1, le=MOST_CROPS)
    """How many squares are looked at."""
    combine: Literal["mean"] = "mean"
    """How the last stage's decoded outputs become one answer: probabilities are averaged."""

    @model_validator(mode="after")
    def _one_kind_of_side(self) -> Self:
        if bool(self.side_shares) == bool(self.sides):
            raise ValueError(
                f"side_shares {self.side_shares} and sides {self.sides}: give one of the two"
            )
        return self


Join = Annotated[MaskJoin | CropJoin, Field(discriminator="kind")]


class Stage(Strict):
    """One network of a pipeline: a file or run folder beside `pipeline.json`."""

    name: Name
    """What results call it."""
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Its name in the folder."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the file, or of all files of the folder."""


class _Described(Strict):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the pipeline; its folder is called after it."""
    task: str
    """What it is for."""
    intended_use: str
    """What it was made for, in words for a person."""
    limits: str = ""
    """Where it is known to fail, and what it has never seen."""
    join: Join
    """What the last stage sees of the first one's answer."""


class PipelineSpec(_Described):
    """`pipeline.json`."""

    version: Version = 1
    """Of this format."""
    license: str
    """What the weights of all stages may be used for."""
    stages: tuple[Stage, Stage]
    """In the order in which they run."""

    @property
    def names(self) -> tuple[str, str]:
        """Of the first and the last stage."""
        return self.stages[0].name, self.stages[1].name

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        first, last = self.stages
        if first.name == last.name or first.file == last.file:
            raise ValueError(f"both stages are '{first.name}' in '{first.file}'; each has its own")
        return self


class Rules(_Described):
    """How a kind of pipeline joins, before there are networks: a TOML file."""

    license: str = ""
    """By default what the stages say."""
    stages: tuple[Name, Name]
    """Names of the stages, in the order in which they run."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if self.stages[0] == self.stages[1]:
            raise ValueError(f"both stages are called '{self.stages[0]}'; each has its own name")
        return self

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], *, where: str) -> Self:
        """The rules of a parsed TOML file; `where` names it.

        Raises:
            InvalidSpec: A field that is missing, unknown, or does not fit.
        """
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise InvalidSpec(f"{where}: {first_problem(error)}") from error
