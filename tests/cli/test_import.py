"""`import`: networks that other people wrote, all the way to verified files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import snapshot
from safetensors.torch import save_file
from samples import SEVERITY, acne_spec

from edgeskin.artifacts import read_manifest
from edgeskin.cli.main import run
from edgeskin.models.run import load_run
from edgeskin.spec import ClassificationHead, InputSpec, Spec

Refused = Callable[..., str]
FOUR = '{"num_classes": 4}'
NETWORKS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, classes, form="tensor"):
        super().__init__()
        self.form = form
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        y = self.head(self.body(x).flatten(1))
        if self.form == "fails":
            raise RuntimeError("I want 3D")
        return {"tensor": y, "list": [y], "dict": {"aside": y, "severity": y},
                "wrong": {"grade": y}, "two": (y, y)}[self.form]

def raises(**_):
    raise ValueError("no such checkpoint")

def text(**_):
    return "a network"
"""


def severity_spec(**changes: object) -> Spec:
    head = ClassificationHead(name="severity", labels=SEVERITY)
    return acne_spec(heads=(head,), arch="?", task="severity", **changes)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of networks, a spec, and weights for `Small(4)`."""
    import importlib
    import sys

    monkeypatch.chdir(tmp_path)
    sys.modules.pop("mynets", None)
    importlib.invalidate_caches()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "mynets.py").write_text(NETWORKS)
    (tmp_path / "spec.json").write_text(severity_spec().to_json())
    torch.manual_seed(0)
    small = _small(tmp_path)
    torch.save(small.state_dict(), tmp_path / "w.pth")
    save_file(small.state_dict(), tmp_path / "w.safetensors")
    return tmp_path


def _small(folder: Path) -> torch.nn.Module:
    names: dict[str, Any] = {}
    exec((folder / "mynets.py").read_text(), names)
    network: torch.nn.Module = names["Small"](4)
    return network


def command(model: str, arguments: str = "{}", weights: str = "w.pth") -> list[str]:
    made = ["import", "--model", model, "--model-args", arguments, "--weights", weights]
    return [*made, "--spec", "spec.json", "--out", "run"]


@pytest.mark.parametrize("weights", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("form", ["tensor", "list", "dict"])
def test_a_factory_of_the_current_folder(weights: str, form: str, here: Path) -> None:
    arguments = json.dumps({"classes": 4, "form": form})
    assert run(command("mynets:Small", arguments, weights)) == 0
    loaded = load_run(here / "run")
    assert loaded.spec.arch == "mynets:Small"
    assert loaded.spec.arch_args == {"classes": 4, "form": form}
    x = torch.rand(2, 3, 64, 64)
    original = _small(here)
    original.load_state_dict(torch.load(here / "w.pth", weights_only=True))
    with torch.inference_mode():
        (found,) = loaded.network(x)
        assert torch.equal(found, original.eval()(x))


@pytest.mark.parametrize(
    ("model", "arguments", "line"),
    [
        ("mynets.Small", "{}", "mynets.Small is missing. A network by name is timm:NAME, "),
        ("nomodule:Small", "{}", "cannot import the network 'nomodule:Small': No module named"),
        ("mynets:Missing", "{}", "cannot import the network 'mynets:Missing'"),
        ("mynets:raises", "{}", "mynets:raises fails with the arguments {}: ValueError: no such"),
        ("mynets:Small", '{"wheels": 4}', "unexpected keyword argument 'wheels'"),
        ("mynets:text", "{}", "mynets:text gave a str, not a torch.nn.Module"),
        ("mynets:Small", '{"classes": 5}', "does not fit its network: head.weight is (4, 8), the"),
        ("mynets:Small", '{"classes": 4, "form": "two"}', "gives 2 outputs, the spec 1 heads"),
        ("mynets:Small", '{"classes": 4, "form": "fails"}', "fails on an image of (1, 3, 64, 64)"),
        ("mynets:Small", '{"classes": 4, "form": "wrong"}', "KeyError: 'severity'"),
        ("mynets:Small", "[4]", "--model-args must be a JSON object"),
        ("mynets:Small", "{4}", "--model-args is not JSON"),
    ],
)
@pytest.mark.usefixtures("here")
def test_networks_that_cannot_be_taken_in(
    model: str, arguments: str, line: str, refused: Refused
) -> None:
    assert line in refused(*command(model, arguments))


def test_an_output_of_another_shape(here: Path, refused: Refused) -> None:
    head = ClassificationHead(name="severity", labels=("mild", "severe"))
    (here / "spec.json").write_text(acne_spec(heads=(head,)).to_json())
    line = refused(*command("mynets:Small", '{"classes": 4}'))
    assert line == "head 'severity' asks for 1 x 2, mynets:Small gives (1, 4)"


def test_weights_that_are_none(here: Path, refused: Refused) -> None:
    small = ["mynets:Small", '{"classes": 4}']
    assert refused(*command(*small, "no.pth")) == "no.pth is missing"
    (here / "text.pth").write_text("weights")
    assert "text.pth" in refused(*command(*small, "text.pth"))
    torch.save(
        {"network": torch.nn.Linear(2, 2)}, here / "whole.pth"
    )  # a pickled module, not tensors
    assert "whole.pth holds more than tensors, so it is not loaded" in refused(
        *command(*small, "whole.pth")
    )


def test_a_run_whose_module_is_gone(
    here: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    import sys

    assert run(command("mynets:Small", '{"classes": 4}')) == 0
    (here / "mynets.py").unlink()
    monkeypatch.delitem(sys.modules, "mynets")
    line = refused("predict", "run", "face.png")
    assert "cannot import the network 'mynets:Small'" in line
    assert line.endswith("Run where the module can be imported, or install its package.")


# The whole way. Depth 2 and 64 pixels keep the ViT's time; its blocks are those of the full one.
WHOLE_WAY = {
    "resnet18": ("torchvision.models:resnet18", FOUR, ["onnx", "tflite"]),
    "vit_tiny": (
        "timm.models.vision_transformer:vit_tiny_patch16_224",
        '{"num_classes": 4, "depth": 2, "img_size": 64}',
        ["onnx", "coreml"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE_WAY)
def test_the_whole_way(
    name: str,
    phantom_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, arguments, targets = WHOLE_WAY[name]
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(3)
    module, _, factory = model.partition(":")
    network = getattr(__import__(module, fromlist=[factory]), factory)(**json.loads(arguments))
    torch.save(network.state_dict(), "w.pth")
    size = InputSpec(height=64, width=64, resize_to=72, mean=(0.5,) * 3, std=(0.25,) * 3)
    Path("spec.json").write_text(severity_spec(name=name, input=size).to_json())
    data = ["--data", str(phantom_set)]
    assert run(command(model, arguments)) == 0
    assert (
        run(["calibrate", "run", *data, "--out", "p.pt2", "--method", "minmax", "--samples", "8"])
        == 0
    )
    for source, target in (("run", targets[0]), ("p.pt2", targets[0]), ("run", targets[1])):
        assert run(["convert", source, "--out", "files", "--target", target, "--no-timing"]) == 0
    files = read_manifest(tmp_path / "files")
    assert len(files) == 3
    for file in files:
        capsys.readouterr()
        # Float rounding leaves over 100 dB; 20 dB for INT8 by minmax on random weights.
        gate = ["--min-sqnr-db", "20" if "int8" in file else "80"]
        code = run(["verify", f"files/{file}", "--reference", "run", *data, "--json", *gate])
        assert code == 0, capsys.readouterr()
    assert not [path for path in snapshot(tmp_path) if ".edgeskin-" in path]
