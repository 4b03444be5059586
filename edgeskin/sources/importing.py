"""`edgeskin import`: a model that somebody else made becomes a run, or a program.

Whatever it was, it ends as one graph of torch operators with a spec beside it, and
is held against its source before it is written: from then on nobody knows where it
came from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgeskin.calibration.graphs import attribute
from edgeskin.data.manifest import EVERY, ImageData, load_split
from edgeskin.document import Document
from edgeskin.errors import InvalidSpec
from edgeskin.files import check_writable
from edgeskin.models.app_model import AppModel
from edgeskin.models.architectures import Foreign
from edgeskin.models.exported import ExportedNetwork
from edgeskin.models.output_shapes import check_outputs
from edgeskin.models.run import save_run
from edgeskin.postprocess import activation_of
from edgeskin.preprocess import preprocess
from edgeskin.progress import Progress, silent
from edgeskin.sources.adapt import Adapted, Restored
from edgeskin.sources.agreement import check_agreement
from edgeskin.sources.by_name import NamedNetwork, is_name, open_named
from edgeskin.sources.found import Found, chosen_outputs, exported_graph, find
from edgeskin.sources.graph_outputs import Activation, without_final_activations
from edgeskin.sources.guess_heads import GuessedHead, heads_of
from edgeskin.sources.guess_spec import GuessedSpec, looked_at
from edgeskin.sources.settling import Ask, photos, settle_spec, stated_size, with_library
from edgeskin.sources.spec_answers import SpecAnswers
from edgeskin.sources.torch_answers import unnamed
from edgeskin.sources.without_transposes import without_transposes
from edgeskin.spec import Head, Spec


class ImportReport(Document):
    """What an import made, and how far it agrees with its source.

    Attributes:
        out: The run (a folder) or the program (a `.pt2` file), by name.
        kind: What the source is, in words.
        runtime: What the source ran on; absent where it is the very network that is kept.
        sqnr_db: Of the output that agrees least, in decibels.
        images: How many it was compared on, and `of` what.
        guessed: What was read from the model or guessed, a line each.
    """

    version: int = 1
    out: str
    kind: str
    runtime: str | None = None
    sqnr_db: float | None = None
    images: int | None = None
    of: str | None = None
    guessed: tuple[str, ...] = ()


def import_run(
    source: nn.Module | Path | str,
    spec: Spec | Path | str | None,
    out: Path | str,
    *,
    weights: Path | str | None = None,
    model_args: Mapping[str, Any] | str = "{}",
    answers: SpecAnswers = SpecAnswers(),
    example: Tensor | None = None,
    input_size: tuple[int, int] | None = None,
    data: ImageData | Path | str | None = None,
    ask: Ask | None = None,
    force: bool = False,
    trust: bool = False,
    progress: Progress = silent,
) -> ImportReport:
    """Make a run of a model, and check that it computes what the model computes.

    Args:
        source: A module in memory; the path of an ONNX, `.pt2`, TorchScript or Keras file or of
            a SavedModel folder; or a name: `timm:NAME`, `torchvision:NAME`,
            `package.module:factory`.
        spec: A spec, or its path; None guesses it from the model and `answers`.
        out: The run, a folder to make; of a quantized source the program, a `.pt2` file.
        weights: Of a network by name: a state dict, `.safetensors` or `.pth` of tensors.
        model_args: Keywords of a factory, or their JSON.
        answers: What the model does not say.
        example: What a module takes, float32 (1, 3, H, W): its size, and the look of its values
            where nobody says how pixels are normalised.
        input_size: Rows and columns of the image, where the model leaves them open.
        data: Images to compare on, as `open_data` takes or gives them; phantoms by default.
        ask: Is called where nobody says how pixels are normalised.
        trust: Run code that the source holds or names.

    Raises:
        InvalidRun: The model cannot be read or run, or the run computes something else.
        InvalidSpec: The spec does not parse, or something in it nobody says.
        UnknownName: A factory, or a network of a library, that there is not.
        NotTrusted: It needs `trust`.
        ShapeMismatch: An output has not the shape that its head asks for.
    """
    out = Path(out)
    check_writable(out, force=force)
    given = None if spec is None else _load(spec)
    if example is not None:
        input_size = input_size or (example.shape[2], example.shape[3])
        answers = answers if given else looked_at(example, answers)
    if isinstance(source, str) and is_name(source) and not Path(source).exists():
        named = open_named(source, weights, _arguments(model_args), trust=trust)
        if given is not None:
            return _keep_factory(named, given, (), out, force=force)
        found = find(named, input_size=input_size or stated_size(named, answers, trust=trust))
        answers = with_library(named, answers)
    else:
        size = input_size
        if isinstance(source, nn.Module):
            size = input_size or stated_size(given, answers, trust=trust)
        found = find(source, input_size=size, trust=trust)
    heads = answers.heads if given is None else given.heads
    found = chosen_outputs(found, [head.name for head in heads])
    guessed = settle_spec(found, given, answers, ask, data=data, trust=trust)
    if found.named is not None and _is_as_made(found, guessed.spec):
        return _keep_factory(found.named, guessed.spec, guessed.said, out, force=force)
    return _import_graph(found, guessed, out, data, force, progress)


def network_of(source: Path | str, spec: Spec, *, trust: bool = False) -> ExportedNetwork:
    """The network in a model file, with the heads of `spec`, held against the file's own runtime.

    Raises:
        EdgeskinError: As `import_run`.
    """
    size = (spec.input.height, spec.input.width)
    found = find(source, input_size=size, trust=trust)
    found = chosen_outputs(found, [head.name for head in spec.heads])
    adapted, network, restored = adapt(found, spec, heads_of(spec, found.outputs, found.layout))
    images, _ = _images(spec, None)
    check_agreement(found.model, adapted, network, restored, images)
    return network


def spec_of(
    source: nn.Module | Path | str,
    *,
    weights: Path | str | None = None,
    model_args: Mapping[str, Any] | str = "{}",
    answers: SpecAnswers = SpecAnswers(),
    input_size: tuple[int, int] | None = None,
    ask: Ask | None = None,
    trust: bool = False,
) -> GuessedSpec:
    """The spec that `import_run` would give a model; the arguments are its own.

    Raises:
        EdgeskinError: As `import_run`.
    """
    opened: NamedNetwork | nn.Module | Path | str = source
    if isinstance(source, str) and is_name(source) and not Path(source).exists():
        opened = open_named(source, weights, _arguments(model_args), trust=trust)
    if isinstance(opened, NamedNetwork):
        input_size = input_size or stated_size(opened, answers, trust=trust)
        answers = with_library(opened, answers)
    elif isinstance(opened, nn.Module):
        input_size = input_size or stated_size(None, answers, trust=trust)
    found = find(opened, input_size=input_size, trust=trust)
    found = chosen_outputs(found, [head.name for head in answers.heads])
    return settle_spec(found, None, answers, ask, trust=trust)


def _import_graph(
    found: Found,
    guessed: GuessedSpec,
    out: Path,
    data: ImageData | Path | str | None,
    force: bool,
    progress: Progress,
) -> ImportReport:
    spec = guessed.spec
    heads = heads_of(spec, found.outputs, found.layout)
    progress("importing, writing the graph", 0, 2)
    adapted, network, restored = adapt(found, spec, heads)
    progress("importing, comparing with the source", 1, 2)
    images, of = _images(spec, data)
    agreement = check_agreement(found.model, adapted, network, restored, images)
    if found.model.quantized:
        from edgeskin.calibration.adopt import adopt
        from edgeskin.calibration.program import save_program

        save_program(out, adopt(network.network, spec), force=force)
    else:
        save_run(out, spec, network, force=force)
    progress("importing, done", 2, 2)
    return ImportReport(
        out=out.name,
        kind=found.kind,
        runtime=found.model.runtime,
        sqnr_db=agreement.sqnr_db,
        images=agreement.images,
        of=of,
        guessed=guessed.said,
    )


def _is_as_made(found: Found, spec: Spec) -> bool:
    """Whether what a factory makes gives the raw heads of `spec` by itself, in their order."""
    names = [tensor.name for tensor in found.model.outputs]
    by_name = names == [head.name for head in spec.heads]
    in_order = names == list(unnamed(len(names)))
    return (by_name or in_order) and not any(_stripped_heads(found, spec))


def adapt(
    found: Found, spec: Spec, heads: Sequence[GuessedHead]
) -> tuple[Adapted, ExportedNetwork, list[Restored]]:
    """The network of a run, and what leads from and to the source's own."""
    stripped = _stripped_heads(found, spec)
    restored = [
        Restored(guess, output.activation if strip else None, output.tensor.shape)
        for guess, output, strip in zip(heads, found.outputs, stripped, strict=True)
    ]
    graph = without_final_activations(found.graph, stripped)
    adapted = Adapted(graph, found.image, heads)
    shape = (1, 3, spec.input.height, spec.input.width)
    exported = exported_graph(adapted, shape, found.model.name)
    if not found.model.quantized:  # constants behind a dequantize step must stay integers
        exported = without_transposes(exported)
    return adapted, ExportedNetwork(_unprefixed(exported)), restored


