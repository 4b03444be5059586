"""`edgeskin convert`: a run or a program becomes files for phones and Jetsons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json, MaybeData, Trust, takes_data
from edgeskin.cli.spec_options import Answers, InputSize, size, takes_answers
from edgeskin.destinations import CPU

if TYPE_CHECKING:
    from edgeskin.artifacts import Artifact
    from edgeskin.conversion import Tried

CONVERSION_DB = (
    "conversion dB: signal to noise of the file against what it was converted from (int8: its "
    "program). What quantization costs against the float model, edgeskin verify measures."
)


MaxPartitions = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Of what --for names: count a file as done that is taken in at most so many parts, "
        "the rest on the CPU; else the whole.",
    ),
]


@takes_answers
@takes_data
def convert(
    source: Annotated[
        str,
        typer.Argument(
            help="A run (fp32, fp16), a program (int8), a pipeline of runs, or a file or name that "
            "`import` takes."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the files and manifest.json.")],
    answers: Answers,
    target: Annotated[str, typer.Option(help="tflite, coreml, onnx, or all.")] = "all",
    precision: Annotated[
        str | None, typer.Option(help="fp32, fp16, int8, or all; else fp32, of a program int8.")
    ] = None,
    data: MaybeData = None,
    samples: Annotated[int, typer.Option(help="Calibration images.")] = 256,
    io: Annotated[
        str, typer.Option(help="app: pixels in, values out. tensor: the bare network.")
    ] = "app",
    timeout: Annotated[float, typer.Option(help="Seconds for each conversion.")] = 900.0,
    timing: Annotated[
        bool,
        typer.Option(
            help="Time INT8 files against float, exit 1 if one is slower; and files --for cpu and "
            "others against those for cpu alone."
        ),
    ] = True,
    destinations: Annotated[
        str,
        typer.Option(
            "--for",
            help="Where it will run: cpu, snapdragon[:CHIP], gpu, tensorrt, ane, or several, "
            "divided by commas; tried on their compilers where those are here.",
        ),
    ] = "cpu",
    max_partitions: MaxPartitions = None,
    spec: Annotated[
        Path | None, typer.Option(help="Spec of a model file; else that beside it, or guessed.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Of a network by name: its state dict.")
    ] = None,
    input_size: InputSize = None,
    force: Force = False,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Convert to TFLite, Core ML and ONNX, each in a process of its own, side by side."""
    from edgeskin.calibration.options import CalibrationOptions
    from edgeskin.converters.from_source import convert as run
    from edgeskin.converters.options import ConversionOptions
    from edgeskin.destinations import split_destinations
    from edgeskin.errors import PartlyConverted

    options = ConversionOptions(
        io=cast(Any, io),
        timing=timing,
        destinations=split_destinations(destinations),
        timeout_s=timeout,
        calibration=CalibrationOptions(samples=samples),
    )
    _check_sdk(target, options.destinations)
    failures: list[str] = []
    try:
        with console.progress() as progress:
            artifacts = run(
                source,
                out,
                target=cast(Any, target),
                precision=cast(Any, precision),
                data=data,
                options=options,
                spec=spec,
                weights=weights,
                input_size=size(input_size),
                answers=answers,
                say=console.say,
                force=force,
                trust=trust,
                progress=progress,
            )
    except PartlyConverted as partly:
        artifacts, failures = partly.artifacts, partly.failures
    artifacts = _tried(artifacts, options.destinations, max_partitions)
    if json:
        console.emit([artifact.to_json() for artifact in artifacts])
    else:
        columns = ("file", "MB", "seconds", "conversion dB", "ms (fp32)")
        console.table(str(out), columns, [_row(a) for a in artifacts])
        print(CONVERSION_DB)
    for line in dict.fromkeys(line for a in artifacts for line in a.warnings):
        console.say(f"edgeskin: {line}")
    refused = False
    for artifact in artifacts:
        console.remark(cost_on_cpu(artifact))
        for destination, tried in (artifact.tried or {}).items():
            line = told(artifact.path, destination, tried)
            refused |= tried.accepted is False
            (console.error if tried.accepted is False else console.remark)(line)
    slower = [a for a in artifacts if a.speed and a.speed.slower]
    for artifact in slower:
        console.error(slower_than_float(artifact))
    for failure in failures:
        console.error(failure)
    if failures or refused or any(a.speed and a.speed.for_speed for a in slower):
        raise typer.Exit(1)


