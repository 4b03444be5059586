"""The zoo, network by network: each in processes of its own, with a limit of time.

`OUT/NAME.json` is what is known of a network, `OUT/NAME.samples.json` every time that was
measured. A network whose record is there is not measured again.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeskin.benchmarks.peers.builds import (
    PEERS,
    Failure,
    Tell,
    run_process,
    tool_versions,
)
from edgeskin.benchmarks.peers.int8 import ratios
from edgeskin.benchmarks.peers.peer_timing import Answer, Request, TimedFile
from edgeskin.benchmarks.peers.setting import machine
from edgeskin.benchmarks.peers.zoo_documents import (
    PRECISIONS,
    STOCK,
    TARGETS,
    ZooFile,
    ZooRecord,
    ZooResult,
    ZooTiming,
    blank,
)
from edgeskin.benchmarks.peers.zoo_networks import ZooNetwork
from edgeskin.files import write_json
from edgeskin.formats import FORMATS

ROUNDS, WARM_UP = 100, 5
TIMING_S = 6.0
"""What the rounds of a runtime may take: slow networks have fewer."""
TIMING_LIMIT_S = 300.0
"""After which timing is ended: a runtime that hangs."""


@dataclass(frozen=True)
class ZooOptions:
    """What is measured of each network; `limit_s` seconds for its run, program and files."""

    limit_s: float = 600.0
    stock: bool = True
    timing: bool = True
    keep: bool = False
    """Keep the models' files, not the records alone."""

    @property
    def asked(self) -> tuple[str, ...]:
        return tuple(name for name in ("stock", "timing") if getattr(self, name))


def sweep(networks: Sequence[ZooNetwork], out: Path, options: ZooOptions, tell: Tell) -> ZooResult:
    """Measure what is not in `out` yet; the records of `networks` in their order."""
    out.mkdir(parents=True, exist_ok=True)
    records = []
    for number, network in enumerate(networks, 1):
        record = read_record(out / f"{network.name}.json")
        if record is None or not set(options.asked) <= set(record.asked):
            tell(f"{number}/{len(networks)} {network.name}")
            record = _measure(network, out, options)
        records.append(record)
    return ZooResult(machine=machine(), tools=tool_versions(), networks=tuple(records))


def read_record(path: Path) -> ZooRecord | None:
    """The record of a network that was measured to the end; None where there is none."""
    if not path.is_file():
        return None
    return ZooRecord.from_json(path.read_text(encoding="utf-8"), where=path.name)


def _measure(network: ZooNetwork, out: Path, options: ZooOptions) -> ZooRecord:
    started, folder = time.monotonic(), out / network.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    record = _files(network, folder, out / f"{network.name}.log", options)
    if options.timing and record.failed is None:
        record = _timing(record, folder, out / f"{network.name}.samples.json")
    seconds = round(time.monotonic() - started, 1)
    record = record.model_copy(update={"asked": options.asked, "seconds": seconds})
    write_json(out / f"{network.name}.json", record.to_json())
    if not options.keep:
        shutil.rmtree(folder)
    return record


def _files(network: ZooNetwork, folder: Path, log: Path, options: ZooOptions) -> ZooRecord:
    """The run, the program and its files; what a crash or the limit kept from being made."""
    path = folder / "record.json"
    arguments = [f"{PEERS}.zoo_files", network.name, str(folder), str(path)]
    arguments += ["stock"] if options.stock else []
    problem = run_process(arguments, log, timeout_s=options.limit_s)
    record = read_record(path) or blank(network)
    return _with_losses(record, problem, options) if problem else record


def _with_losses(record: ZooRecord, problem: str, options: ZooOptions) -> ZooRecord:
    """`record` with `problem` in the place of the first file that is not there."""
    if record.program is None:
        return record.model_copy(update={"failed": record.failed or problem})
    wanted = [f"{target}-{precision}" for precision in PRECISIONS for target in TARGETS]
    wanted += [f"{target}-stock" for target in STOCK] if options.stock else []
    missing = [key for key in wanted if key not in record.files]
    reasons = [problem, *["not reached"] * len(missing)]
    losses = {key: Failure(failed=why) for key, why in zip(missing, reasons, strict=False)}
    return record.model_copy(update={"files": {**record.files, **losses}})


def _timing(record: ZooRecord, folder: Path, samples: Path) -> ZooRecord:
    """Our INT8 file beside our float one and the stock one, for each runtime that is here."""
    timing: dict[str, ZooTiming | Failure] = {}
    raw = {}
    for target, stock in STOCK.items():
        paths = {
            "float": folder / FORMATS[target].file_name("network", "fp32"),
            "stock": folder / stock,
            "edgeskin": folder / FORMATS[target].file_name("network", "int8"),
        }
        keys = {"float": "fp32", "stock": "stock", "edgeskin": "int8"}
        made = {
            name: path
            for name, path in paths.items()
            if isinstance(record.files.get(f"{target}-{keys[name]}"), ZooFile)
        }
        if {"float", "edgeskin"} <= set(made):
            timing[target], answer = _time(made, folder)
            raw[target] = answer.to_json()
    samples.write_text(json.dumps(raw), encoding="utf-8")
    return record.model_copy(update={"timing": timing})


def _time(files: dict[str, Path], folder: Path) -> tuple[ZooTiming | Failure, Answer]:
    load = round(os.getloadavg()[0], 2)
    asked = Request(
        files=files,
        samples=folder / "samples.npz",
        rounds=ROUNDS,
        warmup=WARM_UP,
        most_s=TIMING_S,
    )
    with tempfile.TemporaryDirectory() as scratch:
        request, answer = Path(scratch, "request.json"), Path(scratch, "answer.json")
        write_json(request, asked.to_json())
        arguments = [f"{PEERS}.peer_timing", str(request), str(answer)]
        problem = run_process(arguments, folder / "timing.log", timeout_s=TIMING_LIMIT_S)
        if problem:
            return Failure(failed=problem), Answer(builds={})
        builds = Answer.from_json(answer.read_text()).builds
    timed = {name: found for name, found in builds.items() if isinstance(found, TimedFile)}
    ours = builds["edgeskin"]
    if isinstance(ours, Failure):
        return ours, Answer(builds=builds)
    timing = ZooTiming(
        load=load,
        rounds=len(ours.cpu_ms),
        p50_ms={name: found.p50_ms for name, found in timed.items()},
        ratios={name.removeprefix("to_"): ratio for name, ratio in ratios(builds).items()},
        operators=ours.operators,
    )
    return timing, Answer(builds=builds)
