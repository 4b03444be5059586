"""INT8 beside the float file and beside what LiteRT's and ONNX Runtime's own tools make of it."""

from __future__ import annotations

import json
import os
import platform
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeskin.benchmarks.peers.builds import PEERS, Tell, build, run_process, tool_versions
from edgeskin.benchmarks.peers.zoo import CALIBRATION, TEST, Model
from edgeskin.errors import InvalidData, UnknownName
from edgeskin.files import atomic, write_json
from edgeskin.statistics import ratio_of_medians

WARM_UP = 20
RUNTIMES = {
    "litert": {
        "float": "litert-float.tflite",
        "stock": "litert-stock.tflite",
        "edgeskin": "litert-edgeskin.tflite",
    },
    "onnx": {
        "float": "onnx-float.onnx",
        "stock": "onnx-stock.onnx",
        "stock_x86": "onnx-stock_x86.onnx",
        "edgeskin": "onnx-edgeskin.onnx",
    },
}
"""The files of each runtime. `stock_x86`: what ONNX Runtime's documentation says for x86."""

# Model, runtime: largest ratio of edgeskin's INT8 to float, and to stock INT8 (a VNNI machine).
AIMS = {
    "mobilenet_v3_small": {"litert": (0.65, 0.20), "onnx": (1.0, 0.22)},
    "mobilenet_v3_large": {"litert": (0.46, 0.23), "onnx": (0.80, 0.32)},
    "efficientnet_lite0": {"litert": (0.40, 0.95), "onnx": (0.50, 0.62)},
    "resnet50": {"litert": (0.20, 0.95), "onnx": (0.30, 0.30)},
    "efficientnet_v2_s": {"litert": (0.28, 0.95), "onnx": (0.50, 0.32)},
    "deeplab_v3_plus": {"litert": (0.45, 0.95), "onnx": (0.6, 0.6)},
    "vit_tiny": {"litert": (0.42, 0.16), "onnx": (0.50, 0.60)},
}
# What integer arithmetic may use; the rest of a CPU's flags say nothing here.
_FEATURES = {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm", "sve"}


def measure(
    models: Sequence[Model],
    runtimes: Sequence[str],
    rounds: int,
    tell: Tell,
    out: Path | None = None,
) -> dict[str, Any]:
    """Build, time and compare; every raw sample is in the result.

    Args:
        rounds: Timed rounds a model and runtime, at least 2.
        out: Folder that keeps the files, and uses again those that still fit.

    Raises:
        UnknownName: A runtime is not in `RUNTIMES`.
        InvalidData: Too few rounds.
    """
    for name in runtimes:
        if name not in RUNTIMES:
            raise UnknownName(f"no runtime '{name}'; there are {', '.join(RUNTIMES)}")
    if rounds < 2:
        raise InvalidData(f"{rounds} rounds have no median to speak of. Take 200 or more.")
    if out is None:
        with tempfile.TemporaryDirectory(prefix="edgeskin-peers-") as scratch:
            return measure(models, runtimes, rounds, tell, Path(scratch))
    found = {m.spec.name: _model(m, runtimes, rounds, tell, out / m.spec.name) for m in models}
    return {
        "machine": machine(),
        "tools": tool_versions(),
        "threads": 1,
        "rounds": rounds,
        "warmup_rounds": WARM_UP,
        "calibration_images": CALIBRATION,
        "test_images": TEST,
        "models": found,
    }


def _model(
    model: Model, runtimes: Sequence[str], rounds: int, tell: Tell, folder: Path
) -> dict[str, Any]:
    found = {}
    for name in runtimes:
        failed = build(model.spec, folder, RUNTIMES[name].values(), tell)
        tell(f"{model.spec.name}: timing on {name}")
        found[name] = _runtime(RUNTIMES[name], folder, rounds, failed)
        found[name]["ratios"] = ratios(found[name]["builds"])
    return {"title": model.title, "runtimes": found}


def _runtime(
    builds: dict[str, str], folder: Path, rounds: int, failed: dict[str, str]
) -> dict[str, Any]:
    """Time what was built, in a process of its own; what was not keeps its reason."""
    result = {name: {"failed": failed[file]} for name, file in builds.items() if file in failed}
    files = {name: str(folder / file) for name, file in builds.items() if file not in failed}
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        request, answer = Path(scratch, "request.json"), Path(scratch, "answer.json")
        samples = str(folder / "samples.npz")
        write_json(
            request, {"files": files, "samples": samples, "rounds": rounds, "warmup": WARM_UP}
        )
        log = folder / "timing.log"
        problem = run_process([f"{PEERS}.timing", str(request), str(answer)], log)
        if problem:
            result |= {name: {"failed": problem} for name in files}
        else:
            log.unlink()
            result |= json.loads(answer.read_text())
    timed = {name: _summary(entry) for name, entry in result.items()}
    return {
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "builds": {name: timed[name] for name in builds},
    }


def _summary(entry: dict[str, Any]) -> dict[str, Any]:
    if "failed" in entry:
        return entry
    percentiles = {
        f"p{rank}_ms": round(float(np.percentile(entry["cpu_ms"], rank)), 4) for rank in (50, 90)
    }
    wall = {"wall_p50_ms": round(float(np.median(entry["wall_ms"])), 4)}
    return percentiles | wall | entry


def ratios(builds: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Median of edgeskin's INT8 over that of each other build, with its 95 % interval."""
    ours = builds["edgeskin"]
    return {
        f"to_{name}": ratio_of_medians(
            np.array(other["cpu_ms"]), np.array(ours["cpu_ms"])
        ).to_json()
        for name, other in builds.items()
        if name != "edgeskin" and "failed" not in other and "failed" not in ours
    }


def machine() -> dict[str, Any]:
    """The processor, what of it integer arithmetic may use, and the system."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"(?:flags|Features)\s*: (.*)", text)
    return {
        "processor": model[1] if model else platform.processor() or platform.machine(),
        "cpu_features": sorted(_FEATURES & set(flags[1].split())) if flags else [],
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def to_json(result: dict[str, Any]) -> str:
    """Indented, but each list of numbers on one line."""
    text = json.dumps(result, indent=1)
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda found: " ".join(found[0].split()), text) + "\n"


def save(result: dict[str, Any], page: Path) -> None:
    """Write the result as a page and, beside it, as JSON with every sample."""
    from edgeskin.benchmarks.peers.int8_page import markdown

    for path, text in ((page, markdown(result)), (page.with_suffix(".json"), to_json(result))):
        with atomic(path, force=True) as fresh:
            fresh.write_text(text, encoding="utf-8")
