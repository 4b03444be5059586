"""Calibration by NNCF, an optional package: its ranges, its fast bias correction."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import rich
from torch import Tensor
from torch.fx import GraphModule

from edgeskin.calibration.quantizer import EdgeQuantizer
from edgeskin.errors import MissingPackage
from edgeskin.progress import Progress


def quantize_by_nncf(
    graph: GraphModule,
    quantizer: EdgeQuantizer,
    samples: Sequence[Tensor],
    progress: Progress,
) -> GraphModule:
    """Quantize `graph` where `quantizer` says; `progress` is called for each sample.

    Raises:
        MissingPackage: NNCF is not installed.
    """
    nncf = import_nncf()
    done = 0

    def count(sample: Tensor) -> Tensor:
        nonlocal done
        done = min(done + 1, len(samples))  # it looks at some of them again
        progress("calibrating by NNCF", done, len(samples))
        return sample

    with _quiet_console():
        return nncf.experimental.torch.fx.quantize_pt2e(
            graph,
            quantizer,
            nncf.Dataset(samples, count),
            subset_size=len(samples),
            activations_range_estimator_params=(
                nncf.quantization.range_estimator.RangeEstimatorParametersSet.HISTOGRAM
            ),
        )


def import_nncf() -> Any:
    """NNCF with its log quiet and its telemetry out of reach.

    It would open an identity file in the home folder on import and send events
    afterwards; it does neither where it cannot import `openvino_telemetry`.
    """
    try:
        with _unimportable("openvino_telemetry"):
            import nncf
            import nncf.experimental.torch.fx
            import nncf.quantization.range_estimator
    except ModuleNotFoundError as error:
        if error.name != "nncf":
            raise
        raise MissingPackage(
            "calibration by 'nncf' needs the package: pip install 'edgeskin[nncf]', "
            "or choose --method mse"
        ) from error
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _unimportable(name: str) -> Iterator[None]:
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


@contextlib.contextmanager
def _quiet_console() -> Iterator[None]:
    """Keep NNCF's progress bars, which go to rich's global console, off stdout."""
    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
