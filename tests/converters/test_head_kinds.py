"""Labels by themselves, embeddings and tensors through every command, as one ONNX file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from head_kinds import HEIGHT, SIGNS, WIDTH, many_heads_spec
from PIL import Image

import edgeskin
from edgeskin.artifacts import Io, Metadata
from edgeskin.benchmarks import pack as packs
from edgeskin.benchmarks.accuracy import report
from edgeskin.benchmarks.devices.device import Device
from edgeskin.benchmarks.devices.host import HostLink
from edgeskin.benchmarks.runner.request import Engine, request
from edgeskin.benchmarks.setup import Choice, Setup
from edgeskin.benchmarks.steps import Steps
from edgeskin.calibration.calibrate import calibrate_network
from edgeskin.cli.main import run as main
from edgeskin.converters.model import Job
from edgeskin.converters.parity.layers import compare_layers
from edgeskin.converters.parity.reference import of_network, of_run
from edgeskin.converters.selfcheck import images
from edgeskin.data.manifest import load_split
from edgeskin.errors import InvalidPack
from edgeskin.formats import FORMATS
from edgeskin.metrics import sqnr_db
from edgeskin.models.architectures import build
from edgeskin.models.run import save_run
from edgeskin.postprocess import EmbeddingPrediction, LabelsPrediction, TensorPrediction
from edgeskin.progress import silent

SPEC = many_heads_spec()
File = Callable[[Io], Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("many") / "run"
    save_run(out, SPEC, build(SPEC, trust=True))
    return out


@pytest.fixture(scope="module")
def file(run: Path, tmp_path_factory: pytest.TempPathFactory) -> File:
    @cache
    def make(io: Io) -> Path:
        path = tmp_path_factory.mktemp(io) / "many-heads-fp32.onnx"
        loaded = edgeskin.load_run(run, trust=True)
        metadata = Metadata(SPEC, io, "fp32", weights_sha256=loaded.sha256)
        FORMATS["onnx"].convert(Job(loaded.network, metadata), path)
        return path

    return make


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of the network's size; a third of them without any label."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(11)
    lines = ["file,split,signs"]
    for i in range(12):
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 40)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,test,{('', 'redness | 2', 'spots')[i % 3]}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("io", ["app", "tensor"])
def test_a_file_predicts_and_agrees_with_its_run(io: Io, file: File, run: Path, data: Path) -> None:
    test = load_split(data, "test")
    with edgeskin.load(file(io)) as predictor:
        found = predictor.predict(test.paths[0])
    signs, face, age, maps = (found[name] for name in ("signs", "face", "age", "maps"))
    assert isinstance(signs, LabelsPrediction)
    assert signs.labels == tuple(name for name in SIGNS if signs.probabilities[name] >= 0.5)
    assert isinstance(face, EmbeddingPrediction)
    assert (face.size, face.norm) == (8, pytest.approx(1.0, abs=1e-6))
    assert isinstance(age, TensorPrediction)
    assert (age.shape, age.unit, len(age.values or ())) == ((), "years", 1)
    assert isinstance(maps, TensorPrediction)
    assert (maps.shape, maps.values) == ((5, HEIGHT, WIDTH), None)
    verification = edgeskin.verify(file(io), run, test, trust=True)
    assert verification.faults == ()
    assert verification.sqnr_db > 100  # float32 on both sides
    assert set(verification.equal_decisions) == {"signs"}
    assert set(verification.metrics) == {"signs_accuracy", "signs_mean_auroc"}


@pytest.mark.slow
def test_an_int8_tflite_file_gives_an_app_floats(run: Path, tmp_path: Path) -> None:
    """Of heads that nothing decodes too, whose last values are integers inside."""
    network, pixels = edgeskin.load_run(run, trust=True).network, images(SPEC.input)
    expected = of_network("many", SPEC, network, "").run_all(np.stack(pixels))
    quantized = calibrate_network(network, SPEC, pixels, method="minmax").module
    path = tmp_path / "many-heads-int8.tflite"
    FORMATS["tflite"].convert(Job(quantized, Metadata(SPEC, "app", "int8")), path)
    with edgeskin.load(path) as predictor:
        assert {output.dtype for output in predictor.session.outputs} == {"float32"}
        outputs = predictor.run_all(pixels)
    for name, values in expected.items():
        assert sqnr_db(values, outputs[name]) > 30, name  # 8 bits of nearly full scale


def test_its_layers_and_its_drift_are_measured(file: File, run: Path, data: Path) -> None:
    test = load_split(data, "test")
    model = of_run(edgeskin.load_run(run, trust=True))
    layers = compare_layers(file("app"), model, test.pixels(SPEC.input)[:2])
    assert layers.first_bad is None
    report = edgeskin.drift(file("app"), run, test, trust=True)
    assert report.metrics["signs_accuracy"].total.value == 0.0


def test_a_pack_keeps_a_row_of_labels_an_image(run: Path, data: Path, tmp_path: Path) -> None:
    made = edgeskin.pack(run, data, tmp_path / "pack", trust=True)
    expected = [[(0, 0, 0), (1, 0, 1), (0, 0, 1)][i % 3] for i in range(12)]
    assert made.truth["signs"].tolist() == [list(row) for row in expected]
    assert made.reference["maps"].shape == (12, 5, HEIGHT, WIDTH)
    document = tmp_path / "pack" / packs.PACK
    text = document.read_text()
    short = text.replace("[\n    0,\n    0,\n    0\n   ]", "[\n    0,\n    0\n   ]", 1)
    assert short != text
    document.write_text(short)
    with pytest.raises(InvalidPack, match="its labels of 'signs' do not fit that head"):
        packs.read(tmp_path / "pack")


@pytest.mark.parametrize("column", [None, "severity"])
def test_without_labels_outputs_are_compared(
    column: str | None,
    file: File,
    run: Path,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A folder of nothing but images, and a table of another model's labels."""
    photos = Path(shutil.copytree(data, tmp_path / "photos"))
    (photos / "manifest.csv").unlink()
    rule = "80/10/10 by a hash"
    if column is not None:
        lines = [f"{path.name},test,1" for path in sorted(photos.iterdir())]
        (photos / "manifest.csv").write_text("\n".join([f"file,split,{column}", *lines]))
        rule = "none of the columns severity is of a head (signs), so that outputs are compared"
    split = edgeskin.open_data(photos).split("all")
    verification = edgeskin.verify(file("app"), run, split, trust=True)
    assert verification.faults == ()
    assert (verification.metrics, verification.images) == ({}, 12)
    assert rule in (verification.data_rule or "")
    report = edgeskin.drift(file("app"), run, split, trust=True)
    assert (report.metrics, report.images) == ({}, 12)
    made = edgeskin.pack(run, photos, tmp_path / "pack", split="all", trust=True)
    assert (made.truth, len(made)) == ({}, 12)
    command = ["verify", str(file("app")), "--reference", str(run), "--data", str(photos)]
    assert main([*command, "--split", "all", "--trust"]) == 0
    assert rule in capsys.readouterr().err
    assert main([*command, "--split", "all", "--trust", "--max-drop", "1"]) == 1
    assert "the gates on metrics were not checked" in capsys.readouterr().err


