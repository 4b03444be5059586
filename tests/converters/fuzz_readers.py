"""Damaged model files by the thousand: the audit gives a document or refuses, never else.

    python tests/converters/fuzz_readers.py --cases 200 --seed 0 [--keep FOLDER]

Small valid files of each format are spoiled: bytes flipped, pieces cut out or
doubled, numbers replaced by ones at the edges, fields of protobuf messages
changed. Each is examined in a fork with little memory and time. A crash of a
runtime's native code is counted, not forbidden: `audit.sandbox` turns it into a
line. Whatever else is not a document or InvalidArtifact is a fault, and its file is kept.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import model_files

from edgeskin.converters.audit.sandbox import audit_within_memory, limit_memory
from edgeskin.errors import EdgeskinError, to_document
from edgeskin.formats.coreml.package import messages

SECONDS = 20  # of processor time
_STUCK = 600  # seconds on the clock, which a busy machine may take
MEMORY = 2 << 30
_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_DOCUMENT, _REFUSED, _FAULT = 0, 3, 4


def seeds(folder: Path) -> dict[str, Path]:
    """A valid file of each kind, and which of its files is spoiled."""
    model_files.tflite(folder / "model.tflite")
    model_files.onnx_qdq(folder / "model.onnx")
    model_files.onnx_qdq(folder / "external.onnx", external="weights.bin")
    model_files.mlpackage(folder / "model.mlpackage")
    model_files.mlmodel(folder / "model.mlmodel")
    inside = folder / "model.mlpackage/Data/com.apple.CoreML"
    return {
        "tflite": folder / "model.tflite",
        "onnx": folder / "model.onnx",
        "onnx, external data": folder / "external.onnx",
        "mlpackage": inside / "model.mlmodel",
        "mlpackage, weights": inside / "weights/weight.bin",
        "mlmodel": folder / "model.mlmodel",
    }


def spoil(data: bytes, kind: str, rng: random.Random) -> bytes:
    """One to three changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        ways: list[Callable[[bytes, random.Random], bytes]] = [_flip, _cut, _double, _edge, _edge]
        if kind in _MESSAGES:
            ways += [_field_of(kind)] * 6
        data = rng.choice(ways)(data, rng)
    return data


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(min(len(changed), rng.choice((1, 1, 2, 8)))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data) + 1), rng.choice((1, 4, 16, 1 << 20))
    return data[:at] + data[at + size :]


def _double(data: bytes, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(data) + 1), rng.choice((1, 4, 16, 256))
    return data[: at + size] + data[at:]