def _unprefixed(graph: fx.GraphModule) -> fx.GraphModule:
    """The graph with the source's own names of its weights, without those of what is around it."""
    tensors = {}
    for node in graph.graph.find_nodes(op="get_attr"):
        tensor = attribute(graph, node)
        node.target = str(node.target).removeprefix("network.")
        tensors[node.target] = tensor
    return fx.GraphModule(tensors, graph.graph)


def _stripped_heads(found: Found, spec: Spec) -> list[bool]:
    """Whether each output's activation is its head's own, so that the run gives what is before.

    Raises:
        InvalidSpec: A head is decoded by the other one.
    """
    return [
        _is_stripped(head, output.activation)
        for head, output in zip(spec.heads, found.outputs, strict=True)
    ]


def _is_stripped(head: Head, activation: Activation | None) -> bool:
    own = activation_of(head)
    if own is None or activation is None:
        return False
    if own != activation:
        kinds = {"softmax": "classification", "sigmoid": "multilabel"}
        raise InvalidSpec(
            f"head '{head.name}' is decoded by {own}, and its output ends in {activation} "
            f"already: give it the kind {kinds[activation]}"
        )
    return True


def _images(spec: Spec, data: ImageData | Path | str | None) -> tuple[list[Tensor], str]:
    """What to compare on, normalised float32 (1, 3, H, W), and where it is from."""
    pixels = [preprocess(photo, spec.input) for photo in photos(data)]
    normalize = AppModel(nn.Identity(), spec).normalize
    images = [normalize(torch.from_numpy(image)[None]).contiguous() for image in pixels]
    return images, "phantoms" if data is None else load_split(data, EVERY).name


def _keep_factory(
    named: NamedNetwork, spec: Spec, said: tuple[str, ...], out: Path, *, force: bool
) -> ImportReport:
    """A run of a network by name: its factory and its weights."""
    spec = spec.model_copy(update={"arch": named.arch, "arch_args": dict(named.arguments)})
    network = Foreign(named.network, tuple(head.name for head in spec.heads))
    check_outputs(spec, network.eval())
    save_run(out, spec, network, force=force)
    return ImportReport(out=out.name, kind=f"the network {named.text}", guessed=said)


def _load(spec: Spec | Path | str) -> Spec:
    return spec if isinstance(spec, Spec) else Spec.load(Path(spec))


def _arguments(given: Mapping[str, Any] | str) -> dict[str, object]:
    try:
        arguments = json.loads(given) if isinstance(given, str) else dict(given)
    except ValueError as error:
        raise InvalidSpec(f"--model-args is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise InvalidSpec("--model-args must be a JSON object, such as '{\"num_classes\": 4}'")
    return arguments
