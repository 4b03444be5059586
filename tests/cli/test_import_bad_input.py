"""`import` of what is no model, or not wholly said: one line, exit code 2, nothing left behind."""

from __future__ import annotations

import importlib
import pickle
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import has_loaded, interrupt, snapshot, the_line
from onnx import NodeProto, TensorProto, helper, numpy_helper
from onnx_graphs import save_model
from torch import Tensor, nn

from edgeskin.cli.main import run

Refused = Callable[..., str]
SIZE = (1, 3, 16, 16)
PIXELS = ("--normalization", "imagenet")

NESTED = """
import torch
from torch import nn

class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return {"skin": {"grade": self.body(x)}}
"""


def scores(folder: Path, *, shape: tuple[int | str, ...] = SIZE, weight: str = "") -> Path:
    """An ONNX file of five classes; `weight` is the file that its weights are said to lie in."""
    values = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
    stored = numpy_helper.from_array(values, "w")
    if weight:
        stored.ClearField("raw_data")
        stored.data_location = TensorProto.EXTERNAL
        stored.external_data.add(key="location", value=weight)
    nodes: list[NodeProto] = [
        helper.make_node("Conv", ["image", "w"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["y"]),
    ]
    return save_model(folder / "scores.onnx", nodes, [stored], ["y"], shape=shape)


def odd(folder: Path) -> Path:
    node = helper.make_node("Odd", ["image"], ["y"], domain="org.example")
    return save_model(folder / "odd.onnx", [node], [], ["y"], shape=SIZE)


def data_elsewhere(folder: Path) -> Path:
    (folder / "secret.bin").write_bytes(bytes(540))
    (folder / "model").mkdir()
    return scores(folder / "model", weight="../secret.bin")


def hostile(folder: Path) -> Path:
    """A pickle that makes the file `executed` where it is unpickled."""

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (Path.touch, (folder / "executed",))

    (folder / "network.pth").write_bytes(pickle.dumps(Evil()))
    return folder / "network.pth"


class Classes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).mean((2, 3))


