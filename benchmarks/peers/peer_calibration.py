"""What calibration costs and gives: edgeskin's methods beside NNCF, on the same images.

Each method runs `edgeskin calibrate` in a process of its own, start and imports
included. NNCF's is its range estimation and fast bias correction on edgeskin's
quantizer; every program is then judged against float PyTorch on test images.
"""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeskin.benchmarks.peers.builds import Failure, Tell, brief, tool_versions
from edgeskin.benchmarks.peers.setting import RunIdentity, Setting, machine
from edgeskin.calibration.schemes import check_method, find_scheme
from edgeskin.data.manifest import load_split
from edgeskin.document import Document
from edgeskin.metrics import sqnr_db
from edgeskin.models.run import Run, load_run

TEST_IMAGES = 64


class Cost(Document):
    """Seconds on the clock, and of CPU over all threads."""

    wall_s: float
    cpu_s: float


class MethodResult(Cost):
    """What one method costs, and the SQNR of each raw head, in dB."""

    sqnr_db: dict[str, float]


class CalibrationResult(Setting):
    """Each method, and what the float network alone costs on as many images."""

    load_before: builtins.float
    float: Cost
    methods: dict[str, MethodResult | Failure]


def measure(
    source: Path, data: Path, samples: int, methods: Sequence[str], tell: Tell
) -> CalibrationResult:
    """Calibrate by each method; SQNR is over `TEST_IMAGES` images of the test split.

    Raises:
        UnknownName: A method is not in `METHODS`.
    """
    for method in methods:
        check_method(method, find_scheme("w8a8"))
    run, test = load_run(source), load_split(data, "test").take(TEST_IMAGES)
    pixels = test.pixels(run.spec.input)
    results: dict[str, MethodResult | Failure] = {}
    with tempfile.TemporaryDirectory(prefix="edgeskin-calibration-") as scratch:
        for method in methods:
            tell(f"calibrating by {method}")
            program = Path(scratch) / f"{method}.pt2"
            cost = _calibrate(source, data, samples, method, program)
            if isinstance(cost, Failure):
                results[method] = cost
            else:
                agreement = _agreement(run, program, pixels)
                results[method] = MethodResult(**dict(cost), sqnr_db=agreement)
    return CalibrationResult(
        run=RunIdentity(name=source.name, sha256=run.sha256),
        data=data.resolve().name,
        calibration_images=samples,
        test_images=len(test),
        machine=machine(),
        load_before=round(os.getloadavg()[0], 2),
        tools=tool_versions(),
        float=_float_cost(run, load_split(data, "train").take(samples).pixels(run.spec.input)),
        methods=results,
    )


def _float_cost(run: Run, pixels: Any) -> Cost:
    """Wall and CPU seconds of the float network, image by image."""
    import torch

    images = _normalized(run, pixels)
    before, started = time.process_time(), time.monotonic()
    with torch.inference_mode():
        for image in images:
            run.network(image[None])
    return Cost(
        wall_s=round(time.monotonic() - started, 1),
        cpu_s=round(time.process_time() - before, 1),
    )


def _normalized(run: Run, pixels: Any) -> Any:
    """uint8 (N, H, W, 3) as the network takes them, float32 (N, 3, H, W)."""
    import torch

    from edgeskin.models.app_model import AppModel

    return AppModel(torch.nn.Identity(), run.spec).normalize(torch.from_numpy(pixels)).contiguous()


def _calibrate(
    source: Path, data: Path, samples: int, method: str, program: Path
) -> Cost | Failure:
    command = [sys.executable, "-P", "-m", "edgeskin.cli.main", "calibrate", str(source)]
    command += ["--data", str(data), "--out", str(program), "--samples", str(samples)]
    before, started = os.times(), time.monotonic()
    done = subprocess.run(
        [*command, "--method", method], capture_output=True, text=True, check=False
    )
    wall, after = time.monotonic() - started, os.times()
    if done.returncode != 0:
        return Failure(failed=brief(done.stderr.strip().splitlines()[-1]))
    busy = after.children_user + after.children_system
    return Cost(
        wall_s=round(wall, 1),
        cpu_s=round(busy - before.children_user - before.children_system, 1),
    )


def _agreement(run: Run, program: Path, pixels: Any) -> dict[str, float]:
    """SQNR in dB of each raw head, the program's graph against the float network."""
    import torch

    from edgeskin.calibration.program import load_program

    module = load_program(program).module
    with torch.inference_mode():
        pairs = [(run.network(x[None]), module(x[None])) for x in _normalized(run, pixels)]
    return {
        head.name: round(
            sqnr_db(*(torch.cat([pair[i][at] for pair in pairs]).numpy() for i in (0, 1))), 2
        )
        for at, head in enumerate(run.spec.heads)
    }


def table(result: CalibrationResult) -> str:
    """A Markdown table, one method a line."""
    lines = ["| method | wall, s | CPU, s | SQNR of the worst head, dB |", "|---|---|---|---|"]
    alone = result.float
    lines.append(f"| the float network alone | {alone.wall_s} | {alone.cpu_s} | |")
    for method, entry in result.methods.items():
        if isinstance(entry, Failure):
            lines.append(f"| {method} | failed: {entry.failed} | | |")
        else:
            worst = min(entry.sqnr_db.values())
            lines.append(f"| {method} | {entry.wall_s} | {entry.cpu_s} | {worst:.1f} |")
    return "\n".join(lines)
