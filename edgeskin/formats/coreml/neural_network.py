"""Core ML's older kind, lists of layers (`neuralNetwork` and its classifier and regressor).

Their files name the sizes inside only where a converter wrote them, so the
multiply-adds of a convolution are often unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from edgeskin.formats.network import Network, Operator, Role, Tensor

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("convolution", "innerProduct", "batchedMatmul"), "multiply"),
    **dict.fromkeys(("reshape", "flatten", "squeeze", "expandDims", "flattenTo2D"), "move"),
    **dict.fromkeys(("permute", "transpose"), "transpose"),
    **dict.fromkeys(("activation.ReLU", "clip"), "clamp"),
    "batchnorm": "batch_norm",
}


def network(body: Any, description: Any) -> Network:
    """The layers of a NeuralNetwork message; inputs and outputs as the model describes them."""
    tensors = {}
    for feature in (*description.input, *description.output):
        tensors[feature.name] = Tensor(feature.name, *_feature(feature.type))
    operators = []
    for layer in body.layers:
        for name, sizes in _ends(layer):
            tensors.setdefault(name, Tensor(name, sizes, "float"))
        operators.append(_operator(layer, tensors))
    return Network(
        tuple(operators),
        tensors,
        tuple(feature.name for feature in description.input),
        tuple(feature.name for feature in description.output),
        qdq=False,
    )


def scaling(body: Any, name: str) -> dict[str, Any]:
    """How the pixels of the image input `name` are scaled and shifted, where they are."""
    for step in body.preprocessing:
        if step.featureName in ("", name) and step.WhichOneof("preprocessor") == "scaler":
            s = step.scaler
            return {"scale": s.channelScale, "bias": [s.redBias, s.greenBias, s.blueBias]}
    return {}


def _ends(layer: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names of a layer's inputs and outputs, with their sizes where the file has them."""
    for names, shapes in ((layer.input, layer.inputTensor), (layer.output, layer.outputTensor)):
        for index, name in enumerate(names):
            sizes = tuple(map(int, shapes[index].dimValue)) if index < len(shapes) else (-1,)
            yield name, sizes


def _operator(layer: Any, tensors: dict[str, Tensor]) -> Operator:
    kind = layer.WhichOneof("layer") or "empty"
    params = _params(getattr(layer, kind)) if kind != "empty" else ()
    constants = [_weight(f"{layer.name}.{name}", param) for name, param in params]
    tensors |= {tensor.name: tensor for tensor in constants}
    word = _word(kind, layer)
    role = _ROLES.get(word, "other")
    operands = _operands(layer, constants) if role == "multiply" else ()
    return Operator(
        word,
        (*layer.input, *(tensor.name for tensor in constants)),
        tuple(layer.output),
        role,
        operands=operands,
        multiply_adds=_multiply_adds(kind, layer, tensors) if operands else 0,
    )


def _word(kind: str, layer: Any) -> str:
    """The layer's type; of an activation, which one."""
    if kind != "activation":
        return kind
    return f"activation.{layer.activation.WhichOneof('NonlinearityType')}"


def _params(message: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every WeightParams in a layer, by its place: `weights`, `bias`, `weightParams.inputGate`."""
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in [value] if hasattr(value, "ListFields") else value:
            name = f"{path}{field.name}"
            if field.message_type.name == "WeightParams":
                yield name, part
            elif field.message_type.fields:
                yield from _params(part, f"{name}.")


def _weight(name: str, params: Any) -> Tensor:
    kind = _storage(params)
    floats = len(params.floatValue)
    stored = 4 * floats + len(params.float16Value) + len(params.rawValue) + len(params.int8RawValue)
    values = floats or len(params.float16Value) // 2 or len(params.int8RawValue)
    if not values and params.quantization.numberOfBits:
        values = 8 * len(params.rawValue) // params.quantization.numberOfBits
    return Tensor(name, (values,), kind, constant=True, stored_bytes=stored)


def _storage(params: Any) -> str:
    """The stored type of a weight: float32, float16, int8, or bits in steps or as a palette."""
    if params.floatValue:
        return "float32"
    if params.float16Value:
        return "float16"
    if params.int8RawValue:
        return "int8"
    how = params.quantization.WhichOneof("QuantizationType")
    word = "palette" if how == "lookupTableQuantization" else "steps"
    return f"{params.quantization.numberOfBits}-bit {word}" if how else "empty"


def _operands(layer: Any, constants: list[Tensor]) -> tuple[str, ...]:
    """Data and weights, or two inputs."""
    weights = [tensor.name for tensor in constants if tensor.name.endswith(".weights")]
    return tuple([*layer.input, *weights][:2]) if layer.input else ()


def _multiply_adds(kind: str, layer: Any, tensors: dict[str, Tensor]) -> int:
    """The number of products; 0 where the file does not say the sizes."""
    output = tensors[layer.output[0]] if layer.output else None
    if kind == "innerProduct":
        product = layer.innerProduct.inputChannels * layer.innerProduct.outputChannels
        return int(product)
    if kind != "convolution" or output is None or -1 in output.shape or not output.shape:
        return 0
    conv = layer.convolution
    window = math.prod(conv.kernelSize or (3, 3)) * conv.kernelChannels
    if conv.isDeconvolution:
        data = tensors[layer.input[0]]
        return (
            data.values
            * math.prod(conv.kernelSize or (3, 3))
            * (conv.outputChannels // max(1, conv.nGroups))
        )
    return output.values * int(window)


def _feature(kind: Any) -> tuple[tuple[int, ...], str]:
    """Sizes and type of an input or output; an image is (channels, height, width) of uint8."""
    match kind.WhichOneof("Type"):
        case "imageType":
            image = kind.imageType
            return (3 if image.colorSpace in (20, 30) else 1, image.height, image.width), "uint8"
        case "multiArrayType":
            array = kind.multiArrayType
            names = {65552: "float16", 65568: "float32", 65600: "float64", 131104: "int32"}
            return tuple(map(int, array.shape)), names.get(array.dataType, "unknown")
        case other:
            return (), (other or "unknown").removesuffix("Type")
