"""Pre-processing beside Pillow, OpenCV and torchvision: one run, one thread, same pixels.

Each round times every tool once, in turn, so that a machine that slows down slows all of them.
The picture is smooth noise from a fixed seed: neither flat nor all edges.
"""

from __future__ import annotations

import platform
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import PIL
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional

from edgeskin import native
from edgeskin.document import Document
from edgeskin.native import Recipe

ROUNDS, WARM_UP = 21, 3
Tool = Callable[[], NDArray[Any]]


class ToolTimes(Document):
    """One tool on one picture; how far its values are from edgeskin's, at most."""

    p50_ms: float
    best_ms: float
    largest_difference: int
    samples_ms: tuple[float, ...]


class PreprocessResult(Document):
    """Every tool on every picture, on one thread; what edgeskin needs beyond a large image."""

    machine: str
    kernels: str
    versions: dict[str, str]
    threads: int
    warmup_runs: int
    extra_memory_bytes: int
    cases: dict[str, dict[str, ToolTimes]]


def picture(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 48, width // 48, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = np.random.default_rng(seed + 1).integers(-8, 9, smooth.shape, np.int16)
    return (smooth.astype(np.int16) + grain).clip(0, 255).astype(np.uint8)


def photo_to_uint8() -> dict[str, Tool]:
    image = picture(3024, 4032, 1)
    wrapped = Image.fromarray(image)
    tensor = torch.from_numpy(image).permute(2, 0, 1)  # channels last in memory: its fast path
    recipe = Recipe(224, 224)
    return {
        "edgeskin": lambda: native.preprocess(image, recipe),
        "Pillow": lambda: np.asarray(wrapped.resize((224, 224), Image.Resampling.BILINEAR)),
        "torchvision": lambda: (
            functional.resize(tensor, [224, 224], antialias=True).permute(1, 2, 0).numpy()
        ),
        "OpenCV INTER_AREA": lambda: cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA),
    }


def frame_to_int8() -> dict[str, Tool]:
    yuv = cv2.cvtColor(picture(1080, 1920, 2), cv2.COLOR_RGB2YUV_I420)
    y = np.ascontiguousarray(yuv[:1080])
    u, v = yuv[1080:1350].reshape(540, 960), yuv[1350:].reshape(540, 960)
    uv = np.ascontiguousarray(np.dstack([u, v]))
    frame = native.Image((y, uv.reshape(540, 1920)), "nv12")
    recipe = Recipe(224, 224, type="int8", zero_point=-128)

    def opencv() -> NDArray[np.int8]:
        rgb = cv2.cvtColorTwoPlane(y, uv, cv2.COLOR_YUV2RGB_NV12)
        small = cv2.resize(rgb, (224, 224), interpolation=cv2.INTER_AREA)
        return np.bitwise_xor(small, 128, dtype=np.uint8).view(np.int8)  # v - 128, the quickest way

    return {"edgeskin": lambda: native.preprocess(frame, recipe), "OpenCV INTER_AREA": opencv}


CASES = {
    "4032x3024 RGB to 224x224 uint8": photo_to_uint8,
    "1920x1080 NV12 to 224x224 int8 NHWC": frame_to_int8,
}


def measure() -> PreprocessResult:
    """Every raw sample in milliseconds, and how far each tool is from edgeskin's pixels."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    return PreprocessResult(
        machine=platform.processor() or platform.machine(),
        kernels=native.kernels_name(),
        versions={
            "Pillow": PIL.__version__,
            "OpenCV": cv2.__version__,
            "torchvision": torchvision.__version__,
        },
        threads=1,
        warmup_runs=WARM_UP,
        extra_memory_bytes=_extra_memory(),
        cases={name: _case(make()) for name, make in CASES.items()},
    )


def _case(tools: dict[str, Tool]) -> dict[str, ToolTimes]:
    samples: dict[str, list[float]] = {name: [] for name in tools}
    for _ in range(WARM_UP + ROUNDS):
        for name, run in tools.items():
            start = time.perf_counter()
            run()
            samples[name].append((time.perf_counter() - start) * 1e3)
    ours = tools["edgeskin"]().astype(np.int16)
    off = {name: int(np.abs(run().astype(np.int16) - ours).max()) for name, run in tools.items()}
    kept = {name: times[WARM_UP:] for name, times in samples.items()}
    return {
        name: ToolTimes(
            p50_ms=statistics.median(kept[name]),
            best_ms=min(kept[name]),
            largest_difference=off[name],
            samples_ms=tuple(kept[name]),
        )
        for name in tools
    }


def _extra_memory() -> int:
    """Growth of the process's peak while a 32768 x 8192 image is processed, in bytes."""
    image = np.zeros((8192, 32768, 3), np.uint8)
    image[:] = 7
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    native.preprocess(image, Recipe(224, 224, filter="lanczos"))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def table(result: PreprocessResult) -> str:
    lines = [f"one thread, {result.kernels}, median of {ROUNDS} interleaved rounds"]
    for case, tools in result.cases.items():
        lines += ["", case]
        ours = tools["edgeskin"].p50_ms
        for name, tool in tools.items():
            lines.append(
                f"  {name:<18} {tool.p50_ms:8.2f} ms   {tool.p50_ms / ours:5.2f}x   "
                f"largest difference {tool.largest_difference}"
            )
    lines += ["", f"extra memory for 32768x8192: {result.extra_memory_bytes / 1e6:.2f} MB"]
    return "\n".join(lines)