def half(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def exported(folder: Path) -> Path:
    torch.export.save(torch.export.export(Classes(), (torch.zeros(SIZE),)), folder / "half.pt2")
    return folder / "half.pt2"


def traced(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch, of its own format
        torch.jit.trace(Classes(), torch.zeros(SIZE)).save(folder / "half.pt")
    return folder / "half.pt"


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def keras_model(folder: Path, *, code: bool) -> Path:
    from edgeskin.sources import keras_model

    keras = keras_model._keras()
    layer = keras.layers.Lambda(lambda x: 2.0 * x) if code else keras.layers.Conv2D(4, 3)
    model = keras.Sequential([keras.Input((16, 16, 3)), layer, keras.layers.Flatten()])
    model.save(folder / "model.keras")
    return folder / "model.keras"


def photos(folder: Path) -> Path:
    (folder / "photos").mkdir()
    (folder / "photos" / "face.jpg").write_bytes(b"\xff\xd8\xff")
    return folder / "photos"


# By name: what makes the source, what the command says beside it, and the line.
CASES: dict[str, tuple[Callable[[Path], Path], tuple[str, ...], str]] = {
    "pickle": (hostile, PIXELS, r"is a pickle, which is code and is not opened\. Save"),
    "onnx, no data": (
        lambda folder: scores(folder, weight="w.bin"),
        PIXELS,
        "'w' .*stored in 'w.bin', which is missing",
    ),
    "onnx, data elsewhere": (data_elsewhere, PIXELS, "outside the file's folder"),
    "onnx, operator": (odd, PIXELS, r"does not read: org\.example\.Odd \(1\)"),
    "onnx, open sizes": (
        lambda folder: scores(folder, shape=("n", 3, "h", "w")),
        PIXELS,
        "takes images of any size.*--input-size",
    ),
    "onnx, half": (lambda folder: half(scores(folder)), PIXELS, "truncated or not an ONNX model"),
    "pt2, half": (lambda folder: half(exported(folder)), PIXELS, "is damaged, or no model"),
    "torchscript, half": (lambda folder: half(traced(folder)), PIXELS, "is damaged, or no model"),
    "keras, half": (
        lambda folder: half(keras_model(folder, code=False)),
        PIXELS,
        "is damaged, or no model",
    ),
    "keras, code": (
        lambda folder: keras_model(folder, code=True),
        PIXELS,
        "is a Lambda.*not run.*--trust",
    ),
    "empty": (written("empty.onnx", b""), PIXELS, "truncated or not an ONNX model"),
    "empty, of no kind": (written("empty", b""), PIXELS, "is damaged, or no model"),
    "folder": (photos, PIXELS, "no model that edgeskin knows: it takes ONNX"),
    "tflite": (written("face.tflite", b"\x1c\0\0\0TFL3"), PIXELS, "is a TFLite model, a finished"),
    "no pixels": (scores, (), "does not say what becomes of pixel values. Say it with --norm"),
    "size": (scores, (*PIXELS, "--input-size", "big"), "--input-size reads HEIGHTxWIDTH.*'big'"),
    "no size": (scores, (*PIXELS, "--input-size", "0x16"), "--input-size reads .*'0x16'"),
    "another size": (scores, (*PIXELS, "--input-size", "32"), "16.*32"),
    "normalization": (scores, ("--normalization", "nice"), "no normalization 'nice'; there are"),
    "head": (scores, (*PIXELS, "--head", "grade=stars"), "no kind of head 'stars'; there are"),
    "labels": (scores, (*PIXELS, "--labels", "mild,severe"), "5 classes, 2 labels are given"),
    "heads": (scores, (*PIXELS, "--head", "a", "--head", "b"), "gives 1 outputs .* 2 heads"),
    "preprocess": (scores, ("--preprocess", "none.json"), "nor a file of it, nor .*'none.json'"),
    "preprocess of bytes": (scores, ("--preprocess", "bytes.json"), "is no text file"),
    "preprocess of a list": (scores, ("--preprocess", "list.json"), r"is neither JSON of .*'\[\]'"),
    "spec": (scores, ("--spec", "none.json"), r"none\.json"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_says_what_and_what_to_do(case: str, tmp_path: Path, refused: Refused) -> None:
    make, options, line = CASES[case]
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\xfd")
    (tmp_path / "list.json").write_text("[]")
    said = refused("import", make(tmp_path), "--out", tmp_path / "run", *options)
    assert re.search(line, said), said
    assert not said.startswith("unexpected error")
    assert not (tmp_path / "executed").exists()


def test_outputs_within_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    importlib.invalidate_caches()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "nested_outputs.py").write_text(NESTED)
    state = {"body.weight": torch.zeros(4, 3, 3, 3), "body.bias": torch.zeros(4)}
    torch.save(state, tmp_path / "w.pth")
    command = ["import", "--model", "nested_outputs:Nested", "--weights", "w.pth", *PIXELS]
    line = refused(*command, "--input-size", "16", "--out", "run")
    assert "the network's output 'skin' is a dict, not a tensor. Wrap it in a module" in line


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks into /proc")
def test_interrupted(tmp_path: Path) -> None:
    source, out = scores(tmp_path), tmp_path / "new" / "run"
    before = snapshot(tmp_path)
    command = ["import", source, "--out", out, *PIXELS]
    code, stderr, _ = interrupt(command, lambda pid: has_loaded("onnxruntime", pid))
    assert (code, the_line(stderr)) == (130, "interrupted; nothing was left half-written")
    assert snapshot(tmp_path) == before


def test_what_is_whole_is_imported(tmp_path: Path) -> None:
    """The file that the cases above are about is none that is refused anyway."""
    assert run(["import", str(scores(tmp_path)), "--out", str(tmp_path / "run"), *PIXELS]) == 0