@pytest.mark.parametrize(("io", "activation"), [("app", "none"), ("tensor", "sigmoid")])
def test_of_these_heads_a_runner_is_asked_for_the_labels(io: Io, activation: str) -> None:
    engine = Engine(runtime="onnx", library="lib.so")
    metadata = Metadata(SPEC, io, "fp32")
    text = request(engine, metadata, (), ready=False, model="m.onnx", images="shard-000.bin")
    heads = [line for line in text.splitlines() if line.startswith("head ")]
    assert heads == [f"head signs labels {activation} 3"]


@pytest.mark.slow
@pytest.mark.parametrize("io", ["app", "tensor"])
def test_the_runner_counts_labels_and_keeps_every_output(
    io: Io, file: File, run: Path, data: Path, tmp_path: Path
) -> None:
    pack = edgeskin.pack(run, data, tmp_path / "pack", trust=True)
    with Device(HostLink(tmp_path / "device")) as host, edgeskin.load(file(io)) as predictor:
        setup = Setup.of(file(io), pack, host.probe(), Choice(), tmp_path)
        (parts := tmp_path / "parts").mkdir()
        steps = Steps(setup, host, parts, "/", silent)
        found = steps.every_image()
        expected = predictor.run_all(pack.image(i) for i in range(len(pack)))
    for name, values in expected.items():
        # The core activates by its own sigmoid: both are within a few units in the last place.
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-6, err_msg=name)
    counted = [answer["answers"]["signs"] for answer in steps.events.named("answer")]
    assert counted == (found["signs"] >= 0.5).sum(axis=1).tolist()
    assert report(pack, found, bit_equal_inputs=1.0).equal_decisions == {"signs": 1.0}
