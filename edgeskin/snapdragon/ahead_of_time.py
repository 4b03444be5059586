"""Files compiled for a chip by Qualcomm's compiler: through LiteRT's plugin, or ONNX Runtime's."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeskin.artifacts import Compiled, Metadata, read_metadata
from edgeskin.conversion import Tried
from edgeskin.destinations import SNAPDRAGONS
from edgeskin.errors import (
    DeviceError,
    DeviceFull,
    EdgeskinError,
    InvalidSdk,
    MissingPackage,
    NotSupportedHere,
    RunFailed,
)
from edgeskin.files import sha256
from edgeskin.formats import format_of, read_network
from edgeskin.formats.network import COMPILED, Network
from edgeskin.snapdragon import npu_session, onnx_context, qnn
from edgeskin.snapdragon.sdk import own_sdk, search_path

_LONGEST_S = 900.0
_TOOL, _PLUGINS = "tools/apply_plugin_main", "vendors/qualcomm/compiler"
_UNUSED, _STAND_IN = "libQnnLpai.so", "libQnnSystem.so"
"""The plugin is linked to a backend for another processor, which the package lacks and nothing of
ours calls; LiteRT only has to find a library of its name."""
_OF_THIS_MACHINE: Mapping[str, type[EdgeskinError]] = {
    "No space left on device": DeviceFull,
    "ModuleNotFoundError": MissingPackage,
    npu_session.NO_DEVICE: NotSupportedHere,
}
"""What a failed compiler prints where this machine is to blame, and not the file."""
_OTHER_VERSION = re.compile(r"(library version|QAIRT SDK v\S+) .*(mismatched|not supported)")
"""How LiteRT's plugin refuses Qualcomm's libraries."""
_INSIDE = re.compile(rb"soc_type=(\w+);arch=(\d+)")


def compile_for(
    path: Path,
    chip: str,
    out: Path | None = None,
    max_partitions: int | None = None,
    *,
    has_metadata: bool = True,
) -> Tried:
    """Compile a TFLite or ONNX file for a chip, in 15 minutes at most.

    Args:
        chip: A name of `destinations.SNAPDRAGONS`.
        out: Where to write the result if it is accepted, with the metadata of the file.
        max_partitions: In how many parts the NPU may take it, the rest on the CPU; None: whole.
        has_metadata: It is a file of ours; a part that was cut out of one has none.

    Returns:
        What was taken; of operators that are left to the CPU, their number by type.

    Raises:
        MissingPackage, NotSupportedHere: Qualcomm's libraries, or LiteRT's compiler, are not here.
        InvalidSdk: The SDK that the environment names is damaged, or of a version that the
            compiler refuses.
        RunFailed: The compiler took too long.
        DeviceError: This machine could not do it: its disk is full, its memory too small.
    """
    if not (compiler := _COMPILERS.get(format_of(path).name)):
        raise NotSupportedHere(f"{path.name}: Snapdragons are compiled for from TFLite and ONNX")
    sdk = qnn.sdk_version()
    by = f"QAIRT {sdk} for {chip}"
    source = read_network(path)
    if source.is_compiled:
        known = read_metadata(path).compiled
        own = "another chip" if known is None else known.chip
        if own != chip:
            return Tried(whole=False, reason=f"it is compiled for {own}")
        return _taken(source, Tried(whole=True, max_partitions=max_partitions))
    beside = None if out is None else out.parent  # from where it can be moved
    with tempfile.TemporaryDirectory(dir=beside, prefix=".edgeskin-") as scratch:
        fresh = Path(scratch) / path.name
        done = compiler(path, chip, fresh)
        if done.refused:
            return Tried(whole=False, by=by, reason=done.refused)
        if not fresh.is_file():
            return Tried(whole=False, by=by, reason="the compiler wrote no file")
        tried = _taken(read_network(fresh), Tried(whole=True, by=by, max_partitions=max_partitions))
        taken = len(source.operators) - sum(tried.left.values())
        because = done.left_because() if tried.left else ()
        tried = tried.model_copy(
            update={
                "taken": taken,
                "operators": len(source.operators),
                "left_because": tuple(dict.fromkeys(because)),
            }
        )
        if tried.accepted and (reason := _another_chip(fresh, chip)):
            return Tried(whole=False, by=by, reason=reason)
        if tried.accepted and out is not None:
            if has_metadata:
                made = Compiled(chip=chip, sdk=sdk, source_sha256=sha256(path))
                _STORES[format_of(path).name](fresh, replace(read_metadata(path), compiled=made))
            fresh.replace(out)
    return tried


def _taken(compiled: Network, tried: Tried) -> Tried:
    """What a compiled network says: an operator is a part that was compiled, or is left."""
    left = Counter(op.type for op in compiled.operators if op.type not in COMPILED)
    parts = len(compiled.operators) - left.total()
    return tried.model_copy(
        update={"whole": not left, "partitions": parts, "left": dict(left.most_common())}
    )


def _another_chip(compiled: Path, chip: str) -> str:
    """Empty, or what chips a file is compiled for instead, by what the compiler wrote into it."""
    found = set(_INSIDE.findall(compiled.read_bytes()))
    wanted = (chip.encode(), str(SNAPDRAGONS[chip].architecture).encode())
    if found == {wanted}:
        return ""
    names = ", ".join(f"{name.decode()} (architecture {arch.decode()})" for name, arch in found)
    return f"the compiler took {chip} for {names or 'a chip that it does not name'}"


@dataclass(frozen=True)
class _Outcome:
    """What a compiler said.

    Attributes:
        refused: Why it wrote nothing; empty where it did.
        left_because: Reads or asks why operators are left to the CPU, a line each.
    """

    refused: str
    left_because: Callable[[], Sequence[str]]


def _by_litert(path: Path, chip: str, out: Path) -> _Outcome:
    found = importlib.util.find_spec("ai_edge_litert")
    if found is None or not found.submodule_search_locations:
        raise MissingPackage(
            "compiling TFLite files needs ai-edge-litert: pip install 'edgeskin[run-tflite]'"
        )
    litert = Path(found.submodule_search_locations[0])
    if not (litert / _TOOL).is_file():
        raise NotSupportedHere(
            "this ai-edge-litert has no compiler: its wheel for Linux x86_64 has"
        )
    with tempfile.TemporaryDirectory() as scratch:
        libraries, stand_in = qnn.libraries(), Path(scratch)
        if not (libraries / _UNUSED).exists():
            (stand_in / _UNUSED).symlink_to(libraries / _STAND_IN)
        command = [
            str(litert / _TOOL),
            "--cmd=apply",
            f"--model={path}",
            f"--o={out}",
            "--soc_manufacturer=Qualcomm",
            f"--soc_model={chip}",
            "--err=--",
            f"--libs={litert / _PLUGINS}",
        ]
        log, refused = _ran(command, {"LD_LIBRARY_PATH": f"{libraries}:{stand_in}"}, _litert_says)
        return _Outcome(refused, lambda: _litert_leaves(log))


_LITERT_LEAVES = re.compile(r"LiteRT Op #(\d+) '(\w+)' .*is (not supported in .*)\.")


def _litert_leaves(log: str) -> list[str]:
    """Each operator that the plugin leaves; its shapes where Qualcomm's library refused it."""
    found, begin = [], 0
    for op in _LITERT_LEAVES.finditer(log):
        before, begin = log[begin : op.start()], op.end()
        why = op[3]
        if error := re.search(r"QNN error=(\d+)", before):
            shapes = " to ".join(re.findall(r"dims=(\[[\d,]*\])", before))
            why = f"refused by Qualcomm's library, error {error[1]} ({shapes})"
        found.append(f"{op[2]}, operator {op[1]}: {why}")
    return found