def _check_sdk(target: str, destinations: tuple[str, ...]) -> None:
    """Refuse an SDK of the user's before the minutes that a conversion takes."""
    from edgeskin.destinations import DESTINATIONS, find_destination
    from edgeskin.snapdragon import qnn, sdk

    wanted = [find_destination(text).destination for text in destinations]
    if DESTINATIONS["snapdragon"] in wanted and sdk.own_sdk() and target in ("onnx", "all"):
        qnn.backend()


def _tried(
    artifacts: list[Artifact], destinations: tuple[str, ...], max_partitions: int | None
) -> list[Artifact]:
    """The artifacts with what the compilers of their destinations make of them."""
    from edgeskin.verbs import try_all

    with console.progress() as progress:
        return try_all(artifacts, destinations, max_partitions=max_partitions, progress=progress)


def told(path: Path, destination: str, tried: Tried) -> str:
    """What a destination's compiler made of a file, in a line."""
    if tried.whole is None:
        return f"{path.name} was not tried for {destination}: {tried.reason}"
    if tried.reason:
        return f"{path.name} is refused by {destination}: {tried.reason}"
    count = "" if tried.taken is None else f" ({tried.taken} operators)"
    if tried.whole:
        return f"{path.name} is taken whole by {destination}{count}, by {tried.by}"
    left = tried.left_in_words
    if tried.accepted:
        return (
            f"{path.name} is taken in {tried.partitions} parts by {destination}{count}, by "
            f"{tried.by}: on the CPU are left {left}{_because(tried)}"
        )
    line = f"{path.name} is not taken whole by {destination}: on the CPU are left {left}"
    if tried.partitions is not None:
        line += f"; the rest is {tried.partitions} parts{_allowed(tried.max_partitions)}"
    elif tried.max_partitions:
        line += "; its parts are not counted"
    return line + _because(tried)


_MOST_REASONS = 3


def _because(tried: Tried) -> str:
    """Why the first ones are left; the rest of a long list is in `--json`."""
    reasons = list(tried.left_because[:_MOST_REASONS])
    if more := len(tried.left_because) - len(reasons):
        reasons.append(f"and {more} more, in --json")
    return f" ({'; '.join(reasons)})" if reasons else ""


def _allowed(max_partitions: int | None) -> str:
    return "" if max_partitions is None else f", and --max-partitions allows {max_partitions}"


def cost_on_cpu(artifact: Artifact) -> str | None:
    """What it costs on this CPU that a file is for other processors too; None of other files."""
    if not artifact.portable or CPU not in artifact.destinations:
        return None
    cost = artifact.cpu_cost
    what = f"{artifact.path.name}, for {' and '.join(artifact.destinations)},"
    if cost is None or cost.not_run:
        reason = "--no-timing" if cost is None else cost.not_run
        return f"{what} was not timed beside a file for the CPU alone: {reason}"
    if cost.same:
        return f"{what} is the same file as for the CPU alone"
    assert cost.p50_ms is not None
    assert cost.ratio is not None
    median, ratio = cost.p50_ms, cost.ratio
    return (
        f"{what} takes {ratio.value:.2f} times the time of one for the CPU alone here "
        f"({median['several']:.2f} and {median['alone']:.2f} ms, 95 % interval {ratio.low:.2f} to "
        f"{ratio.high:.2f}; {cost.runtime}, one thread, {cost.machine})"
    )


def _row(artifact: Artifact) -> tuple[str, ...]:
    sqnr = artifact.parity.sqnr_db if artifact.parity else None
    agreement = "exact" if sqnr is None else f"{sqnr:.1f}"
    median = artifact.speed.p50_ms if artifact.speed else None
    return (
        artifact.path.name,
        f"{artifact.size_bytes / 1e6:.2f}",
        "" if artifact.compiled else f"{artifact.conversion_s:.1f}",
        "" if artifact.compiled else agreement,
        f"{median['int8']:.2f} ({median['fp32']:.2f})" if median else "",
    )


def slower_than_float(artifact: Artifact) -> str:
    """What was measured, and what to do: take another precision, or measure elsewhere."""
    speed = artifact.speed
    assert speed is not None
    assert speed.p50_ms is not None
    assert speed.ratio is not None
    median, ratio = speed.p50_ms, speed.ratio
    advice = f"Use --precision {speed.advice}."
    if artifact.portable:
        advice = "It is for other processors: measure it there."
    return (
        f"{artifact.path.name} is slower than float here: {median['int8']:.2f} ms, fp32 "
        f"{median['fp32']:.2f} ms, fp16 {median['fp16']:.2f} ms ({ratio.value:.2f} times fp32, "
        f"95 % interval {ratio.low:.2f} to {ratio.high:.2f}; {speed.runtime}, one "
        f"thread, {speed.machine}). {advice}"
    )
