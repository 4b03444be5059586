"""`edgeskin bench`: artifacts on devices, by the native runner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edgeskin.cli import console
from edgeskin.cli.options import Force, Json


def bench(
    artifacts: Annotated[list[Path], typer.Argument(help=".tflite and .onnx files.")],
    pack: Annotated[Path, typer.Option(help="A pack of the model they were made from.")],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    device: Annotated[
        str,
        typer.Option(help="host, adb:SERIAL, ssh:USER@HOST[:PORT] or emulated:CPU"),
    ] = "host",
    protocol: Annotated[
        str, typer.Option(help="quick, standard, sustained, or none (accuracy only).")
    ] = "standard",
    accelerator: Annotated[
        str | None,
        typer.Option(
            help="tflite: xnnpack, none, gpu, external; onnx: none, xnnpack, cuda, tensorrt."
        ),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE of the accelerator; may be repeated.")
    ] = None,
    library: Annotated[Path | None, typer.Option(help="Your own build of the runtime.")] = None,
    accelerator_library: Annotated[
        Path | None, typer.Option(help="Of a gpu or external delegate.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    force: Force = False,
    json: Json = False,
) -> None:
    """Run artifacts on a device: what it computes, how fast, and why not to believe it."""
    from edgeskin.benchmarks.bench import Choice, bench_all
    from edgeskin.benchmarks.devices import open_device
    from edgeskin.benchmarks.pack import read
    from edgeskin.benchmarks.protocol import protocol_named
    from edgeskin.errors import UnknownName

    options = dict(text.partition("=")[::2] for text in option or ())
    if "" in options or "" in options.values():
        raise UnknownName("an --option is KEY=VALUE")
    wanted = None if protocol == "none" else protocol_named(protocol)
    choice = Choice(library, accelerator, accelerator_library, options, threads)
    with open_device(device) as there, console.progress() as tell:
        documents = bench_all(
            artifacts,
            read(pack),
            there,
            out,
            protocol=wanted,
            choice=choice,
            force=force,
            tell=tell,
        )
    if json:
        console.emit({"results": documents})
        return
    console.table(
        f"{device}, {len(documents)} artifacts; every sample is in {out}",
        ("artifact", "p50 ms", "p90 ms", "p99 ms", "cold load ms", "peak MB", "equal decisions %"),
        [_row(document) for document in documents],
    )
    for document in documents:
        for doubt in document.get("doubts", ()):
            print(f"{document['artifact']['name']}: {doubt}")


def _row(document: dict[str, Any]) -> tuple[str, ...]:
    equal = min(document["accuracy"]["equal_decisions"].values(), default=float("nan"))
    latency = document.get("latency")
    times = ("",) * 5
    if latency:
        run = latency["summary"]["run"]
        times = (
            *(f"{run[key]:.3f}" for key in ("p50_ms", "p90_ms", "p99_ms")),
            f"{latency['loads'][0]['load_ms']:.1f}",
            f"{max(latency['memory_kb'].values()) / 1000:.1f}",
        )
    return (document["artifact"]["name"], *times, f"{100 * equal:.2f}")
