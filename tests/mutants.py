"""Broken artifacts, and what each of them must be refused for.

A mutant is made as it would come about: by a converter that makes a mistake, or
by a hand on the finished file. It stands in a folder of its own without a
manifest, so that what refuses it is what is wrong with it, not its hash.
"""

from __future__ import annotations

import copy
import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from PIL import Image
from tiny_network import Tiny, tiny_spec
from torch import Tensor, nn

from edgeskin.artifacts import TFLITE_ENTRY, Metadata, labels
from edgeskin.calibration.calibrate import calibrate
from edgeskin.calibration.program import Program, save_program
from edgeskin.cli.main import run as command
from edgeskin.converters import TARGETS
from edgeskin.converters.legalize.tflite import Graph
from edgeskin.converters.model import Job
from edgeskin.converters.selfcheck import images
from edgeskin.converters.worker import examine
from edgeskin.errors import EdgeskinError
from edgeskin.models.app_model import AppModel, Layout
from edgeskin.models.network import build
from edgeskin.models.run import load_run, save_run
from edgeskin.runtimes.mil.package import messages
from edgeskin.spec import Spec

ALL = ("onnx", "tflite", "coreml")
_MODEL = "Data/com.apple.CoreML/model.mlmodel"
_WEIGHTS = "Data/com.apple.CoreML/weights/weight.bin"


