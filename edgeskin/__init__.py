"""edgeskin: trained skin-analysis models to phones and Jetsons, with proof.

The verbs of the command line, as functions; each loads what it needs when it
is first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from edgeskin.offline import disable_telemetry
from edgeskin.version import __version__

disable_telemetry()

_PUBLIC = {
    "Dataset": "edgeskin.data.manifest",
    "EdgeskinError": "edgeskin.errors",
    "Predictor": "edgeskin.predictor",
    "Spec": "edgeskin.spec",
    "bench": "edgeskin.benchmarks.bench:bench_devices",
    "calibrate": "edgeskin.calibration.from_run:calibrate_run",
    "convert": "edgeskin.converters.from_source:convert_source",
    "inspect": "edgeskin.converters.audit.inspect",
    "load": "edgeskin.predictor",
    "load_run": "edgeskin.models.run",
    "load_split": "edgeskin.data.manifest",
    "qat": "edgeskin.calibration.qat_run",
    "render_phantom": "edgeskin.data.phantoms:render",
    "train": "edgeskin.training.train",
    "verify": "edgeskin.converters.parity",
}
__all__ = ["__version__", *_PUBLIC]


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgeskin' has no attribute '{name}'")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute or name)