def _edge(data: bytes, rng: random.Random) -> bytes:
    """A number of 32 bits, where flatbuffers keep theirs, becomes one at the edge."""
    if len(data) < 4:
        return data
    at = rng.randrange(len(data) // 4) * 4
    return data[:at] + struct.pack("<I", rng.choice(_EDGES)) + data[at + 4 :]


def _onnx_model() -> Any:
    import onnx

    return onnx.ModelProto


_MESSAGES: dict[str, Callable[[], Any]] = {
    "onnx": _onnx_model,
    "onnx, external data": _onnx_model,
    "mlpackage": lambda: messages("Model_pb2").Model,
    "mlmodel": lambda: messages("Model_pb2").Model,
}


def _field_of(kind: str) -> Callable[[bytes, random.Random], bytes]:
    """Change one field somewhere in a protobuf message."""

    def change(data: bytes, rng: random.Random) -> bytes:
        try:
            message = _MESSAGES[kind]().FromString(data)
        except Exception:  # an earlier change broke it
            return data
        found = list(_fields(message))
        if found:
            with suppress(ValueError):  # a number that its enumeration does not have
                _change(*rng.choice(found), rng)
        return bytes(message.SerializePartialToString())

    return change


def _fields(message: Any) -> Any:
    for field, value in message.ListFields():
        yield message, field, value
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            parts = value.values() if hasattr(value, "values") else ()
        else:
            parts = [value] if hasattr(value, "ListFields") else list(value)
        for part in parts:
            if hasattr(part, "ListFields"):
                yield from _fields(part)


def _change(message: Any, field: Any, value: Any, rng: random.Random) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value.pop(rng.choice(list(value)), None)
    elif not hasattr(value, "ListFields") and hasattr(value, "append") and rng.random() < 0.5:
        del value[rng.randrange(len(value))]
    elif field.message_type is not None:
        message.ClearField(field.name)
    elif hasattr(value, "append"):
        value[rng.randrange(len(value))] = _other(value[0], rng)
    else:
        setattr(message, field.name, _other(value, rng))


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return rng.choice((0.0, -1.0, float("inf"), float("nan"), 1e38))
    if isinstance(value, int):
        return rng.choice((0, 1, 2, 3, 7, 10, 11, 21, 127, 2**31 - 1))
    if isinstance(value, bytes):
        return _flip(value, rng) if value else b"x"
    return rng.choice(("", "x", "q", "image", "out", "features", "../../etc/passwd", value * 2))


def answer(path: Path) -> dict[str, Any]:
    """The document of a file, or which error refuses it."""
    try:
        return {"document": audit_within_memory(path).to_json()}
    except EdgeskinError as error:
        return dict(to_document(error))


def examine(path: Path) -> tuple[str, str]:
    """What became of one file, in a fork: its fate, and why."""
    said = path.parent / "said.txt"
    child = os.fork()
    if child == 0:
        _answer(path, said)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status))
        if ended in (signal.SIGXCPU, signal.SIGALRM):
            return "fault", f"took longer than {SECONDS} s"
        return "crashed", ended.name
    names = {_DOCUMENT: "document", _REFUSED: "refused"}
    return names.get(os.WEXITSTATUS(status), "fault"), said.read_text(errors="replace")


def _answer(path: Path, said: Path) -> None:
    """In the fork: never returns."""
    code = _FAULT
    try:
        limit_memory(MEMORY)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
        signal.alarm(_STUCK)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        found = answer(path)
        code = _REFUSED if "error" in found else _DOCUMENT
        said.write_text(found.get("message", ""))
        json.dumps(found)
        if found.get("error", "InvalidArtifact") != "InvalidArtifact":
            code = _FAULT
    except BaseException:
        said.write_text(traceback.format_exc())
        code = _FAULT
    finally:
        os._exit(code)


def fuzz(cases: int, seed: int, keep: Path | None = None) -> dict[str, Any]:
    """`cases` damaged files of each kind: fates by kind, faults with the files that caused them."""
    rng = random.Random(seed)
    fates: dict[str, Counter[str]] = {}
    faults: list[dict[str, str]] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        folder = Path(scratch)
        for kind, part in seeds(folder).items():
            good, model = part.read_bytes(), _model(part)
            assert examine(model)[0] == "document", examine(model)
            fates[kind] = Counter()
            for case in range(cases):
                part.write_bytes(spoil(good, kind, rng))
                fate, why = examine(model)
                fates[kind][fate] += 1
                if fate == "fault" or "\n" in why:
                    faults.append({"kind": kind, "case": str(case), "why": why})
                if keep and fate in ("fault", "crashed"):
                    _keep(model, keep / f"{fate}-{kind}-{seed}-{case}")
            part.write_bytes(good)
    return {"fates": {kind: dict(found) for kind, found in fates.items()}, "faults": faults}


def _model(part: Path) -> Path:
    """The file itself, or the package that it is in."""
    return next((p for p in part.parents if p.suffix == ".mlpackage"), part)


def _keep(model: Path, to: Path) -> None:
    to = to.with_name(to.name.replace(" ", "").replace(",", "-") + model.suffix)
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(model, to, dirs_exist_ok=True) if model.is_dir() else shutil.copy(model, to)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for files that are faults or crash")
    asked = parser.parse_args()
    for module in ("ai_edge_litert.interpreter", "onnx", "onnxruntime"):
        importlib.import_module(module)  # once, not in each fork
    found = fuzz(asked.cases, asked.seed, asked.keep)
    print(json.dumps(found, indent=1))
    return 1 if found["faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