class World:
    """A run, its program, a data set, and files made of them, each when it is first asked for."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.spec = tiny_spec(arch="tiny_network:Tiny")
        self.file = cache(self._file)
        self.made = cache(self._made)

    @cached_property
    def run(self) -> Path:
        """Answers that differ from image to image as a trained network's do."""
        torch.manual_seed(2)
        network = build(self.spec)
        tiny: Tiny = network.network  # type: ignore[assignment]
        with torch.no_grad():
            for norm in (tiny.stem[1], tiny.depthwise[1]):
                norm.running_mean.uniform_(-0.5, 0.5)
                norm.running_var.uniform_(0.2, 2.0)
            network.eval()
            x = AppModel(network, self.spec).normalize(torch.from_numpy(np.stack(self.images)))
            y = tiny.stem(x)
            features = tiny.pool(y + tiny.depthwise(y)).flatten(1)
            for head in tiny.heads:  # logits of mean 0 and deviation 2 over the images
                logits = 4.0 * head(features)
                scale = 2.0 / logits.std(dim=0)
                head.bias.sub_(logits.mean(dim=0) / 4.0).mul_(scale)
                head.weight.mul_(scale[:, None])
        save_run(self.folder / "run", self.spec, network)
        return self.folder / "run"

    @cached_property
    def images(self) -> list[np.ndarray]:
        return [image for seed in range(4) for image in images(self.spec.input, seed)]

    @cached_property
    def data(self) -> Path:
        folder = self.folder / "data"
        folder.mkdir()
        lines = ["file,split,severity,count"]
        for i, image in enumerate(self.images):
            Image.fromarray(image).save(folder / f"{i}.png")
            lines.append(f"{i}.png,test,{('none', 'some', 'many')[i % 3]},{1 + i % 9}")
        (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
        return folder

    @cached_property
    def network(self) -> nn.Module:
        return load_run(self.run).network

    def calibrated(self, **options: Any) -> Program:
        return calibrate(self.network, self.spec, self.images, method="minmax", **options)

    @cached_property
    def program(self) -> Program:
        found = self.calibrated()
        sha256 = load_run(self.run).sha256
        record = found.calibration | {"run": {"name": "run", "sha256": sha256}}
        return replace(found, calibration=record)

    @cached_property
    def program_file(self) -> Path:
        save_program(self.folder / "program.pt2", self.program)
        return self.folder / "program.pt2"

    def job(self, precision: str, io: str = "app", **changes: Any) -> Job:
        network = self.program.module if precision == "int8" else self.network
        sha256 = load_run(self.run).sha256
        metadata = Metadata(self.spec, io, precision, weights_sha256=sha256)  # type: ignore[arg-type]
        return Job(**{"network": network, "metadata": metadata, **changes})

    def convert(self, job: Job, target: str) -> Path:
        """A fresh file in a folder of its own."""
        folder = self.folder / f"file-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        path = folder / f"tiny-{job.metadata.precision}{TARGETS[target].suffix}"
        TARGETS[target].load().convert(job, path)
        return path

    def _file(self, target: str, precision: str, io: str = "app") -> Path:
        return self.convert(self.job(precision, io), target)

    def copy(self, target: str, precision: str) -> Path:
        """A copy of a good file, to spoil."""
        good = self.file(target, precision)
        folder = self.folder / f"file-{len(list(self.folder.iterdir()))}"
        if good.is_dir():
            return Path(shutil.copytree(good, folder / good.name))
        folder.mkdir()
        return Path(shutil.copy(good, folder / good.name))

    def _made(self, mutation: Mutation, target: str) -> Path:
        return mutation.make(self, target)

    def refusal(self, how: str, path: Path, precision: str = "fp32") -> tuple[int, str]:
        """Exit code and last line of `convert`, `verify`, `verify program`, `inspect`, `predict`."""
        if how == "convert":
            calibration = self.program.calibration | {"scheme": "w8a8"}
            try:
                job = overflow_job(self) if precision == "fp16" else self.job(precision)
                examine(job, path, calibration if precision == "int8" else {})
            except EdgeskinError as error:
                return 2, str(error)
            return 0, ""
        reference = self.program_file if how == "verify program" else self.run
        arguments = {
            "verify": ["--reference", str(reference), "--data", str(self.data)],
            "inspect": [],
            "predict": [str(self.data / "0.png")],
        }[how.split()[0]]
        errors = io.StringIO()
        with redirect_stdout(io.StringIO()), redirect_stderr(errors):
            code = command([how.split()[0], str(path), *arguments])
        said = [line for line in errors.getvalue().splitlines() if line.startswith("edgeskin: ")]
        return code, " | ".join(line.removeprefix("edgeskin: ") for line in said)


@dataclass(frozen=True)
class Mutation:
    """What is broken, in files of which format, and what each command says of it (a regex)."""

    name: str
    make: Callable[[World, str], Path]
    refused: Mapping[str, str]
    formats: tuple[str, ...] = ALL
    precision: str = "fp32"

    def __hash__(self) -> int:
        return hash((self.name, self.precision))


# A converter that makes a mistake


@dataclass(frozen=True)
class Mistaken(Job):
    """A job that is converted as another module than its own."""

    mistake: Callable[[Mistaken, Layout], nn.Module] = field(kw_only=True)

    def module(self, layout: Layout) -> nn.Module:
        module = self.mistake(self, layout)
        module.training = False
        return module.requires_grad_(False)


def by_mistake(
    mistake: Callable[[Mistaken, Layout], nn.Module], precision: str = "fp32"
) -> Callable[[World, str], Path]:
    def make(world: World, target: str) -> Path:
        job = world.job(precision)
        return world.convert(Mistaken(job.network, job.metadata, mistake=mistake), target)

    return make


def of_spec(**changes: object) -> Callable[[Mistaken, Layout], nn.Module]:
    """The module of a spec whose input differs; the file says the right one."""

    def mistake(job: Mistaken, layout: Layout) -> nn.Module:
        spec = job.metadata.spec
        wrong = spec.model_copy(update={"input": spec.input.model_copy(update=changes)})
        return AppModel(job.network, wrong, layout)

    return mistake


class Around(nn.Module):
    """A network with something done to its input and to its raw heads."""

    def __init__(self, network: nn.Module, before: Any = None, after: Any = None):
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        raw: tuple[Tensor, ...] = self.network(self.before(x) if self.before else x)
        return self.after(raw) if self.after else raw


def around(before: Any = None, after: Any = None) -> Callable[[Mistaken, Layout], nn.Module]:
    def mistake(job: Mistaken, layout: Layout) -> nn.Module:
        return AppModel(Around(job.network, before, after), job.metadata.spec, layout)

    return mistake


def of_network(change: Callable[[nn.Module], None]) -> Callable[[Mistaken, Layout], nn.Module]:
    def mistake(job: Mistaken, layout: Layout) -> nn.Module:
        network = copy.deepcopy(job.network)
        with torch.no_grad():
            change(network)
        return AppModel(network, job.metadata.spec, layout)

    return mistake


SPEC = tiny_spec()
MEAN, STD = (torch.tensor(v)[:, None, None] for v in (SPEC.input.mean, SPEC.input.std))


def normalized_again(x: Tensor) -> Tensor:
    return (x - MEAN) / STD


class Misread(nn.Module):
    """An image in NHWC whose bytes are read as NCHW."""

    def __init__(self, job: Mistaken, layout: Layout):
        super().__init__()
        self.model, self.layout = AppModel(job.network, job.metadata.spec, "NCHW"), layout

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        nhwc = image if self.layout == "NHWC" else image.permute(0, 2, 3, 1)
        out: tuple[Tensor, ...] = self.model(nhwc.reshape(1, 3, 40, 48))
        return out


def by_columns(x: Tensor) -> Tensor:
    return x.transpose(2, 3).reshape(1, 3, 40, 48)


def softmax_first(raw: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return raw[0].softmax(1), raw[1].softmax(1), raw[2], raw[3].softmax(1)


def classes_shuffled(raw: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (raw[0][:, [2, 0, 1]], *raw[1:])


def initial_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()


def doubled_variance(network: nn.Module) -> None:
    """Statistics of other data: no mistake that the table of causes knows."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var *= torch.linspace(0.2, 3.0, len(module.running_var))
            module.running_mean += torch.linspace(-0.5, 0.5, len(module.running_mean))


def another_epoch(network: nn.Module) -> None:
    torch.manual_seed(5)
    for weight in network.parameters():
        weight += 0.05 * weight.abs().mean() * torch.randn_like(weight)


def beyond_float16(network: nn.Module) -> None:
    tiny = network.network
    tiny.heads[2].weight *= 1e6


class HeadsSwapped(nn.Module):
    """The decoded outputs `a` and `b` under each other's name."""

    def __init__(self, module: nn.Module, a: int, b: int):
        super().__init__()
        self.module, self.a, self.b = module, a, b

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        out = list(self.module(image))
        out[self.a], out[self.b] = out[self.b], out[self.a]
        return tuple(out)


def heads_swapped(a: int, b: int) -> Callable[[Mistaken, Layout], nn.Module]:
    return lambda job, layout: HeadsSwapped(AppModel(job.network, job.metadata.spec, layout), a, b)


def overflow_job(world: World) -> Job:
    network = copy.deepcopy(world.network)
    with torch.no_grad():
        beyond_float16(network)
    return world.job("fp16", network=network)


def overflowing(world: World, target: str) -> Path:
    """A network whose values do not fit float16, converted to it without a mistake."""
    return world.convert(overflow_job(world), target)


def turned(world: World, target: str) -> Path:
    """A file whose input has the sides of the image the other way round."""
    size = world.spec.input.model_copy(update={"height": 48, "width": 40})
    job = world.job("fp32")
    spec = world.spec.model_copy(update={"input": size})
    path = world.convert(replace(job, metadata=replace(job.metadata, spec=spec)), target)
    return said(path, world.job("fp32").metadata)


def of_other_run(world: World, target: str) -> Path:
    """The weights of another epoch, which the file names."""
    job = world.job("fp32")
    network = copy.deepcopy(job.network)
    with torch.no_grad():
        another_epoch(network)
    metadata = replace(job.metadata, weights_sha256="0123456789abcdef" * 4)
    return world.convert(Job(network, metadata), target)


def one_left_float(world: World, target: str) -> Path:
    """An "int8" file of a program with a layer left out that its own program has."""
    program = world.calibrated(exclude=["network.depthwise.*"])
    return world.convert(replace(world.job("int8"), network=program.module), target)


# A hand on the finished file


def said(path: Path, metadata: Metadata, **changes: str) -> Path:
    """`path`, saying `metadata` of itself, with single entries changed."""
    entries = {**metadata.entries(), **changes}
    if path.suffix == ".onnx":
        model = onnx.load(path)
        onnx.helper.set_model_props(model, entries)
        onnx.save(model, path)
    elif path.suffix == ".tflite":
        files = {f"{name}.txt": "\n".join(x) + "\n" for name, x in labels(metadata.spec).items()}
        model_alone = Graph(path.read_bytes()).pack()
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(TFLITE_ENTRY, json.dumps(entries))
            for name, text in files.items():
                archive.writestr(name, text)
        path.write_bytes(model_alone + packed.getvalue())
    else:
        edit_coreml(path, lambda model: model.description.metadata.userDefined.update(entries))
    return path


def edit_coreml(path: Path, edit: Callable[[Any], None]) -> None:
    file = path / _MODEL
    model = messages().Model.FromString(file.read_bytes())
    edit(model)
    file.write_bytes(model.SerializeToString())


def says(**changes: str) -> Callable[[World, str], Path]:
    """A good file with other entries, `spec` and `labels` among them."""

    def make(world: World, target: str) -> Path:
        entries = {f"edgeskin.{name}": text for name, text in changes.items()}
        return said(world.copy(target, "fp32"), world.job("fp32").metadata, **entries)

    return make


def spec_with(**changes: object) -> str:
    document = SPEC.model_dump(mode="json")
    document["input"].update(changes)
    return json.dumps(document)


def labels_shuffled_in_spec() -> str:
    document = SPEC.model_dump(mode="json")
    document["heads"][0]["labels"] = ["many", "none", "some"]
    return json.dumps(document)


def truncated(world: World, target: str) -> Path:
    path = world.copy(target, "fp32")
    file = path / _WEIGHTS if path.is_dir() else path
    content = file.read_bytes()
    file.write_bytes(content[: 2 * len(content) // 3])
    return path


def foreign_manifest(world: World, target: str) -> Path:
    path = world.copy(target, "fp32")
    entry = {"sha256": "0" * 64, "precision": "fp32"}
    document = {"version": 1, "artifacts": {path.name: entry}}
    (path.parent / "manifest.json").write_text(json.dumps(document))
    return path


def one_scale(world: World, target: str) -> Path:
    """The scales of the last convolution's channels become their mean; its integers stay."""
    path = world.copy(target, "int8")
    return {"onnx": _one_scale_onnx, "tflite": _one_scale_tflite, "coreml": _one_scale_coreml}[
        target
    ](path)


def _one_scale_onnx(path: Path) -> Path:
    model = onnx.load(path)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[1] in stored:
            scales = numpy_helper.to_array(stored[node.input[1]])
            if scales.shape == (16,):
                mean = np.full_like(scales, scales.mean())
                stored[node.input[1]].CopyFrom(numpy_helper.from_array(mean, node.input[1]))
                break
    onnx.save(model, path)
    return path


def _one_scale_tflite(path: Path) -> Path:
    def edit(graph: Graph) -> None:
        grid = next(
            t.quantization
            for t in graph.body.tensors
            if t.quantization is not None and t.type == 9 and len(_list(t.quantization.scale)) == 16
        )
        grid.scale = np.full_like(grid.scale, grid.scale.mean())

    return edit_tflite(path, edit)


def _list(values: Any) -> Any:
    return () if values is None else values


def _one_scale_coreml(path: Path) -> Path:
    model = messages().Model.FromString((path / _MODEL).read_bytes())
    stored = next(
        op.attributes["scale"]
        for op in _operations(model)
        if op.type == "constexpr_affine_dequantize"
        and op.attributes["scale"].HasField("blobFileValue")
    )
    with (path / _WEIGHTS).open("r+b") as file:
        file.seek(stored.blobFileValue.offset)
        _, _, size, start = struct.unpack("<IIQQ", file.read(24))
        file.seek(start)
        scales = np.frombuffer(file.read(size), np.float16)
        file.seek(start)
        file.write(np.full_like(scales, scales.mean()).tobytes())
    return path


def _operations(model: Any) -> Any:
    function = model.mlProgram.functions["main"]
    return function.block_specializations[function.opset].operations


def edit_tflite(path: Path, edit: Callable[[Graph], None]) -> Path:
    """Edit the flatbuffer; the archive behind it stays."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as packed:
        files = {name: packed.read(name) for name in packed.namelist()}
    graph = Graph(content)
    edit(graph)
    again = io.BytesIO()
    with zipfile.ZipFile(again, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    path.write_bytes(graph.pack() + again.getvalue())
    return path


def zero_point(world: World, target: str) -> Path:
    """The zero point of one inner tensor, everywhere it is named, is one more."""
    path = world.copy(target, "int8")
    return {"onnx": _zero_onnx, "tflite": _zero_tflite, "coreml": _zero_coreml}[target](path)


def _zero_onnx(path: Path) -> Path:
    model = onnx.load(path)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    made = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    first = made[2]
    readers = [n for n in model.graph.node if first.output[0] in n.input]
    for node in (first, *readers):
        value = numpy_helper.to_array(stored[node.input[2]])
        name = f"{node.name or node.output[0]}_shifted"
        model.graph.initializer.append(numpy_helper.from_array(value + value.dtype.type(1), name))
        node.input[2] = name
    onnx.save(model, path)
    return path


def _zero_tflite(path: Path) -> Path:
    def edit(graph: Graph) -> None:
        operator = next(o for o in graph.operators if graph.name(o) == "CONV_2D")
        grid = graph.body.tensors[operator.outputs[0]].quantization
        grid.zeroPoint = grid.zeroPoint + 1

    return edit_tflite(path, edit)


def _zero_coreml(path: Path) -> Path:
    def edit(model: Any) -> None:
        operations = _operations(model)
        first = [op for op in operations if op.type == "quantize"][1]
        (made,) = (out.name for out in first.outputs)
        readers = [
            op
            for op in operations
            if op.type == "dequantize" and op.inputs["input"].arguments[0].name == made
        ]
        named = {op.inputs["zero_point"].arguments[0].name for op in (first, *readers)}
        for op in operations:
            if op.outputs and op.outputs[0].name in named:
                tensor = op.attributes["val"].immediateValue.tensor
                kind = tensor.WhichOneof("value")
                if kind == "bytes":
                    tensor.bytes.values = bytes([(tensor.bytes.values[0] + 1) % 256])
                else:
                    tensor.ints.values[0] += 1

    edit_coreml(path, edit)
    return path


def _both(words: str) -> dict[str, str]:
    """What `convert` and `verify` both say."""
    return {
        "convert": f"does not compute what its model computes.*{words}",
        "verify": f"the floor of fp32 is 40 dB: {words}",
    }


def _same(words: str, *commands: str) -> dict[str, str]:
    return dict.fromkeys(commands, words)


_WORSE = r": with a reference that does so the SQNR is \d+\.\d dB, as the spec says -?\d+\.\d dB"
_SPEC_255 = {
    "mean": tuple(m / 255 for m in SPEC.input.mean),
    "std": tuple(s / 255 for s in SPEC.input.std),
}
_IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
_SPEC_TWICE = {
    "mean": tuple(255 * m for m in SPEC.input.mean),
    "std": tuple(255 * s for s in SPEC.input.std),
}


def _int8(words: str) -> dict[str, str]:
    return {"convert": words, "verify": words}


MUTATIONS = (
    Mutation(
        "RGB/BGR swapped",
        by_mistake(of_spec(color_order="BGR")),
        _both("red and blue are swapped" + _WORSE),
    ),
    Mutation(
        "RGB/BGR swapped",
        by_mistake(of_spec(color_order="BGR"), "int8"),
        _int8("red and blue are swapped" + _WORSE),
        ("onnx",),
        "int8",
    ),
    Mutation(
        "mean and std of another model",
        by_mistake(of_spec(**_IMAGENET)),
        _both("mean and std are those of ImageNet" + _WORSE),
    ),
    Mutation(
        "mean and std twice",
        by_mistake(around(before=normalized_again)),
        _both("mean and std are applied twice" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "[0, 1] against [0, 255]: not divided by 255",
        by_mistake(of_spec(**_SPEC_255)),
        _both("values of 0 to 255 are taken for 0 to 1" + _WORSE),
        ("onnx", "tflite"),
    ),
    Mutation(
        "[0, 1] against [0, 255]: divided by 255 twice",
        by_mistake(of_spec(**_SPEC_TWICE)),
        _both("values are divided by 255 twice" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "NHWC data read as NCHW",
        by_mistake(Misread),
        _both("NHWC data is read as NCHW" + _WORSE),
        ("onnx", "coreml"),
    ),
    Mutation(
        "width and height swapped: the input's sides",
        turned,
        {
            "convert": r"its inputs are image 1x48x40x3, its spec asks for image 1x40x48x3",
            "verify": r"takes \(1, 48, 40, 3\), its spec says NHWC \(1, 40, 48, 3\).*width and height are swapped",
        },
        ("onnx",),
    ),
    Mutation(
        "width and height swapped: rows read as columns",
        by_mistake(around(before=by_columns)),
        _both("width and height are swapped" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "resize without antialias, by the switch",
        says(spec=spec_with(antialias=False)),
        _same(r"input.antialias: .*True", "verify", "predict"),
    ),
    Mutation(
        "resize without antialias, by the filter",
        says(spec=spec_with(filter="nearest")),
        _same(r"preprocess differently \(filter bilinear against nearest\)", "verify"),
    ),
    Mutation(
        "one scale for all channels",
        one_scale,
        _same(
            r"has 16 scales of (\S+) to \1 and zero point 0, its program 16 scales",
            "convert",
            "verify program",
        ),
        precision="int8",
    ),
    Mutation(
        "zero point off by one",
        zero_point,
        _same(
            r"has the scale (\S+) and zero point -127, its program the scale \1 and zero point "
            r"-128",
            "convert",
            "verify program",
        ),
        precision="int8",
    ),
    Mutation(
        "one weight tensor left float",
        one_left_float,
        _same(r"1 weight tensors are float, 0 in its program", "convert", "verify program"),
        precision="int8",
    ),
    Mutation(
        "batch norm with initial statistics",
        by_mistake(of_network(initial_statistics)),
        _both("batch norm has its initial statistics" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "batch norm with statistics of other data",
        by_mistake(of_network(doubled_variance)),
        {
            "convert": "does not compute what its model computes",
            "verify": "other batch norm statistics or a broken layer; --layers",
        },
        ("onnx", "tflite"),
    ),
    Mutation(
        "labels shuffled: in the network",
        by_mistake(around(after=classes_shuffled)),
        _both("the classes of 'severity' come in another order, many, none, some" + _WORSE),
        ("onnx",),
    ),
    Mutation(
        "labels shuffled: in the spec",
        says(spec=labels_shuffled_in_spec(), labels="{}"),
        _same(r"head .*none.*some.*many.*the artifact .*many.*none.*some", "verify"),
        ("onnx", "coreml"),
    ),
    Mutation(
        "labels shuffled: in what apps read",
        says(labels=json.dumps({"severity": ["many", "none", "some"]})),
        _same(
            "two orders of labels for 'severity': none, some, many in its spec, many, none, some",
            "verify",
            "predict",
        ),
        ("onnx", "coreml"),
    ),
    Mutation(
        "output heads swapped: of one shape",
        by_mistake(heads_swapped(1, 3)),
        _both("the outputs 'count' and 'area' are swapped" + _WORSE),
        ("onnx", "tflite"),
    ),
    Mutation(
        "output heads swapped: of two shapes",
        by_mistake(heads_swapped(0, 2)),
        {
            "convert": r"its outputs are severity 1x9.* its spec asks for severity 1x3",
            "verify": r"'severity' has the shape \(9,\), the reference's \(3,\)\. That is the "
            "shape of 'count_distribution': the outputs look swapped",
        },
        ("onnx", "coreml"),
    ),
    Mutation(
        "softmax twice",
        by_mistake(around(after=softmax_first)),
        _both("softmax is applied twice" + _WORSE),
        ("onnx", "tflite"),
    ),
    Mutation(
        "weights of another epoch, by their hash",
        of_other_run,
        _same(
            r"made from the weights 0123456789abcdef\.\.\., the reference has [0-9a-f]{16}\.\.\.: "
            "another epoch",
            "verify",
        ),
        ("onnx",),
    ),
    Mutation(
        "weights of another epoch, by what they compute",
        by_mistake(of_network(another_epoch)),
        {
            "convert": "does not compute what its model computes",
            "verify": "the floor of fp32 is 40 dB.*other weights",
        },
        ("onnx",),
    ),
    Mutation(
        "float16 overflow",
        overflowing,
        {"convert": "Values beyond 65504 do not fit float16: convert to fp32 or int8"},
        ("onnx", "tflite"),
        "fp16",
    ),
    Mutation(
        "truncated file",
        truncated,
        _same("truncated|refuses|damaged|not a whole", "verify", "predict", "inspect"),
    ),
    Mutation(
        "manifest of another file",
        foreign_manifest,
        _same("is not the file its manifest names: sha256", "verify", "predict", "inspect"),
    ),
)
