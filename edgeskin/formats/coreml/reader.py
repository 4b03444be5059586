"""Core ML files: ML Programs, and the older lists of layers; what they ask of a device.

Core ML says nowhere but on a device who runs an operator. What is off the fast
path is judged by what is published of the Neural Engine (`neural_engine`) and,
of 8-bit files, by the pairs that coremltools itself puts around operators
(`insert_suffix_quantize_dequantize_pair`): conv, linear and add, each with an
activation behind it or without, and pooling. Between such pairs the Neural
Engine of the A17 Pro, M4 and later multiplies int8 by int8 (coremltools guide,
"Linear 8-Bit Quantization" under "Performance").
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeskin.errors import InvalidArtifact
from edgeskin.formats.coreml import ml_program, neural_network
from edgeskin.formats.coreml.neural_engine import why_beside
from edgeskin.formats.coreml.package import Package
from edgeskin.formats.coreml.values import Values, kind_name
from edgeskin.formats.network import Facts, Network, OffFastPath, Operator, Placement

_FUSED = {"conv", "linear", "add", "avg_pool", "max_pool"}
_ACTIVATIONS = {"leaky_relu", "tanh", "scaled_tanh", "sigmoid", "hard_sigmoid", "relu", "relu6"}
_LAYERS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")
_PIPELINES = ("pipeline", "pipelineClassifier", "pipelineRegressor")
# The first systems that read each version of the specification (Model.proto of coremltools).
_NEEDS = {
    1: "iOS 11, macOS 10.13",
    2: "iOS 11.2, macOS 10.13.2",
    3: "iOS 12, macOS 10.14",
    4: "iOS 13, macOS 10.15",
    5: "iOS 14, macOS 11",
    6: "iOS 15, macOS 12",
    7: "iOS 16, macOS 13",
    8: "iOS 17, macOS 14",
    9: "iOS 18, macOS 15",
    10: "iOS 26, macOS 26",
}


def read(path: Path) -> Network:
    """The main function of an ML Program, or the layers of a neural network.

    Of a pipeline, the first model in it that is one of these.

    Raises:
        InvalidArtifact: Truncated, weights missing, or a model of another kind.
    """
    package = Package.open(path)
    spec = package.read_model()
    try:
        network = _model(spec, Values(package))
    except (KeyError, IndexError, AttributeError, ValueError, TypeError, OverflowError) as error:
        why = (
            str(error) if type(error) is ValueError else f"it refers to what is not there, {error}"
        )
        raise package.damaged(why) from error
    return replace(network, facts=replace(network.facts, **_facts(spec)))


def _model(spec: Any, values: Values) -> Network:
    kind = spec.WhichOneof("Type")
    if kind == "mlProgram":
        return _program(spec, values)
    body = getattr(spec, kind)
    if kind in _LAYERS:
        network = neural_network.network(body, spec.description)
        images = [{**i, **neural_network.scaling(body, i["input"])} for i in _images(spec)]
        return replace(network, facts=Facts(images=tuple(images)))
    if kind in _PIPELINES:
        return _pipeline(getattr(body, "pipeline", body), values)
    raise InvalidArtifact(f"{values.package.path} is a {kind}, which has no network to examine")


def _program(spec: Any, values: Values) -> Network:
    functions = spec.mlProgram.functions
    name = spec.description.defaultFunctionName or "main"
    if name not in functions:
        raise InvalidArtifact(
            f"{values.package.path} has no function '{name}'; "
            f"there are {', '.join(functions) or 'none'}"
        )
    network = ml_program.network(functions[name], values)
    images = []
    for image in _images(spec):
        steps = ml_program.arithmetic(image["input"], network, functions[name], values)
        images.append({**image, "arithmetic": steps})
    beside = (*network.facts.beside, *(f"function {n}" for n in sorted(functions) if n != name))
    return replace(network, facts=Facts(images=tuple(images), beside=beside))


def _pipeline(body: Any, values: Values) -> Network:
    """The first model that is a network; the others are named."""
    kinds = [model.WhichOneof("Type") or "empty" for model in body.models]
    at = next((i for i, k in enumerate(kinds) if k in ("mlProgram", *_LAYERS)), None)
    if at is None:
        raise InvalidArtifact(
            f"{values.package.path} is a pipeline of {', '.join(kinds) or 'nothing'}: "
            "there is no network to examine"
        )
    network = _model(body.models[at], values)
    beside = tuple(f"{kind} in the pipeline" for i, kind in enumerate(kinds) if i != at)
    return replace(network, facts=replace(network.facts, beside=beside))


def _facts(spec: Any) -> dict[str, Any]:
    version, metadata = spec.specificationVersion, spec.description.metadata
    entries = {
        "author": metadata.author,
        "license": metadata.license,
        "description": metadata.shortDescription,
        "version": metadata.versionString,
        **metadata.userDefined,
    }
    return {
        "deployment": {
            "type": spec.WhichOneof("Type"),
            "specification_version": version,
            "needs": _NEEDS.get(version, f"a system that reads version {version}"),
        },
        "metadata": {key: value for key, value in entries.items() if value},
    }


def _images(spec: Any) -> list[dict[str, Any]]:
    images = []
    for feature in spec.description.input:
        if feature.type.WhichOneof("Type") == "imageType":
            image = feature.type.imageType
            colour = kind_name(type(image).ColorSpace, image.colorSpace)
            size = {"width": int(image.width), "height": int(image.height)}
            images.append({"input": feature.name, "said_by": "Core ML", "colour": colour, **size})
    return images


def place(path: Path, network: Network) -> Placement:
    """What is not expected on the Neural Engine, each with the reason."""
    off = [
        OffFastPath(op.type, op.name, why)
        for op in network.operators
        if (why := _why_off(op, network))
    ]
    return Placement("Core ML's Neural Engine, by published reports", tuple(off))


def _why_off(op: Operator, network: Network) -> str:
    if why := why_beside(op, network):
        return why
    return _why_float(op, network) if network.qdq and network.is_integer(op) else ""


def _why_float(op: Operator, network: Network) -> str:
    """Why an operator with pairs around it is float, where coremltools' patterns miss it."""
    if op.role in ("quantize", "dequantize", "move", "transpose"):
        return ""
    producers = [network.producer[name] for name in op.inputs if name in network.producer]
    if op.type in _ACTIVATIONS and any(b.type in _FUSED for b in producers):
        return ""
    if op.type not in _FUSED:
        return "not in coremltools' int8 patterns: likely float16 between its pairs"
    if op.type == "add" and not all(b.role == "dequantize" for b in producers):
        return "one of its inputs is not dequantized"
    return ""
