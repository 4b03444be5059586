"""Which factories of a run are called unasked; of the others nothing runs."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from samples import acne_spec

from edgeskin.errors import EdgeskinError, InvalidSpec, NotTrusted, UnknownName
from edgeskin.models.architectures import build
from edgeskin.models.run import load_run
from edgeskin.models.trust import find_factory
from edgeskin.trusted import config_file

NETWORK = """
from pathlib import Path
from torch import load, nn
from torchvision.models import squeezenet1_1

Path({marker!r}).touch()

def make():
    return nn.Flatten()
"""


class Bomb:
    """Unpickling it leaves a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


class Place:
    """A project, which is the current folder, and a folder of packages beside it."""

    def __init__(self, folder: Path) -> None:
        self.marker = folder / "it_ran"
        self.project, self.elsewhere = folder / "project", folder / "elsewhere"
        self.pickle = folder / "bomb.pkl"
        self.pickle.write_bytes(pickle.dumps(Bomb(self.marker)))

    def write(self, path: Path) -> None:
        """A module that leaves the marker when it is imported."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NETWORK.format(marker=str(self.marker)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    found = Place(tmp_path)
    for folder in (found.project, found.elsewhere):
        folder.mkdir()
    monkeypatch.chdir(found.project)
    monkeypatch.syspath_prepend(found.elsewhere)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    before = set(sys.modules)
    yield found
    for name in sys.modules.keys() - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def make(arch: str, arguments: dict[str, Any] | None = None) -> None:
    build(acne_spec(arch=arch, arch_args=arguments or {}))


def make_with_trust(arch: str, arguments: dict[str, Any] | None = None) -> None:
    """Whatever comes of that: what is tested is no network."""
    with suppress(EdgeskinError):
        build(acne_spec(arch=arch, arch_args=arguments or {}), trust=True)


BAD = {
    "torch:load": {"f": "{pickle}", "weights_only": False},
    "numpy:load": {"file": "{pickle}", "allow_pickle": True},
    "os:system": {"command": "touch {marker}"},
    "edgeskin.predict_batch:check_prefix": {"prefix": "touch {marker} --"},
    "timm.models._helpers:load_state_dict": {"checkpoint_path": "{pickle}", "weights_only": False},
    "torchvision.models._api:load_state_dict_from_url": {
        "url": "file://{pickle}",
        "model_dir": "{marker}.cache",
    },
    "nets:load": {"f": "{pickle}", "weights_only": False},  # torch's, whoever imports it
}


@pytest.mark.parametrize("arch", BAD)
def test_what_is_no_network_does_not_run(arch: str, place: Place) -> None:
    (place.project / "nets.py").write_text("from torch import load")
    arguments = {
        key: value.format(pickle=place.pickle, marker=place.marker)
        if isinstance(value, str)
        else value
        for key, value in BAD[arch].items()
    }
    with pytest.raises(NotTrusted, match=f"'{arch}' was not run"):
        make(arch, arguments)
    assert not place.marker.exists()
    make_with_trust(arch, arguments)
    assert place.marker.exists()


def test_code_of_the_run_itself_does_not_run(place: Place) -> None:
    """Not as a package, not as a module of folders, not from inside of it."""
    for run in (place.project / "sent", place.project / "ours" / "sent"):
        place.write(run / "evil.py")
        place.write(run / "deep" / "evil.py")
        (run / "weights.safetensors").write_bytes(b"")
    (place.project / "ours" / "__init__.py").write_text("")
    for arch in (
        *("sent.evil:make", "sent.deep.evil:make", "ours.sent.evil:make"),
        *("ours.sent:make", "ours.sent.deep.evil:make"),
    ):
        for run in (place.project / "sent", place.project / "ours" / "sent"):
            (run / "__init__.py").write_text("")
            (run / "spec.json").write_text(acne_spec(arch=arch).to_json())
            with pytest.raises(NotTrusted):
                load_run(run)
    assert not place.marker.exists()
    make_with_trust("sent.evil:make")
    assert place.marker.exists()


@pytest.mark.parametrize("inside", ["", "deep"])
def test_a_run_that_is_the_current_folder(
    inside: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("spec.json", "weights.safetensors"):
        (place.project / name).write_text("")
    place.write(place.project / inside / "evil.py")
    monkeypatch.chdir(place.project / inside)
    with pytest.raises(NotTrusted):
        make("evil:make")
    assert not place.marker.exists()


def test_packages_of_elsewhere_take_trust(place: Place) -> None:
    place.write(place.elsewhere / "other" / "__init__.py")
    place.write(place.elsewhere / "other" / "nets.py")
    for arch in ("other:make", "other.nets:make"):
        with pytest.raises(NotTrusted):
            make(arch)
    assert not place.marker.exists()
    make_with_trust("other.nets:make")
    assert place.marker.exists()
    with pytest.raises(NotTrusted):  # imported meanwhile, and no more trusted for it
        make("other.nets:make")


def test_installed_packages_take_trust_even_below_the_current_folder(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = place.project / ".venv" / "lib" / "site-packages"
    place.write(installed / "other" / "__init__.py")
    monkeypatch.syspath_prepend(installed)
    with pytest.raises(NotTrusted):
        make("other:make")
    assert not place.marker.exists()


def test_folders_are_no_packages_of_the_project(place: Place) -> None:
    """In the home folder, `Downloads.evil` would be one."""
    place.write(place.project / "Downloads" / "evil.py")
    with pytest.raises(NotTrusted):
        make("Downloads.evil:make")
    assert not place.marker.exists()


def test_the_list_of_the_user(place: Place) -> None:
    place.write(place.elsewhere / "other" / "__init__.py")
    (place.elsewhere / "others.py").write_text("make = print")
    assert config_file().is_relative_to(place.elsewhere.parent)
    config_file().parent.mkdir(parents=True)
    config_file().write_text("# mine\n\n  other  # by my colleague\nothers.nets\n")
    assert find_factory("other:make", {}, trust=False)
    with pytest.raises(NotTrusted, match=rf"or write its package into {config_file()}\.$"):
        find_factory("others:make", {}, trust=False)


def test_modules_of_the_project_are_trusted(place: Place) -> None:
    place.write(place.project / "nets.py")
    place.write(place.project / "ours" / "deep" / "nets.py")
    for package in ("ours", "ours/deep"):
        (place.project / package / "__init__.py").write_text("")
    for arch in ("nets:make", "ours.deep.nets:make", "nets:squeezenet1_1"):
        make(arch)


@pytest.mark.parametrize(
    ("arch", "arguments"),
    [
        ("torchvision.models:squeezenet1_1", {"num_classes": 4, "weights": None}),
        ("torchvision.models:get_model", {"name": "squeezenet1_1"}),
        ("torchvision.models.squeezenet:SqueezeNet", {}),
        ("torchvision.models.segmentation:lraspp_mobilenet_v3_large", {"weights_backbone": None}),
        ("torchvision.models.quantization:resnet18", {}),
        ("timm:create_model", {"model_name": "mobilenetv3_small_050", "pretrained": False}),
        ("timm.models:create_model", {"model_name": "resnet18.a1_in1k"}),
        ("timm.models.vision_transformer:vit_tiny_patch16_224", {"num_classes": 4, "depth": 2}),
        ("timm.models:VisionTransformer", {"depth": 2}),
        ("edgeskin.models.deeplab:DeepLabV3Plus", {"classes": 2}),
    ],
)
@pytest.mark.usefixtures("place")
def test_networks_of_the_libraries_are_trusted(arch: str, arguments: dict[str, Any]) -> None:
    assert callable(find_factory(arch, arguments, trust=False))


@pytest.mark.parametrize(
    ("arch", "arguments"),
    [
        ("torchvision.models:squeezenet1_1", {"weights": "DEFAULT"}),
        ("torchvision.models:squeezenet1_1", {"pretrained": True}),
        ("torchvision.models:get_model", {"name": "lraspp", "weights_backbone": "DEFAULT"}),
        ("torchvision.models:get_weight", {}),
        ("torchvision.transforms.v2:JPEG", {"quality": 9}),
        ("timm:create_model", {"model_name": "resnet18", "pretrained": True}),
        ("timm:create_model", {"model_name": "resnet18", "checkpoint_path": "bomb.pkl"}),
        ("timm:create_model", {"model_name": "resnet18", "cache_dir": "."}),
        ("timm:create_model", {"model_name": "hf-hub:someone/resnet18"}),
        ("timm:create_model", {"model_name": "local-dir:sent"}),
        ("timm:create_model", {"model_name": "someone/resnet18"}),
        ("timm.models:resnet18", {"pretrained_cfg": {"file": "bomb.pkl"}}),
        ("timm.models:load_checkpoint", {}),
        ("timm.task.distillation:DistillationTeacher", {"model_name_or_module": "local-dir:sent"}),
        ("edgeskin.models.run:load_run", {"folder": "sent", "trust": True}),
        ("edgeskin.models.run:nn", {}),
        ("edgeskin.files:write_json", {"target": "victim.json", "document": 0}),
    ],
)
@pytest.mark.usefixtures("place")
def test_other_names_and_weights_of_the_libraries_take_trust(
    arch: str, arguments: dict[str, Any]
) -> None:
    assert find_factory(arch, arguments, trust=True) is not None  # it exists
    with pytest.raises(NotTrusted):
        find_factory(arch, arguments, trust=False)


@pytest.mark.parametrize(
    "arch",
    [".os:system", "os.:system", "os:", ":system", "os:path.join", "os:a:b", "a b:c", "a\nb:c"],
)
@pytest.mark.parametrize("trust", [False, True])
def test_names_are_plain(arch: str, trust: bool) -> None:
    with pytest.raises(InvalidSpec, match="arch must read package.module:factory, got") as error:
        build(acne_spec(arch=arch), trust=trust)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.usefixtures("place")
def test_what_is_not_there_is_not_a_question_of_trust() -> None:
    for arch in ("nowhere:make", "nowhere.nets:make", "timm:nothing", "timm.nothing:make"):
        with pytest.raises(UnknownName, match=f"cannot import the network '{arch}'"):
            make(arch)


def test_the_refusal_is_one_line_that_says_why_and_what_to_do(place: Place) -> None:
    with pytest.raises(NotTrusted) as error:
        make("os:system")
    line = str(error.value)
    assert len(line.splitlines()) == 1
    for said in ("a factory is code", "Trusted are", "--trust", "trust=True", str(config_file())):
        assert said in line
