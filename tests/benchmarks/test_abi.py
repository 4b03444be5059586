"""A runtime's library whose structs the runner does not know is refused in one line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from shared_library import shared

from edgeskin.benchmarks.bench import bench_artifact
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.pack import Pack
from edgeskin.benchmarks.runner.libraries import library
from edgeskin.benchmarks.setup import Choice
from edgeskin.errors import RunFailed

pytestmark = pytest.mark.slow
TFLITE = 'const char *TfLiteVersion(void) { return "VERSION"; }'
ONNX = """
static void *const *table(unsigned version) { return 0; }
static const char *version(void) { return "VERSION"; }
static const struct { void *const *(*table)(unsigned); const char *(*version)(void); } base = {
    table, version};
const void *OrtGetApiBase(void) { return &base; }
"""
# Everything else is found in the real library, which this one is linked to.
LITERT = """
int FUNCTION(void *of, unsigned char *written) {
  for (int i = 0; i < BYTES; ++i) written[i] = 0;
  return 0;
}
"""


def refusal(artifact: Path, pack: Pack, lib: Path, folder: Path) -> str:
    choice = Choice(library=lib)
    with Device(HostLink(folder / "device")) as host, pytest.raises(RunFailed) as error:
        bench_artifact(artifact, pack, host, folder, protocol=None, choice=choice)
    return str(error.value)


@pytest.mark.parametrize(
    ("target", "source", "version", "known"),
    [
        ("tflite", TFLITE, "2.22.0", "TensorFlow Lite 2.22.0 is unknown .* knows 2.10 to 2.21:"),
        ("tflite", TFLITE, "2.9.3", "TensorFlow Lite 2.9.3 is unknown .* knows 2.10 to 2.21:"),
        ("onnx", ONNX, "2.0.0", "ONNX Runtime 2.0.0 is unknown .* knows 1.15 and newer of 1:"),
        ("onnx", ONNX, "1.14.1", "ONNX Runtime 1.14.1 is unknown .* knows 1.15 and newer of 1:"),
        ("onnx", ONNX, "1.99.0", "ONNX Runtime 1.99.0 has no table of 1.15"),
    ],
)
def test_an_unknown_version_is_refused(
    target: str,
    source: str,
    version: str,
    known: str,
    tiny_file: Callable[..., Path],
    tiny_pack: Pack,
    tmp_path: Path,
) -> None:
    lib = shared(source.replace("VERSION", version), tmp_path)
    message = refusal(tiny_file(target, "fp32"), tiny_pack, lib, tmp_path)
    assert re.search(known, message), message


@pytest.mark.parametrize(
    ("function", "size", "refused"),
    [
        ("LiteRtGetRankedTensorType", 80, "LiteRtRankedTensorType is larger in this library"),
        ("LiteRtGetRankedTensorType", 40, "LiteRtRankedTensorType is smaller in this library"),
        ("LiteRtGetPerTensorQuantization", 24, "LiteRtQuantizationPerTensor is larger"),
        ("LiteRtGetPerTensorQuantization", 8, "LiteRtQuantizationPerTensor is smaller"),
    ],
)
def test_a_struct_of_another_size_is_refused(
    function: str,
    size: int,
    refused: str,
    tiny_file: Callable[..., Path],
    tiny_pack: Pack,
    tmp_path: Path,
) -> None:
    source = LITERT.replace("FUNCTION", function).replace("BYTES", str(size))
    real = library("tflite", os.uname().machine)
    message = refusal(
        tiny_file("tflite", "int8", "tensor"), tiny_pack, shared(source, tmp_path, real), tmp_path
    )
    assert refused in message
    assert "\n" not in message.strip()
