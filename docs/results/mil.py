"""Writes the tables of mil.md, and mil.json: networks through the MIL runtime against PyTorch.

    python docs/results/mil.py [NAME...] [--page]

Each network is made with random weights that behave (`peers.zoo.settle`),
converted by coremltools as edgeskin does it, saved, and run from the file on two
images. Results are kept in mil.json, network by network; `--page` writes the page.
"""

import copy
import json
import math
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torch.fx.experimental.optimization import fuse

from edgeskin import metrics
from edgeskin.benchmarks.peers import zoo
from edgeskin.converters import to_coreml
from edgeskin.models import MEAN, STD
from edgeskin.models.architectures import build
from edgeskin.runtimes import mil
from edgeskin.runtimes.mil.ops import THEMES
from edgeskin.spec import InputSpec

HERE = Path(__file__).parent
TESTS = HERE.parents[1] / "tests/runtimes/mil"
JSON, PAGE = HERE / "mil.json", HERE / "mil.md"
PLAIN = {"weights": None, "num_classes": 10}
SEGMENTS = {"weights": None, "weights_backbone": None, "num_classes": 4}
VIT = {"image_size": 64, "patch_size": 16, "num_layers": 4, "num_heads": 4}
VIT |= {"hidden_dim": 192, "mlp_dim": 768}
# torchvision's families by their smallest network; the size is the smallest that it takes.
FAMILIES = {
    "alexnet": ("alexnet", 224, {}),
    "convnext": ("convnext_tiny", 64, {}),
    "densenet": ("densenet121", 64, {}),
    "efficientnet": ("efficientnet_b0", 64, {}),
    "efficientnet_v2": ("efficientnet_v2_s", 64, {}),
    "googlenet": ("googlenet", 64, {"aux_logits": False, "init_weights": True}),
    "inception_v3": ("inception_v3", 96, {"aux_logits": False, "init_weights": True}),
    "mnasnet": ("mnasnet0_5", 64, {}),
    "mobilenet_v2": ("mobilenet_v2", 64, {}),
    "mobilenet_v3": ("mobilenet_v3_small", 64, {}),
    "regnet_x": ("regnet_x_400mf", 64, {}),
    "regnet_y": ("regnet_y_400mf", 64, {}),
    "resnet": ("resnet18", 64, {}),
    "resnext": ("resnext50_32x4d", 64, {}),
    "wide_resnet": ("wide_resnet50_2", 64, {}),
    "shufflenet_v2": ("shufflenet_v2_x0_5", 64, {}),
    "squeezenet": ("squeezenet1_1", 64, {}),
    "vgg": ("vgg11_bn", 224, {}),
    "vit": ("VisionTransformer", 64, VIT),
    "swin": ("swin_t", 64, {}),
    "swin_v2": ("swin_v2_t", 64, {}),
    "maxvit": ("maxvit_t", 224, {"input_size": (224, 224)}),
    "fcn": ("segmentation.fcn_resnet50", 64, {}),
    "deeplabv3": ("segmentation.deeplabv3_mobilenet_v3_large", 64, {}),
    "lraspp": ("segmentation.lraspp_mobilenet_v3_large", 64, {}),
}
# Precision of the file (or torch), and what of it is shown.
COLUMNS = (
    *(("fp32", "full"), ("fp32", "folded"), ("torch", "float64"), ("fp32", "float64")),
    *((precision, way) for precision in ("fp16", "int8") for way in ("full", "as_saved")),
)