def _litert_says(text: str) -> str:
    lines = re.findall(r"^ERROR: \[[^]]*\] (?!ERROR)(.+)", text, re.MULTILINE)
    return str(lines[0]) if lines else "LiteRT's compiler plugin gave no reason"


def _by_onnx_runtime(path: Path, chip: str, out: Path) -> _Outcome:
    command = [sys.executable, "-m", onnx_context.__name__, str(path), chip, str(out)]
    qnn.backend()  # refuses an SDK that the provider silently does without
    sdk = own_sdk()
    environment = search_path(sdk.libraries) if sdk else {}
    _, refused = _ran(command, environment, _onnx_runtime_says)

    def left_because() -> list[str]:
        again = [*command[:-1], str(out.with_suffix(".again")), str(onnx_context.EVERYTHING)]
        return _onnx_runtime_leaves(_ran(again, environment, _onnx_runtime_says)[0])

    return _Outcome(refused, left_because)


_ONNX_LEAVES = re.compile(r"Operator type: (\S+) Node name: (.*) Node index: .*\n\s*REASON : (.*)")
_ONNX_REFUSED = re.compile(r"failed for node `(.*)` of type `\w+` with error code (\d+)")


def _onnx_runtime_leaves(log: str) -> list[str]:
    """Each operator that the provider leaves; where Qualcomm's library refused it, by its error."""
    refused, found = dict(_ONNX_REFUSED.findall(log)), []
    for kind, node, reason in _ONNX_LEAVES.findall(log):
        error = refused.get(node)
        why = f"refused by Qualcomm's library, error {error}" if error else reason.partition(".")[0]
        found.append(f"{kind} {node}: {why}")
    return found


def _onnx_runtime_says(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return "ONNX Runtime's QNN provider gave no reason"
    return re.sub(r"^[\w.]+: ", "", lines[-1])  # without the exception's name


def _ran(
    command: Sequence[str], environment: Mapping[str, str], says: Callable[[str], str]
) -> tuple[str, str]:
    """What the command printed; and why it failed, empty where it did not."""
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_LONGEST_S,
        )
    except subprocess.TimeoutExpired as error:
        raise RunFailed(f"Qualcomm's compiler had not ended after {_LONGEST_S:.0f} s") from error
    if not done.returncode:
        return done.stdout, ""
    for sign, kind in _OF_THIS_MACHINE.items():
        if sign in done.stdout:
            raise kind(f"Qualcomm's compiler could not run: {says(done.stdout)}")
    if (sdk := own_sdk()) and _OTHER_VERSION.search(done.stdout):
        raise InvalidSdk(
            f"the compiler does not take {sdk}: {says(done.stdout)} Or unset {sdk.variable}, for "
            f"the libraries of {qnn.PACKAGE}"
        )
    if done.returncode == -signal.SIGKILL:
        raise DeviceError("Qualcomm's compiler was killed, perhaps for want of memory")
    return done.stdout, says(done.stdout)


def _store_onnx(path: Path, metadata: Metadata) -> None:
    import onnx

    model = onnx.load(path)
    known = {entry.key: entry.value for entry in model.metadata_props} | metadata.entries()
    onnx.helper.set_model_props(model, known)
    onnx.save(model, path)


def _store_tflite(path: Path, metadata: Metadata) -> None:
    from edgeskin.formats.tflite.metadata_writer import attach

    path.write_bytes(attach(path.read_bytes(), metadata))


_COMPILERS = {"tflite": _by_litert, "onnx": _by_onnx_runtime}
_STORES = {"tflite": _store_tflite, "onnx": _store_onnx}
