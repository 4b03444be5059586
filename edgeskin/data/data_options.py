"""How a data source is to be read where its own words do not say so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from edgeskin.errors import InvalidData, UnknownName

Layout = Literal["auto", "images", "classes", "table", "masks", "coco", "datasets"]
BadImages = Literal["refuse", "skip"]


@dataclass(frozen=True)
class DataOptions:
    """What a person says of a data source; all of it may be left out.

    Attributes:
        layout: What lies there; `auto` looks. `images` takes every image below a folder
            without labels, even where its folders look like classes.
        file_column: Of a table: the column of the images' paths.
        label_columns: `HEAD=COLUMN` for a head, or `COLUMN` for a model with one head.
        split_column: Of a table: the column with train, val or test.
        group_column: The column that names the person: nobody is in two splits.
        mask_column: Of a table: the column of the masks' paths.
        image_dir: The folder that a table's paths, or a COCO file's, start from.
        seed: Of the splits that are made where the source has none.
        bad_images: `refuse` them with their number and the first name, or `skip` them.
    """

    layout: Layout = "auto"
    file_column: str | None = None
    label_columns: tuple[str, ...] = ()
    split_column: str | None = None
    group_column: str | None = None
    mask_column: str | None = None
    image_dir: Path | None = None
    seed: int = 0
    bad_images: BadImages = "refuse"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("layout", self.layout, get_args(Layout)),
            ("way with bad images", self.bad_images, get_args(BadImages)),
        ):
            if value not in known:
                raise UnknownName(f"no {what} '{value}'; there are {', '.join(known)}")
        heads = [text.partition("=")[0] for text in self.label_columns if "=" in text]
        if len(self.label_columns) > 1 and len(set(heads)) < len(self.label_columns):
            raise InvalidData(
                f"label columns {', '.join(self.label_columns)}: where there are several, each is "
                "HEAD=COLUMN, and a head has one"
            )

    def column_of(self, head: str, *, alone: bool) -> str | None:
        """The label column that was named for a head; `alone` where the model has no other.

        Raises:
            InvalidData: A column was named without a head, and the model has several.
        """
        for text in self.label_columns:
            name, equals, column = text.partition("=")
            if equals and name == head:
                return column
            if not equals and alone:
                return text
            if not equals:
                raise InvalidData(
                    f"the model has several heads: write --label-column {head}={text}, or that of "
                    f"another head in place of '{head}'"
                )
        return None

    @property
    def named_columns(self) -> tuple[str, ...]:
        """Every column that was named, to be looked for in the table."""
        labels = (text.partition("=")[2] or text for text in self.label_columns)
        others = (self.file_column, self.split_column, self.group_column, self.mask_column)
        return tuple(name for name in (*labels, *others) if name)