class First(nn.Module):
    """A network's only or main output, as a tuple."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        out = self.network(x)
        return (out["out"] if isinstance(out, dict) else out,)


def main(arguments: list[str]) -> None:
    names = [a for a in arguments if not a.startswith("--")] or [*FAMILIES, *zoo.MODELS]
    for name in [] if arguments == ["--page"] else names:
        found = json.loads(JSON.read_text()) if JSON.exists() else {}
        try:
            found[name] = family(*FAMILIES[name]) if name in FAMILIES else ours(name)
        except Exception as error:  # of coremltools: the others go on
            print(f"{name} failed: {error!r}", flush=True)
            continue
        JSON.write_text(json.dumps(found, indent=1) + "\n")
        print(name, {k: v for k, v in found[name].items() if k != "operators"}, flush=True)
    if "--page" in arguments:
        write_page(json.loads(JSON.read_text()))


def family(factory: str, size: int, options: dict) -> dict:
    """SQNR against PyTorch of the fp32 and the fp16 file."""
    torch.manual_seed(0)
    module = torchvision.models
    for part in factory.split("."):
        module = getattr(module, part)
    given = SEGMENTS if "." in factory else PLAIN
    if factory[0].isupper():  # the class itself, smaller than its functions make it
        given = {"num_classes": given["num_classes"]}
    network = First(module(**given, **options))
    for module in network.modules():  # `settle` sets the last layer's bias, which MaxViT lacks
        if isinstance(module, nn.Linear) and module.bias is None:
            module.bias = nn.Parameter(torch.zeros(module.out_features))
    for parameter in network.parameters():  # torchvision's ViT begins with a head of zeros
        if parameter.dim() > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    images = samples(size)
    zoo.settle(network, images[:12])
    return {"network": f"torchvision {factory}", "size": size} | float_files(network, images[-2:])


def ours(name: str) -> dict:
    """A network of edgeskin at 224 pixels: the two float files, and the INT8 file."""
    from edgeskin.artifacts import Metadata
    from edgeskin.calibration.calibrate import calibrate_network
    from edgeskin.converters.model import Job

    spec = zoo.MODELS[name].spec
    torch.manual_seed(0)
    network = build(spec)
    images = samples(spec.input.height)
    zoo.settle(network, images[:12])
    found = {"network": zoo.MODELS[name].title, "size": spec.input.height}
    found |= float_files(network, images[-2:])
    program = calibrate_network(
        network, spec, zoo.pictures(spec.input, 12, seed=1), method="minmax"
    )
    metadata = Metadata(spec, "tensor", "int8")
    job = Job(program.module, metadata)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.mlpackage"
        to_coreml.convert(job, path)
        found["int8"] = compare(path, images[-2:], answers(program.module, images[-2:]))
    found["operators"] = sorted({*found["operators"], *found["int8"].pop("operators")})
    return found


def samples(size: int) -> torch.Tensor:
    spec = replace_size(next(iter(zoo.MODELS.values())).spec, size)
    return zoo.normalized(spec, zoo.pictures(spec.input, 14, seed=0))


def replace_size(spec, size: int):
    return spec.model_copy(
        update={"input": InputSpec(height=size, width=size, resize="squash", mean=MEAN, std=STD)}
    )


def float_files(network: nn.Module, images: torch.Tensor) -> dict:
    import coremltools as ct

    found, operators = {}, set()
    exported = graph(network, images[:1])
    reference = answers(network, images)
    float64 = answers(copy.deepcopy(network).double(), images.double())
    found["torch"] = {"float64": decibels(float64, reference)}
    others = {"fp32": {"float64": float64, "folded": folded(network, images)}, "fp16": {}}
    for precision, kind in (("fp32", ct.precision.FLOAT32), ("fp16", ct.precision.FLOAT16)):
        model = ct.convert(
            exported,
            inputs=[ct.TensorType(name="image", shape=tuple(images[:1].shape), dtype=np.float32)],
            outputs=[ct.TensorType(name="out", dtype=np.float32)],
            minimum_deployment_target=ct.target.iOS16,
            compute_precision=kind,
            skip_model_load=True,
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "m.mlpackage"
            model.save(str(path))
            found[precision] = compare(path, images, reference, **others[precision])
        operators |= set(found[precision].pop("operators"))
    return found | {"operators": sorted(operators)}


def graph(network: nn.Module, example: torch.Tensor) -> torch.export.ExportedProgram:
    """As edgeskin exports it."""
    exported = torch.export.export(network.eval(), (example,)).run_decompositions({})
    to_coreml.legalize(exported.graph_module)
    return exported


def answers(network: nn.Module, images: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.concatenate([network(image[None])[0].numpy() for image in images])


def folded(network: nn.Module, images: torch.Tensor) -> np.ndarray | None:
    """Answers of torch with the batch norms folded, as coremltools does; None if not traceable."""
    try:
        return answers(fuse(network), images)
    except Exception as error:  # whatever the network does that `torch.fx` cannot follow
        print(f"not folded: {error!r}"[:200], flush=True)
        return None


def compare(
    path: Path, images: torch.Tensor, reference: np.ndarray, **others: np.ndarray | None
) -> dict:
    """SQNR in dB of both arithmetics over all images; of "full" against `others` too."""
    found: dict = {}
    for arithmetic in ("as_saved", "full"):
        start = time.perf_counter()
        with mil.open_session(path, arithmetic=arithmetic) as session:
            opened = time.perf_counter()
            runs = [next(iter(session.run({"image": x[None].numpy()}).values())) for x in images]
            found[arithmetic] = decibels(reference, np.concatenate(runs))
            found["open_s"] = round(opened - start, 2)
            found["run_s"] = round((time.perf_counter() - opened) / len(images), 3)
            steps = session.program.block.operations
            found["operators"] = sorted(Counter(op.type for op in steps))
    found |= {k: decibels(x, np.concatenate(runs)) for k, x in others.items() if x is not None}
    return found


def decibels(reference: np.ndarray, candidate: np.ndarray) -> float | None:
    sqnr = metrics.sqnr_db(reference, candidate)
    return None if math.isinf(sqnr) else round(sqnr, 1)  # every bit equal


def figure(entry: dict, precision: str, arithmetic: str) -> str:
    if arithmetic not in entry.get(precision, {}):
        return ""
    sqnr = entry[precision][arithmetic]
    return "equal" if sqnr is None else f"{sqnr:.1f}"


def operator_cell(name: str, seen: bool, cases: dict[str, int]) -> str:
    return f"{f'**{name}**' if seen else name} ({cases.get(name, 0)})"


def count_cases() -> dict[str, int]:
    """Run the tests of operators; programs by the operators in them."""
    import pytest

    of_operators = re.compile(r"mil_programs import .*\bclose\b")
    files = [str(p) for p in TESTS.glob("test_*.py") if of_operators.search(p.read_text())]
    if pytest.main(["-q", "-p", "no:logging", *files]) != 0:
        raise SystemExit("the tests failed")
    import mil_programs

    return dict(mil_programs.CASES)


def write_page(found: dict) -> None:
    rows = []
    for entry in found.values():
        cells = [figure(entry, *column) for column in COLUMNS]
        rows.append(f"| {entry['network']} | {entry['size']} | {' | '.join(cells)} |")
    seen = {name for entry in found.values() for name in entry["operators"]}
    cases = count_cases()
    operators = []
    for theme in THEMES:
        cells = [operator_cell(name, name in seen, cases) for name in sorted(theme.OPERATORS)]
        operators.append(f"| {theme.__name__.rpartition('.')[2]} | {', '.join(cells)} |")
    page = PAGE.read_text()
    for mark, lines in (("networks", rows), ("operators", operators)):
        page = re.sub(
            rf"(<!-- {mark} -->\n\|.*\n\|.*\n)(?:\|.*\n)*",
            lambda m, lines=lines: m[1] + "\n".join(lines) + "\n",
            page,
        )
    PAGE.write_text(page)


if __name__ == "__main__":
    main(sys.argv[1:])
