"""`edgeskin bench`: artifacts on devices, by the native runner."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json, SshConfig

if TYPE_CHECKING:
    from edgeskin.benchmarks.accuracy import HostAgreement
    from edgeskin.benchmarks.devices.nvidia import EngineTimes
    from edgeskin.benchmarks.result import BenchResult, EngineRefused


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help=".tflite and .onnx files, or pipelines.")],
    pack: Annotated[Path, typer.Option(help="A pack of the model they were made from.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    device: Annotated[
        list[str] | None,
        typer.Option(
            help="host (the default), adb:SERIAL, ssh:USER@HOST[:PORT], emulated:CPU, "
            "simulated:htp[:CHIP] or simulated:gpu[:fp32]; repeated: several at once."
        ),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="quick, standard, sustained, or none (accuracy only).")
    ] = "standard",
    accelerator: Annotated[
        str | None,
        typer.Option(
            help="xnnpack (the default), none (the runtime's own kernels), reference (its plain "
            "ones), webgpu, gpu or external; ONNX: none, xnnpack, cuda, tensorrt, qnn."
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE of the accelerator; may be repeated.")
    ] = None,
    library: Annotated[Path | None, typer.Option(help="Your own build of the runtime.")] = None,
    accelerator_library: Annotated[
        Path | None, typer.Option(help="Of a gpu or external delegate, or of qnn.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    ssh_config: SshConfig = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run artifacts on devices: what they compute, how fast, and why not to believe it."""
    from edgeskin.benchmarks.setup import Choice
    from edgeskin.verbs import bench as run

    choice = Choice(library, accelerator, accelerator_library, _options(option or []), threads)
    with console.progress() as progress:
        outcomes = run(
            artifacts,
            pack,
            out,
            devices=device or ["host"],
            protocol=protocol,
            choice=choice,
            ssh_config=ssh_config,
            force=force,
            progress=progress,
        )
    failed = [outcome for outcome in outcomes.values() if isinstance(outcome, Exception)]
    results = [r for outcome in outcomes.values() if isinstance(outcome, list) for r in outcome]
    if json:
        documents = [result.to_json() for result in results]
        console.emit({"results": documents, "failed": [str(error) for error in failed]})
    elif results:
        _print(results, out)
    for error in failed[1:]:
        console.error(str(error))
    if failed:
        raise failed[0]


def _options(texts: list[str]) -> dict[str, str]:
    from edgeskin.errors import UnknownName

    options = dict(text.partition("=")[::2] for text in texts)
    if "" in options or "" in options.values():
        raise UnknownName(f"--option {' '.join(texts)}: write KEY=VALUE")
    return options


def _print(results: list[BenchResult], out: Path) -> None:
    columns = ("device", "artifact", "kernels", "p50 ms", "p90 ms", "p99 ms", "load ms", "peak MB")
    title = f"{len(results)} results; every sample is in {out}"
    rows = [row for result in results for row in _rows(result)]
    console.table(title, (*columns, "equal decisions %", "as here dB"), rows)
    for result in results:
        for remark in (
            *_of_pipeline(result),
            *_of_accelerator(result),
            *_of_tensorrt(result.trtexec),
            *(result.doubts or ()),
        ):
            print(f"{result.device.name}, {result.artifact.name}: {remark}")


def _of_accelerator(result: BenchResult) -> list[str]:
    """How much of the file it took, and whether its answers are its own."""
    lines = [f"unverified: {result.unverified}"] if result.unverified else []
    if (found := result.assigned) is None:
        return lines
    line = f"{found.provider} took {'all' if found.whole else 'a part'} of the file"
    if found.operators is not None:
        taken, count = found.operators
        line = f"{found.provider} took {taken} of {count} operators"
    if found.left:
        line += f"; on the CPU: {', '.join(f'{n} {name}' for name, n in found.left.items())}"
    lines[:0] = [line, *found.left_because]
    if result.device.simulated:
        lines.append("simulated: outputs are the accelerator's, times mean nothing")
    return lines


def _of_tensorrt(times: EngineTimes | EngineRefused | None) -> list[str]:
    from edgeskin.benchmarks.result import EngineRefused

    if times is None:
        return []
    if isinstance(times, EngineRefused):
        return [f"TensorRT: {times.error}"]
    return [f"TensorRT by trtexec: p50 {median(times.compute_ms):.3f} ms on the GPU"]


def _rows(result: BenchResult) -> list[tuple[str, ...]]:
    """A row; of a pipeline one for each stage, and one for the end with the sum of its times."""
    from edgeskin.benchmarks.result import PipelineResult

    if not isinstance(result, PipelineResult):
        return [_row(result)]
    rows = [_row(stage) for stage in result.stages.values()]
    device, name, *_, equal, host = _row(result)
    sum_ms = "-" if result.device.emulated else f"{result.whole_p50_ms or 0:.3f}"
    times = ("",) * 5 if result.whole_p50_ms is None else (sum_ms, *("",) * 4)
    return [*rows, (device, name, "", *times, equal, host)]


def _of_pipeline(result: BenchResult) -> list[str]:
    """What the rows do not say: how many answers there are, and the join."""
    from edgeskin.benchmarks.result import PipelineResult

    if not isinstance(result, PipelineResult):
        return []
    device, reference = (result.statuses[name] for name in ("device", "reference"))
    took = [f"{n}: {line}" for n, one in result.stages.items() for line in _of_accelerator(one)]
    return [
        *took,
        f"{device['answered']} of {result.looked_at} images answered, by the float pipeline "
        f"{reference['answered']}; equal statuses {100 * result.equal_statuses:.1f} %",
        f"p50 is the stages' sum, the last one {result.pictures_per_image:.2f} times an image, "
        f"without the join: {result.join.p50_ms:.3f} ms on the {result.join.where}",
    ]


def _row(result: BenchResult) -> tuple[str, ...]:
    shares = result.accuracy.equal_decisions.values()
    equal = f"{100 * min(shares):.2f}" if shares else ""
    times: tuple[str, ...] = ("",) * 5
    if result.device.emulated:  # its times stay in the file: no speed of any device
        times = ("-",) * 5
    elif latency := result.latency:
        run = latency.summary.run
        times = (
            *(f"{ms:.3f}" for ms in (run.p50_ms, run.p90_ms, run.p99_ms)),
            f"{latency.loads[0].load_ms:.1f}",
            f"{max(latency.memory_kb.values()) / 1000:.1f}",
        )
    names = (result.device.name, result.artifact.name, result.engine.accelerator)
    return (*names, *times, equal, _as_here(result.accuracy.host))


def _as_here(host: HostAgreement | None) -> str:
    """SQNR of the output that differs most from this machine's; empty where there is no other."""
    if host is None:
        return ""
    return f"{min(output.sqnr_db for output in host.agreement.values()):.1f}"
