"""edgeskin: trained skin-analysis models to phones and Jetsons, with proof.

The verbs of the command line, as functions; each loads what it needs when it
is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgeskin.offline import disable_telemetry
from edgeskin.version import __version__

if TYPE_CHECKING:  # what type checkers and editors see; `_HOMES` says the same to Python
    from edgeskin.advice import advise as advise
    from edgeskin.benchmarks.devices.names import devices as devices
    from edgeskin.benchmarks.report.cards import card as card
    from edgeskin.benchmarks.report.gate.compare_results import compare as compare
    from edgeskin.benchmarks.report.history.history import history as history
    from edgeskin.benchmarks.report.history.history import history_add as history_add
    from edgeskin.benchmarks.report.report_files import report as report
    from edgeskin.benchmarks.report.viewers.exporting import export as export
    from edgeskin.bundles.bundle_check import verify_bundle as verify_bundle
    from edgeskin.bundles.bundling import bundle as bundle
    from edgeskin.calibration.from_run import calibrate as calibrate
    from edgeskin.calibration.options import CalibrationOptions as CalibrationOptions
    from edgeskin.calibration.qat_run import qat as qat
    from edgeskin.converters.audit.inspect import inspect as inspect
    from edgeskin.converters.from_source import convert as convert
    from edgeskin.converters.options import ConversionOptions as ConversionOptions
    from edgeskin.converters.parity.any_artifact import drift as drift
    from edgeskin.converters.parity.any_artifact import verify as verify
    from edgeskin.converters.parity.drift import DriftOptions as DriftOptions
    from edgeskin.data.grouping import GroupOptions as GroupOptions
    from edgeskin.data.manifest import Dataset as Dataset
    from edgeskin.data.manifest import load_split as load_split
    from edgeskin.data.manifest import open_data as open_data
    from edgeskin.data.phantoms import render_phantom as render_phantom
    from edgeskin.data.stage_data import stage_data as stage_data
    from edgeskin.errors import EdgeskinError as EdgeskinError
    from edgeskin.loading import load as load
    from edgeskin.models.run import load_run as load_run
    from edgeskin.pipelines.pipeline_folder import make_pipeline as make_pipeline
    from edgeskin.predictor import Predictor as Predictor
    from edgeskin.sources.importing import import_run as import_run
    from edgeskin.sources.spec_answers import SpecAnswers as SpecAnswers
    from edgeskin.spec import Spec as Spec
    from edgeskin.training.train import train as train
    from edgeskin.verbs import bench as bench
    from edgeskin.verbs import measure_on as measure_on
    from edgeskin.verbs import pack as pack
    from edgeskin.verbs import try_on as try_on
    from edgeskin.walkthrough.demo import demo as demo

disable_telemetry()

_HOMES = {
    "CalibrationOptions": "edgeskin.calibration.options",
    "ConversionOptions": "edgeskin.converters.options",
    "Dataset": "edgeskin.data.manifest",
    "DriftOptions": "edgeskin.converters.parity.drift",
    "EdgeskinError": "edgeskin.errors",
    "GroupOptions": "edgeskin.data.grouping",
    "Predictor": "edgeskin.predictor",
    "Spec": "edgeskin.spec",
    "SpecAnswers": "edgeskin.sources.spec_answers",
    "advise": "edgeskin.advice",
    "bench": "edgeskin.verbs",
    "bundle": "edgeskin.bundles.bundling",
    "calibrate": "edgeskin.calibration.from_run",
    "card": "edgeskin.benchmarks.report.cards",
    "compare": "edgeskin.benchmarks.report.gate.compare_results",
    "convert": "edgeskin.converters.from_source",
    "demo": "edgeskin.walkthrough.demo",
    "devices": "edgeskin.benchmarks.devices.names",
    "drift": "edgeskin.converters.parity.any_artifact",
    "export": "edgeskin.benchmarks.report.viewers.exporting",
    "history": "edgeskin.benchmarks.report.history.history",
    "history_add": "edgeskin.benchmarks.report.history.history",
    "import_run": "edgeskin.sources.importing",
    "inspect": "edgeskin.converters.audit.inspect",
    "load": "edgeskin.loading",
    "load_run": "edgeskin.models.run",
    "load_split": "edgeskin.data.manifest",
    "make_pipeline": "edgeskin.pipelines.pipeline_folder",
    "measure_on": "edgeskin.verbs",
    "open_data": "edgeskin.data.manifest",
    "pack": "edgeskin.verbs",
    "qat": "edgeskin.calibration.qat_run",
    "render_phantom": "edgeskin.data.phantoms",
    "report": "edgeskin.benchmarks.report.report_files",
    "stage_data": "edgeskin.data.stage_data",
    "train": "edgeskin.training.train",
    "try_on": "edgeskin.verbs",
    "verify": "edgeskin.converters.parity.any_artifact",
    "verify_bundle": "edgeskin.bundles.bundle_check",
}
__all__ = ["__version__", *_HOMES]


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


if not TYPE_CHECKING:  # so that a type checker refuses names that are not there

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'edgeskin' has no attribute '{name}'")
        return getattr(importlib.import_module(_HOMES[name]), name)
