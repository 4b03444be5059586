"""Conversions in a process of their own: `python -m edgeskin.converters.worker`.

A request is one JSON line on standard input, which the parent then holds open: the worker
takes one after the other, and when it closes, the parent is gone and so is the worker. An
answer is a JSON file, so that whatever native code prints does no harm; that goes to a log.
"""

from __future__ import annotations

import gc
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeskin.conversion import Conversion, CpuCost, SelfCheck, Speed
from edgeskin.errors import ConversionFailed, EdgeskinError
from edgeskin.processes import lines_of_parent, write_answer

if TYPE_CHECKING:
    from torch import nn

    from edgeskin.converters.model import Job
    from edgeskin.converters.source import Loaded
    from edgeskin.formats.model_audit import Audit

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Request:
    """One conversion that is asked of a worker process.

    `answer` is the file for its result, `log` that for whatever it prints.
    """

    source: str
    target: str
    precision: str
    io: str
    path: str
    answer: str
    log: str
    threads: int
    timing: bool = False
    float_source: str = ""
    """The run that a program may have been calibrated from, for its time beside INT8."""
    trust: bool = False
    """Run the code that a run names, whoever wrote it."""
    portable: bool = False
    """Leave out rewrites that only this machine's CPU gains by."""
    cpu_cost: bool = False
    """Time it beside a file that has them."""

    def to_line(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"


@dataclass
class Common:
    """What the files that one worker makes have in common."""

    loaded: dict[tuple[Path, bool], Loaded] = field(default_factory=dict)
    made: dict[Any, Any] = field(default_factory=dict)
    """Of `Job.once`."""

    def load(self, path: Path, *, trust: bool) -> Loaded:
        """As the source at `path` loads; the same object each time."""
        from edgeskin.converters.source import find_source

        if (path, trust) not in self.loaded:
            self.loaded[path, trust] = find_source(path).load(trust=trust)
        return self.loaded[path, trust]


def main() -> int:
    gc.disable()  # an eighth of the time
    common = Common()
    for line in lines_of_parent():
        request = Request(**json.loads(line))
        try:
            _print_to(request.log)
            write_answer(Path(request.answer), partial(logged, request, common))
        except OSError as error:  # a full disk: the exit code still gets through
            return error.errno or 1
        gc.collect()
    return 0


def _print_to(log: str) -> None:
    """From here on, whatever Python and native code print goes to the end of the file `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number in (1, 2):
        os.dup2(file, number)
    os.close(file)


def logged(request: Request, common: Common) -> Conversion:
    """As `work`; whatever a converter raises is ConversionFailed, its traceback in the log."""
    try:
        return work(request, common)
    except EdgeskinError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise ConversionFailed(_line(error)) from error


def work(request: Request, common: Common) -> Conversion:
    """Convert, examine, compare."""
    import torch

    from edgeskin.artifacts import Metadata
    from edgeskin.converters.audit.describe import summary
    from edgeskin.converters.model import Job, scales_summary
    from edgeskin.converters.source import find_source
    from edgeskin.files import writing
    from edgeskin.formats import FORMATS

    torch.set_num_threads(request.threads)
    torch.manual_seed(0)
    loaded = common.load(Path(request.source), trust=request.trust)
    metadata = Metadata(
        loaded.spec,
        request.io,  # type: ignore[arg-type]
        request.precision,  # type: ignore[arg-type]
        weights_sha256=loaded.weights_sha256,
    )
    job = Job(loaded.network, metadata, request.portable, common.made)
    target, path = FORMATS[request.target], Path(request.path)
    with writing(Path(path.name)):
        made = target.convert(job, path)
    audit, parity = examine(job, path, loaded.calibration, made)
    started = time.monotonic()
    timed = request.timing and job.int8
    speed = _speed(job, request, loaded, common) if timed else None
    return Conversion(
        source=find_source(Path(request.source)).describe(),
        scales={**loaded.calibration, **scales_summary(job.network)} if job.int8 else None,
        tools={name: _version(name) for name in ("edgeskin", *target.packages)},
        audit=summary(audit),
        parity=parity,
        speed=speed,
        cpu_cost=_cpu_cost(job, request) if request.cpu_cost else None,
        timing_s=time.monotonic() - started,
    )


def examine(
    job: Job, path: Path, calibration: Mapping[str, Any], made: Job | None = None
) -> tuple[Audit, SelfCheck]:
    """The audit of a fresh file, and its agreement with the job it was made from.

    Raises:
        ConversionFailed: It is not what was asked, or computes something else.
    """
    from edgeskin.converters import selfcheck
    from edgeskin.converters.audit import verdict

    return verdict.check(job, path, calibration, made), selfcheck.measure(job, path)


def _speed(job: Job, request: Request, loaded: Loaded, common: Common) -> Speed:
    """Times beside float; a float file that cannot be made is no reason to refuse the INT8 one."""
    from edgeskin.converters import speed

    try:
        path, scheme = Path(request.path), loaded.calibration["scheme"]
        return speed.measure(job, request.target, path, scheme, _trained(request, loaded, common))
    except Exception as error:  # whatever a converter raises: its traceback goes to the log
        traceback.print_exc()
        return Speed(not_run=f"no float file to compare with: {_line(error)}")


def _cpu_cost(job: Job, request: Request) -> CpuCost:
    """As `_speed`, beside a file for the CPU alone."""
    from edgeskin.converters import speed

    try:
        return speed.cpu_cost(job, request.target, Path(request.path))
    except Exception as error:
        traceback.print_exc()
        return CpuCost(not_run=f"there is no file for the CPU alone: {_line(error)}")


def _trained(request: Request, program: Loaded, common: Common) -> nn.Module | None:
    """The network that a program was calibrated from; None where it is not at hand."""
    if not request.float_source:
        return None
    run = common.load(Path(request.float_source), trust=request.trust)
    return run.network if run.weights_sha256 == program.weights_sha256 else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _line(error: BaseException) -> str:
    text = _COLOURS.sub("", str(error)).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
