"""Module paths for constants, made from the names in a file: what people call their layers."""

from __future__ import annotations

import ast
import re
from contextlib import suppress

from onnx import NodeProto
from torch import nn

from edgeskin.sources.onnx_graph.calls import Call, Draft, Ref
from edgeskin.sources.onnx_graph.operator_arguments import parameter_names

_PATH = re.compile(r"[./]")
_SCOPES = "pkg.torch.onnx.name_scopes"
_TAKEN = set(dir(nn.Module()))


def constant_paths(draft: Draft) -> dict[str, str]:
    """A module path for every constant that an operator or an output reads.

    A name with dots or slashes is a path: `backbone.blocks.0.conv.weight`. One
    without, as exporters make them up for folded weights, gets the path of the
    operator that reads it, and the name of the parameter there.
    """
    users = draft.users()
    paths: dict[str, str] = {}
    tree: set[str] = set()  # of modules
    leaves: set[str] = set()
    for call in draft.calls:
        for role, name in _constants(call, draft):
            if name not in paths:
                wanted = _path(draft.origins[name], role, _reader(call, users))
                paths[name] = _free(wanted, tree, leaves)
    for name in draft.outputs:
        if name in draft.fixed and name not in paths:
            paths[name] = _free(f"{_part(name)}.value", tree, leaves)
    return paths


def module_path(operator: str) -> str:
    """The module of an operator: `/blocks/blocks.0/conv/Conv` is blocks.0.conv.

    TorchScript's exporter names each module with its parent's name in front.
    """
    path: list[str] = []
    for name in operator.strip("/").split("/")[:-1]:
        parts = name.split(".")
        overlap = next(
            (k for k in range(len(parts) - 1, 0, -1) if path[-k:] == parts[:k]),
            0,
        )
        path += parts[overlap:]
    return ".".join(map(_part, path))


def module_of(node: NodeProto) -> str:
    """The path of a node's module: torch.export's exporter notes it, others put it in the name."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                _, *modules, _ = ast.literal_eval(entry.value)
                return ".".join(map(_part, modules[-1].split("."))) if modules else ""
    return module_path(node.name)


def _constants(call: Call, draft: Draft) -> list[tuple[str, str]]:
    roles = parameter_names(call.function, len(call.arguments)) if _is_ours(call) else _STEP
    named = [*zip(roles, call.arguments, strict=False), *call.options.items()]
    return [(r, v.name) for r, v in named if isinstance(v, Ref) and v.name in draft.fixed]


_STEP = ("weight", "scales", "zero_points")


def _is_ours(call: Call) -> bool:
    return call.type not in ("QuantizeLinear", "DequantizeLinear")


def _reader(call: Call, users: dict[str, list[Call]]) -> Call:
    """The operator that a constant is for: behind the step that dequantizes it."""
    if call.type == "DequantizeLinear" and users.get(call.outputs[0]):
        return users[call.outputs[0]][0]
    return call


def _path(origin: str, role: str, reader: Call) -> str:
    name = origin.partition("::")[0] if not origin.startswith("onnx::") else origin[6:]
    parts = [_part(part) for part in _PATH.split(name.removesuffix(":0").strip("./")) if part]
    if role in ("scales", "zero_points"):
        return ".".join([*(parts[:-1] or parts or ["scales"]), f"{parts[-1]}_{role}"])
    if len(parts) > 1:
        return ".".join(parts)
    module = reader.module or module_path(reader.name)
    return f"{module}.{role}" if module else f"{(parts or ['constant'])[0]}.{role}"


def _part(name: str) -> str:
    """A name that a module may have."""
    plain = re.sub(r"\W", "_", name) or "_"
    return f"{plain}_" if plain in _TAKEN else plain


def _free(path: str, tree: set[str], leaves: set[str]) -> str:
    """`path`, altered until it names no other tensor, and no module as a tensor or back."""
    module, _, leaf = path.rpartition(".")
    parents = module.split(".")
    for depth in range(1, len(parents) + 1):
        while ".".join(parents[:depth]) in leaves:
            parents[depth - 1] += "_"
    module, number, chosen = ".".join(parents), 1, leaf
    while f"{module}.{chosen}" in tree | leaves:
        number += 1
        chosen = f"{leaf}_{number}"
    tree.update(".".join(parents[:depth]) for depth in range(1, len(parents) + 1))
    leaves.add(f"{module}.{chosen}")
    return f"{module}.{chosen}"
