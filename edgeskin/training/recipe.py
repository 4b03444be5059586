"""How a network is trained: every number in one place, read from a TOML file.

A recipe that comes with edgeskin, a file in `recipes`, is known by its name (`acne_lite0`). It
names its task and network too, and may have a table `[qat]` for `edgeskin qat`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from edgeskin.errors import InvalidSpec, UnknownName

FOLDER = Path(__file__).parent / "recipes"
"""The recipes that come with edgeskin."""
QAT = "qat"
Precision = Literal["auto", "32-true", "bf16-mixed"]
"""Of a training's arithmetic, as Fabric names it; `auto` is the faster one of the machine."""


class Training(BaseModel):
    """What every kind of training sets: how long, how fast, on which variations of the images.

    `balanced` draws the classes of the first labelled classification equally often. `zoom` is
    the most that a crop is enlarged by at random, a share of its size. `precision` `auto` is
    bfloat16 on a CPU that multiplies in it, else float32.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = Field(default=30, ge=1)
    batch_size: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    weight_decay: float = Field(default=5e-4, ge=0)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    average_decay: float = Field(default=0.99, ge=0, lt=1)
    rotation_deg: float = Field(default=20.0, ge=0, le=180)
    zoom: float = Field(default=0.0, ge=0, le=1)
    color_jitter: float = Field(default=0.1, ge=0, le=0.5)
    precision: Precision = "auto"
    balanced: bool = False
    seed: int = 0
    loss_options: dict[str, float | str] = Field(default_factory=dict)

    @classmethod
    def load(
        cls, path: Path | None, defaults: Mapping[str, Any] | None = None, **overrides: Any
    ) -> Self:
        """Read a TOML file over a task's `defaults`; overrides that are not None win."""
        document: dict[str, Any] = dict(defaults or {})
        if path is not None:
            document |= cls.settings(read_recipe(path))
        document |= {key: value for key, value in overrides.items() if value is not None}
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(str(part) for part in problem["loc"]) or "settings"
            raise InvalidSpec(f"recipe: {place}: {problem['msg']}") from error

    @classmethod
    def settings(cls, document: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """The part of a recipe's document that is meant for this kind of training."""
        return {name: value for name, value in document.items() if name != QAT}


class Recipe(Training):
    """Training settings; the defaults are those of the acne system on a mobile network.

    `size` and `resize_to` are pixels: images are scaled to `resize_to`, then a
    random `size` crop is trained on and the centre crop predicted on. `squash` and `letterbox`
    leave no room for a crop and see the whole image, as masks must. `arch_options` are the
    network's own settings, `head_options` the task's. `frozen` trains the heads alone, on the
    features of a network that stays as it was. `fit_temperature` divides the logits
    of distributions by what fits the held-out images best, so that their spread can be believed.
    """

    task: str = ""
    arch: str = ""
    summary: str = ""
    size: int = Field(default=224, ge=32, le=1024)
    resize: Literal["shortest_edge", "squash", "letterbox"] = "shortest_edge"
    resize_to: int = Field(default=256, ge=32, le=1024)
    pretrained: bool = True
    frozen: bool = False
    fit_temperature: bool = False
    arch_options: dict[str, JsonValue] = Field(default_factory=dict)
    head_options: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.resize_to < self.size:
            raise ValueError(f"resize_to ({self.resize_to}) must be at least size ({self.size})")
        return self


def recipes() -> dict[str, Path]:
    """The recipes that come with edgeskin, by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def find_recipe(name: str) -> Path:
    """The file of a recipe, given by its name or its path.

    Raises:
        UnknownName: Neither a file nor a recipe of ours.
    """
    if name in (ours := recipes()):
        return ours[name]
    if (path := Path(name)).suffix == ".toml" or path.exists():
        return path
    raise UnknownName(f"no recipe '{name}'; name a .toml file, or one of {', '.join(ours)}")


def read_recipe(path: Path) -> dict[str, JsonValue]:
    """The settings in a TOML file, not validated yet.

    Raises:
        InvalidSpec: Missing, unreadable, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidSpec(f"the recipe {path} is missing") from error
    except OSError as error:
        raise InvalidSpec(f"cannot read the recipe {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSpec(f"the recipe {path} is not TOML: {error}") from error
