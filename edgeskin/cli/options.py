"""Options that several commands share, spelled once."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edgeskin.cli import console

if TYPE_CHECKING:
    from edgeskin.calibration.options import CalibrationOptions
    from edgeskin.data.manifest import ImageData

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
if TYPE_CHECKING:  # what a command gets; typer reads the other
    Data = ImageData
    MaybeData = ImageData | None
    DataArgument = ImageData
else:
    _KINDS = (
        "Images: a folder (manifest.csv, a folder a class, beside masks, or alone), a table, COCO "
        "JSON, Parquet, or a folder of Hugging Face datasets."
    )
    Data = Annotated[Path, typer.Option("--data", help=_KINDS)]
    MaybeData = Annotated[Path | None, typer.Option("--data", help=_KINDS)]
    DataArgument = Annotated[Path, typer.Argument(help=_KINDS)]
Split = Annotated[str, typer.Option(help="Split of the data: train, val, test, or all.")]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Layers to leave in float: a pattern as 'blocks.0.*'; may be repeated."),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run the code that a run names, whoever wrote it.")
]
SshConfig = Annotated[
    Path | None, typer.Option("--ssh-config", help="Instead of ~/.ssh/config (ssh -F).")
]


def calibration(
    scheme: str, method: str, samples: int, exclude: list[str] | None, **asked: float | None
) -> CalibrationOptions:
    """The words of the command line as options; what is unknown is refused where it is used."""
    from edgeskin.calibration.options import CalibrationOptions

    return CalibrationOptions(
        cast(Any, scheme), cast(Any, method), samples, tuple(exclude or ()), **asked
    )


def _of_data(
    layout: Annotated[
        str,
        typer.Option(
            help="What lies there, if it is taken for something else: images, classes, table, "
            "masks, coco, datasets.",
            rich_help_panel="Data",
        ),
    ] = "auto",
    file_column: Annotated[
        str | None, typer.Option(help="Column of image paths.", rich_help_panel="Data")
    ] = None,
    label_column: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of labels: COLUMN, or HEAD=COLUMN for each head.", rich_help_panel="Data"
        ),
    ] = None,
    split_column: Annotated[
        str | None, typer.Option(help="Column of train, val, test.", rich_help_panel="Data")
    ] = None,
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Column that names the person: nobody is in two splits.", rich_help_panel="Data"
        ),
    ] = None,
    mask_column: Annotated[
        str | None, typer.Option(help="Column of mask paths.", rich_help_panel="Data")
    ] = None,
    image_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder that paths start from, if not the table's.", rich_help_panel="Data"
        ),
    ] = None,
    split_seed: Annotated[
        int, typer.Option(help="Of splits, where the data have none.", rich_help_panel="Data")
    ] = 0,
    bad_images: Annotated[
        str,
        typer.Option(
            help="Images that cannot be read: refuse, or skip (reads each first).",
            rich_help_panel="Data",
        ),
    ] = "refuse",
) -> Callable[[Path], ImageData]:
    """What the options of a data source make of its path."""
    from edgeskin.data.data_options import DataOptions
    from edgeskin.data.manifest import ImageData

    options = DataOptions(
        layout=cast(Any, layout),
        file_column=file_column,
        label_columns=tuple(label_column or ()),
        split_column=split_column,
        group_column=group_column,
        mask_column=mask_column,
        image_dir=image_dir,
        seed=split_seed,
        bad_images=cast(Any, bad_images),
    )
    return lambda path: ImageData(path, options)


def takes_data(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of a data source, whose `data` they make an `ImageData`.

    What was decided about the data is said on stderr when the command is done.
    """
    own = inspect.signature(command, eval_str=True)
    shared = inspect.signature(_of_data, eval_str=True, locals={"ImageData": object}).parameters

    @wraps(command)
    def with_options(**arguments: Any) -> None:
        opener = _of_data(**{name: arguments.pop(name) for name in shared})
        path = arguments["data"]
        data = None if path is None else opener(path)
        try:
            command(**arguments | {"data": data})
        finally:
            for line in data.remarks if data is not None else ():
                console.remark(line)

    shown_with(with_options, [*own.parameters.values(), *shared.values()])
    return with_options


def shown_with(command: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> None:
    """Let typer see `command` as a function of `parameters`, by name."""
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    vars(command)["__signature__"] = inspect.Signature(keywords)
    command.__annotations__ = {p.name: p.annotation for p in keywords}
