"""Parts of Core ML packages; the weights file is shared, whole, with the package they are of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.coreml.package import Package, messages, within
from edgeskin.formats.cutting import needed
from edgeskin.formats.network import Network

# MIL's types by their numbers, and what the description of a model calls them.
_ARRAYS = {10: 65552, 11: 65568, 21: 131080, 23: 131104}


def open_cutter(path: Path, network: Network) -> CoreMLCutter:
    return CoreMLCutter(path)


class CoreMLCutter:
    """Cuts a part out of an ML Program, as a package of its own."""

    integers = False  # no feature of Core ML is uint8

    def __init__(self, path: Path):
        self.path = path
        package = Package.open(path)
        self.model = package.read_model()
        self.place = package.model_file.relative_to(path)
        self.name = self.model.description.defaultFunctionName or "main"
        function = self.model.mlProgram.functions[self.name]
        self.block = function.block_specializations[function.opset]
        computed = [value for op in self.block.operations for value in op.outputs]
        self.values = {value.name: value for value in (*function.inputs, *computed)}
        self.inputs = {feature.name: feature for feature in self.model.description.input}

    def cut(self, inputs: Sequence[str], outputs: Sequence[str], out: Path) -> None:
        operations = self.block.operations
        steps = [(list(_reads(op)), [value.name for value in op.outputs]) for op in operations]
        kept = [operations[i] for i in needed(steps, inputs, outputs)]
        computed = {value.name for op in kept for value in op.outputs}
        missing = {name for op in kept for name in _reads(op)} - computed - set(inputs)
        if missing:
            raise InvalidArtifact(
                f"{self.path.name}: {outputs[0]} also depends on {min(missing)}, an input"
            )
        self._write(kept, inputs, outputs, out)

    def _write(
        self, kept: Sequence[Any], inputs: Sequence[str], outputs: Sequence[str], out: Path
    ) -> None:
        model = messages().Model()
        model.specificationVersion = self.model.specificationVersion
        for name in inputs:
            model.description.input.append(self.inputs.get(name) or self._feature(name))
        model.description.output.extend(map(self._feature, outputs))
        program, whole = model.mlProgram, self.model.mlProgram
        program.version = whole.version
        function = program.functions["main"]
        function.opset = whole.functions[self.name].opset
        function.inputs.extend(self.values[name] for name in inputs)
        block = function.block_specializations[function.opset]
        block.operations.extend(kept)
        block.outputs.extend(outputs)
        _twin(self.path, out, self.place)
        (out / self.place).parent.mkdir(parents=True, exist_ok=True)
        (out / self.place).write_bytes(model.SerializeToString())

    def _feature(self, name: str) -> Any:
        """The description of a tensor as an input or output."""
        kind = self.values[name].type.tensorType
        feature = type(self.model.description.input[0])()
        feature.name = name
        array = feature.type.multiArrayType
        if kind.dataType not in _ARRAYS:
            raise InvalidArtifact(f"{self.path.name}: {name} is of a type that no feature has")
        array.dataType = _ARRAYS[kind.dataType]
        array.shape.extend(dimension.constant.size for dimension in kind.dimensions)
        return feature


def _reads(op: Any) -> Iterator[str]:
    """The variables that an operation takes, those of its inner blocks included."""
    for argument in op.inputs.values():
        yield from (binding.name for binding in argument.arguments if binding.name)
    for block in op.blocks:
        inside = {value.name for inner in block.operations for value in inner.outputs}
        read = {name for inner in block.operations for name in _reads(inner)}
        yield from (read | set(block.outputs)) - inside - {value.name for value in block.inputs}


def _twin(package: Path, out: Path, model: Path) -> None:
    """A package of the same files but for its model; they are hard links where that is possible.

    Raises:
        InvalidArtifact: A file is a symbolic link that leads out of the package.
    """
    for path in package.rglob("*"):
        place = path.relative_to(package)
        if path.is_dir():
            (out / place).mkdir(parents=True, exist_ok=True)
        elif (source := within(package, str(place), "a file")) != (package / model).resolve():
            (out / place).parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):
                os.link(source, out / place)
            if not (out / place).exists():
                shutil.copyfile(source, out / place)
