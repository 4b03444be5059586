"""The inputs and outputs of a model as an app sees them, and as tensors of its program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeskin.errors import InvalidArtifact
from edgeskin.runtimes import TensorSpec
from edgeskin.runtimes.mil.parse import Constant, Program, Variable

if TYPE_CHECKING:  # Core ML itself needs the description only, and no torch
    from torch import Tensor

    from edgeskin.runtimes.mil.plan import Values

_ARRAYS = {65552: "float16", 65568: "float32", 65600: "float64", 131104: "int32", 131080: "int8"}
_GRAY, _RGB, _BGR, _GRAY_FLOAT = 10, 20, 30, 40


@dataclass(frozen=True)
class Classifier:
    """The operator `classify`: which tensor it reads, and the names of what it gives."""

    reads: str
    label: str
    probabilities: str
    classes: tuple[Any, ...]


@dataclass(frozen=True)
class Features:
    """Inputs and outputs as the model describes them; `program` is without its classifier."""

    program: Program
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    images: Mapping[str, int]  # colour layout by name
    classifier: Classifier | None

    @property
    def classes(self) -> tuple[Any, ...]:
        return self.classifier.classes if self.classifier else ()

    def values(self, feeds: Mapping[str, NDArray[Any]]) -> Values:
        """Feeds as the program takes them; images as float32 (1, C, H, W) of 0 to 255."""
        return {name: self._value(name, array) for name, array in feeds.items()}

    def _value(self, name: str, array: NDArray[Any]) -> Tensor:
        import torch

        if name in self.images:
            array = array[..., ::-1] if self.images[name] == _BGR else array
            array = np.moveaxis(array, -1, 1)
        kind = np.float32 if name in self.images or array.dtype.kind == "f" else array.dtype
        return torch.from_numpy(np.array(array, kind, order="C"))

    def results(self, values: Values) -> dict[str, NDArray[Any]]:
        """Outputs in the types that the model describes, as arrays of their own."""
        found = {
            spec.name: np.array(values[spec.name].numpy(), spec.dtype)
            for spec in self.outputs
            if spec.name in values
        }
        if self.classifier:
            probabilities = values[self.classifier.reads].numpy().reshape(-1)
            if len(probabilities) != len(self.classes):
                raise InvalidArtifact(
                    f"the classifier has {len(self.classes)} classes "
                    f"for {len(probabilities)} probabilities"
                )
            found[self.classifier.label] = np.array(self.classes[int(probabilities.argmax())])
            found[self.classifier.probabilities] = probabilities.astype(np.float32)
        return {spec.name: found[spec.name] for spec in self.outputs}


def read_features(model: Any, program: Program) -> Features:
    """What the description of the default function says about its inputs and outputs.

    Raises:
        InvalidArtifact: No inputs, or inputs and outputs that the program has
            not, or of a type that this runtime does not feed or give.
    """
    description = _description(model)
    program, classifier = _without_classifier(program)
    types = {v.name: v for v in program.block.inputs}
    types |= {v.name: v for op in program.block.operations for v in op.outputs}
    if not description.input:
        raise InvalidArtifact("the model has no inputs")
    if {i.name for i in description.input} != {v.name for v in program.block.inputs}:
        raise InvalidArtifact("the model describes other inputs than its program has")
    inputs = tuple(_input(feature, types[feature.name]) for feature in description.input)
    outputs = tuple(_output(feature, types, program, classifier) for feature in description.output)
    images = {
        i.name: i.type.imageType.colorSpace
        for i in description.input
        if i.type.HasField("imageType")
    }
    return Features(program, inputs, outputs, images, classifier)


def _description(model: Any) -> Any:
    """The description of the default function, where a model has several."""
    description = model.description
    named = [f for f in description.functions if f.name == description.defaultFunctionName]
    return named[0] if named else description


def _without_classifier(program: Program) -> tuple[Program, Classifier | None]:
    found = [op for op in program.block.operations if op.type == "classify"]
    if not found:
        return program, None
    operation = found[-1]
    classes = operation.inputs["classes"][0]
    if isinstance(classes, str):
        classes = program.constants[classes]
    read = operation.inputs["probabilities"][0]
    label, probabilities = (variable.name for variable in operation.outputs)
    kept = tuple(op for op in program.block.operations if op is not operation)
    outputs = [n for n in program.block.outputs if n not in (label, probabilities)]
    block = replace(program.block, operations=kept, outputs=(*outputs, str(read)))
    classifier = Classifier(str(read), label, probabilities, tuple(_listed(classes)))
    return replace(program, block=block), classifier


def _listed(classes: Constant) -> list[Any]:
    return classes.tolist() if isinstance(classes, np.ndarray) else list(classes)


def _input(feature: Any, variable: Variable) -> TensorSpec:
    if variable.type is None:
        raise InvalidArtifact(f"the input '{feature.name}' is no tensor")
    shape = variable.type.shape
    if feature.type.HasField("imageType"):
        gray_float = feature.type.imageType.colorSpace == _GRAY_FLOAT
        n, c, h, w = shape
        return TensorSpec(feature.name, (n, h, w, c), "float16" if gray_float else "uint8")
    return TensorSpec(feature.name, shape, _array_type(feature))


def _output(
    feature: Any, types: Mapping[str, Variable], program: Program, classifier: Classifier | None
) -> TensorSpec:
    if classifier and feature.name == classifier.label:
        kind = "int64" if feature.type.HasField("int64Type") else "str"
        return TensorSpec(feature.name, (), kind)
    if classifier and feature.name == classifier.probabilities:
        return TensorSpec(feature.name, (len(classifier.classes),), "float32")
    variable = types.get(feature.name)
    if feature.name not in program.block.outputs or variable is None or variable.type is None:
        raise InvalidArtifact(f"the program does not give the output '{feature.name}'")
    return TensorSpec(feature.name, variable.type.shape, _array_type(feature))


def _array_type(feature: Any) -> str:
    code = feature.type.multiArrayType.dataType if feature.type.HasField("multiArrayType") else 0
    if code not in _ARRAYS:
        raise InvalidArtifact(
            f"'{feature.name}' is a {feature.type.WhichOneof('Type')}, "
            "which this runtime can neither feed nor give"
        )
    return _ARRAYS[code]
