"""Runs coremltools' own tests of operators, written for Core ML on a Mac, on the MIL runtime.

    python docs/results/mil_coremltools.py [EVERY] [-k EXPRESSION]

They ship in coremltools' wheel and compare Core ML's predictions with values that
their authors wrote down, or computed with NumPy, PyTorch or SciPy; anywhere but on
macOS they stop before the prediction. Here a prediction is that of MilSession.
Taken are those of ML Programs in float32 with float32 inputs (of the float16 ones
the expected values were rounded at every step), and of those each EVERY-th.
"""

import os
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgeskin.runtimes import mil

TESTS = "converters/mil/mil/ops/tests"
# Recurrent layers, random numbers, state and NMS are left out of the runtime.
FOLDERS = ("iOS14", "iOS15", "iOS16", "iOS17", "iOS18")
LEFT_OUT = "not keras and not tf and not recurrent and not random and not state and not nms"


class OnMil:
    """A plugin of pytest: coremltools believes that it runs on macOS and predicts by MIL."""

    def __init__(self, every: int):
        self.every = every
        self.collected = 0
        self.predictions = 0
        self._before = 0
        self.outcomes: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    def pytest_configure(self) -> None:
        import coremltools as ct
        from coremltools.converters.mil import testing_utils as utils
        from coremltools.models import model

        utils._IS_MACOS = True
        utils.coremltoolsutils._is_macos = lambda: True
        utils.coremltoolsutils._macos_version = lambda: (26, 0)
        utils.compare_shapes = lambda *_, **__: None  # reads them off Core ML's proxy
        model._MLModelProxy = None
        ct.models.MLModel.predict = lambda model, data, state=None: self.predict(model, data)

    def predict(self, model, data: dict) -> dict:
        self.predictions += 1
        with mil.open_session(Path(model.package_path)) as session:
            feeds = {spec.name: feed(spec, data[spec.name]) for spec in session.inputs}
            found = session.run(feeds)
        return {name: np.atleast_1d(value) for name, value in found.items()}

    @pytest.hookimpl(trylast=True)  # of what -k left
    def pytest_collection_modifyitems(self, items: list) -> None:
        taken = [item for item in items if is_float32_program(item)]
        self.collected, items[:] = len(taken), taken[:: self.every]

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call":
            predicted = "" if self.predictions > self._before else ", nothing predicted"
            self._before = self.predictions
            self.outcomes[report.outcome + predicted] += 1
        if report.skipped:
            self.skipped[str(getattr(report, "wasxfail", "") or report.longrepr[2])] += 1


def feed(spec, value) -> np.ndarray:
    array = np.asarray(value).astype(spec.dtype)
    return array if -1 in spec.shape else array.reshape(spec.shape)


def is_float32_program(item) -> bool:
    backend = getattr(item, "callspec", None) and item.callspec.params.get("backend")
    kind = tuple(getattr(backend, name, None) for name in ("backend", "precision"))
    halves = any(word in item.nodeid for word in ("float16", "dtype=fp16"))
    return kind == ("mlprogram", "fp32") and not halves


def main(arguments: list[str]) -> None:
    os.environ |= {"PYMIL_TEST_TARGETS": "mlprogram", "INCLUDE_MIL_FP32_UNIT_TESTS": "1"}
    every = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 1
    plugin = OnMil(every)
    root = Path(find_spec("coremltools").submodule_search_locations[0]) / TESTS
    folders = [str(root / folder) for folder in FOLDERS]
    asked = f"{LEFT_OUT} and ({arguments[1]})" if arguments[:1] == ["-k"] else LEFT_OUT
    options = ["-q", "--tb=line", "-rfE", "-p", "no:logging", "-p", "no:cacheprovider"]
    pytest.main([*options, "-W", "ignore", "-k", asked, *folders], plugins=[plugin])
    print(f"{plugin.collected} tests, every {every} run: {dict(plugin.outcomes)}")
    print(f"{plugin.predictions} predictions; skipped:")
    for reason, count in plugin.skipped.most_common():
        print(f"{count:5} {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
