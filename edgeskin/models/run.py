"""A run on disk: `spec.json` and the network (and, of training, `metrics.json`).

The network is `weights.safetensors`, for the factory that the spec names, or
`network.pt2`, a graph with its weights, where it came from elsewhere.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from edgeskin.errors import InvalidRun
from edgeskin.files import atomic, sha256, write_json
from edgeskin.models.architectures import build
from edgeskin.models.exported import ExportedNetwork, load_graph, save_graph
from edgeskin.models.run_files import GRAPH, WEIGHTS, network_file
from edgeskin.spec import Spec

BUILTIN = Path(__file__).parent / "builtin"
"""The run that comes with edgeskin, trained on phantoms alone."""


@dataclass(frozen=True)
class Run:
    """A trained float model: its spec and its network, in eval mode."""

    spec: Spec
    network: nn.Module
    sha256: str = ""
    """Of the file that holds the weights; empty for a network that was not loaded from one."""


def load_run(folder: Path | str, *, trust: bool = False) -> Run:
    """Build the network of `folder/spec.json` and fill in its weights.

    Args:
        trust: Run the code that the spec names, whoever wrote it.

    Raises:
        NotTrusted: The spec names a factory that needs `trust`.
        InvalidRun: No such folder, no weights, weights that do not fit, or a damaged graph.
        InvalidSpec: The spec does not validate.
    """
    folder = Path(folder)
    if not (folder / "spec.json").is_file():
        raise InvalidRun(f"{folder} is not a run: it has no spec.json")
    spec = Spec.load(folder)
    path = network_file(folder)
    if path.name == GRAPH:
        return Run(spec, _read_graph(path).eval(), sha256(path))
    network = build(spec, trust=trust)
    fit_weights(network, read_weights(path), where=str(path))
    return Run(spec, network.eval(), sha256(path))


def _read_graph(path: Path) -> ExportedNetwork:
    try:
        return ExportedNetwork(load_graph(path.read_bytes()))
    except Exception as error:  # zip, JSON and torch raise types of their own
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidRun(f"{path} is damaged ({why}). Import the network again.") from error


def save_run(
    folder: Path, spec: Spec, network: nn.Module, metrics: Any = None, *, force: bool = False
) -> None:
    """Write a run, whole or not at all."""
    with atomic(folder, force=force) as fresh:
        fresh.mkdir()
        (fresh / "spec.json").write_text(spec.to_json(indent=2) + "\n", encoding="utf-8")
        if isinstance(network, ExportedNetwork):
            example = torch.zeros(1, 3, spec.input.height, spec.input.width)
            (fresh / GRAPH).write_bytes(save_graph(network.network, example))
        else:
            state = {
                name: t.detach().clone(memory_format=torch.contiguous_format)  # tied ones apart
                for name, t in network.state_dict().items()
            }
            (fresh / WEIGHTS).write_bytes(save(state))  # OSError where it cannot
        if metrics is not None:
            write_json(fresh / "metrics.json", metrics)


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from `.safetensors`, or from a torch file that holds tensors only.

    Raises:
        InvalidRun: Missing, damaged, or a file of another kind; the message says which.
    """
    if not path.is_file():
        raise InvalidRun(f"{path} is {'a folder' if path.is_dir() else 'missing'}")
    if kind := _foreign_kind(path):
        raise InvalidRun(f"{path} is {kind}, not a weights file. {_HOW_TO_SAVE}")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch says how to run it
        what = "is not a weights file"
        if zipfile.is_zipfile(path):
            what = "holds more than tensors, so it is not loaded: objects are code"
        raise InvalidRun(f"{path} {what}. {_HOW_TO_SAVE}") from error
    except Exception as error:  # torch and safetensors raise types of their own
        why = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise InvalidRun(f"{path} is damaged or not a weights file: {why}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise InvalidRun(f"{path} is not a state dict (a mapping from names to tensors)")
    return state


_HOW_TO_SAVE = (
    "Save the trained network's tensors: safetensors.torch.save_file(network.state_dict(), "
    "'weights.safetensors')."
)


def _foreign_kind(path: Path) -> str:
    """What a file of another kind is, in words, by its first bytes or its records; else ""."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "an HDF5 file (Keras)"
    if head[4:8] == b"TFL3":
        return "a TFLite model"
    if path.suffix == ".onnx":
        return "an ONNX model"
    if not zipfile.is_zipfile(path):
        return ""
    with zipfile.ZipFile(path) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
    if "constants.pkl" in names:
        return "a TorchScript archive"
    if names & {"model.json", "serialized_exported_program.json"}:
        return "a network exported by torch.export"
    return ""


def fit_weights(network: nn.Module, state: dict[str, torch.Tensor], *, where: str) -> None:
    """Load `state`, half precision widened to the network's own; say what does not fit."""
    own = network.state_dict()
    state = _without_prefix(state, own, where)
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    shapes = [
        f"{name} is {tuple(state[name].shape)}, the network wants {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = shapes[:1]
    if extra:
        problems.insert(0, f"{len(extra)} are unknown, the first is {extra[0]}")
    if missing:
        problems.insert(0, f"{len(missing)} tensors are missing, the first is {missing[0]}")
    if problems:
        raise InvalidRun(f"{where} does not fit its network: {'; '.join(problems)}")
    network.load_state_dict(state)


def _without_prefix(
    state: dict[str, torch.Tensor], own: Mapping[str, torch.Tensor], where: str
) -> dict[str, torch.Tensor]:
    """The state without the prefix of a training wrapper, such as `module.` of DataParallel."""
    shared = {name.partition(".")[0] for name in state}
    if len(shared) != 1 or any(name in own for name in state):
        return state
    prefix = f"{shared.pop()}."
    bare = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    if not bare.keys() & own.keys():
        return state
    warnings.warn(f"{where}: '{prefix}' before every name was left out", stacklevel=3)
    return bare
