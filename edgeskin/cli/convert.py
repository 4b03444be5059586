"""`edgeskin convert`: a run or a program becomes files for phones and Jetsons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json


def convert(
    source: Annotated[Path, typer.Argument(help="A run (fp32, fp16), or a .pt2 program (int8).")],
    out: Annotated[Path, typer.Option(help="Folder for the files and manifest.json.")],
    target: Annotated[str, typer.Option(help="tflite, coreml, onnx, or all.")] = "all",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16, int8, or all. [fp32; a program: int8]")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Images to calibrate a run with, for int8.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Calibration images.")] = 256,
    io: Annotated[
        str, typer.Option(help="app: pixels in, values out. tensor: the bare network.")
    ] = "app",
    timeout: Annotated[float, typer.Option(help="Seconds for each conversion.")] = 900.0,
    force: Force = False,
    json: Json = False,
) -> None:
    """Convert to TFLite, Core ML and ONNX, each in a process of its own, side by side."""
    from edgeskin.converters.from_source import convert_source

    with console.progress() as tell:
        artifacts = convert_source(
            source,
            out,
            target=target,
            precision=precision,
            data=data,
            samples=samples,
            io=io,
            timeout_s=timeout,
            force=force,
            tell=tell,
        )
    if json:
        console.emit([{**vars(a), "path": str(a.path)} for a in artifacts])
        return
    rows = []
    for a in artifacts:
        sqnr = a.parity.get("sqnr_db")
        agreement = a.parity.get("not_run") or ("exact" if sqnr is None else f"{sqnr:.1f}")
        rows.append((a.path.name, f"{a.size_bytes / 1e6:.2f}", f"{a.conversion_s:.1f}", agreement))
    console.table(str(out), ("file", "MB", "seconds", "SQNR dB against its source"), rows)
